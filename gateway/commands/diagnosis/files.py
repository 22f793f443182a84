"""The model repository: whether every graph is there, and is the one that its card describes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from gateway.card import read_card
from gateway.commands.diagnosis.finding import Finding, State
from gateway.models import ENSEMBLE, QUANTISED, read_config, served_file

POINTER = b"version https://git-lfs"
MEND = "Get the file again from the repository (git checkout, git lfs pull), or correct model.toml if you replaced the model yourself."


def check(repository: Path) -> list[Finding]:
    """One finding for all that is well, one for each file that is not."""
    if not (repository / ENSEMBLE / "config.pbtxt").exists():
        advice = "Set VULTUS_MODEL_REPOSITORY to the repository's folder model_repository."
        return [Finding("models", State.FAILED, f"no model repository in {repository}", advice)]
    steps = [step.model_name for step in read_config(repository / ENSEMBLE).ensemble_scheduling.step]
    wrong = {name: fault for name in steps if (fault := _fault(repository / name))}
    told = f"{len(steps) - len(wrong)} of {len(steps)} present, those with a card as its sha256 says"
    faults = [Finding(name, State.FAILED, fault, MEND) for name, fault in wrong.items()]
    return [Finding("models", State.NOTE if wrong else State.OK, told), *faults]


def _fault(folder: Path) -> str:
    graph = folder / "1" / "model.onnx"
    if not graph.exists():
        return f"{graph} is missing"
    content = graph.read_bytes()
    if content.startswith(POINTER):
        return f"{graph} is a Git LFS pointer, not the model"
    card = folder / "model.toml"
    if card.exists():
        file = read_card(folder).file
        # A card with a path describes the learned part of a graph that is built here.
        weights = folder.resolve().parents[1] / file.path if file.path else graph
        described = {weights: file.sha256, graph.with_name(QUANTISED): file.int8_sha256}
        for path, digest in described.items():
            if digest and path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                return f"{path} is not what its card describes"
    served = graph.with_name(served_file(read_config(folder)))
    return "" if served.exists() else f"{served} is missing"
