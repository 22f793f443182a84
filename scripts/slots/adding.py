"""From a file and its adapter to a folder that Triton can serve."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import onnx

from scripts.graphs import gpu_profile
from scripts.slots import card, trial, wrap
from scripts.slots.adapter import Adapter
from scripts.slots.contract import Refused
from scripts.slots.foreign import load
from scripts.slots.store import Store


def check_file(file: Path, adapter: Adapter) -> None:
    """That it is the file which the adapter's source describes, where it describes one. Raises Refused."""
    if adapter.source is None:
        return
    try:
        found = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as problem:
        raise Refused(f"{file} cannot be read: {problem.strerror}.") from None
    if found != adapter.source.sha256:
        raise Refused(f"{file.name} is not the file that is described: its sha256 is {found}, not {adapter.source.sha256}.")


def add(store: Store, file: Path, adapter: Adapter, described: str, accept_answers: bool = False) -> list[trial.Answers]:
    """Check, wrap, try and keep the model under the adapter's name. `described`: text of the adapter. Raises Refused."""
    if adapter.name in store.names():
        raise Refused(f"There is a model {adapter.name} already: give this one another name, or remove that one first.")
    check_file(file, adapter)
    wrapped = wrap.wrap(adapter, load(file))
    answers = trial.run(wrapped, wrap.slots_of(adapter))
    doubts = [doubt for answer in answers if (doubt := trial.contradiction(answer))]
    if doubts and not accept_answers:
        raise Refused(f"{doubts[0]}. If the answers are right all the same, add --accept-answers.")
    part = Path(tempfile.mkdtemp(dir=store.added, prefix=".part-"))
    try:
        _write(part / adapter.name, wrapped, adapter, described)
        (part / adapter.name).rename(store.added / adapter.name)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return answers


def _write(folder: Path, wrapped: onnx.ModelProto, adapter: Adapter, described: str) -> None:
    (folder / "1").mkdir(parents=True)
    onnx.save(wrapped, folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(wrap.config_text(adapter))
    (folder / "configs").mkdir()
    (folder / "configs" / f"{gpu_profile.NAME}.pbtxt").write_text(gpu_profile.text(folder))
    (folder / "adapter.toml").write_text(described)
    card.write(folder, card.of_adapter(adapter))
    card.write_results(folder, adapter)
    accepted = {"licence": adapter.licence.name, "accepted": datetime.now(UTC).isoformat(timespec="seconds")}
    (folder / "accepted.json").write_text(json.dumps(accepted) + "\n")
