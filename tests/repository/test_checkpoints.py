"""States of trainings that are kept to go on from, but not served."""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import onnx
import pytest

from gateway.card import Card
from tests.served import ROOT

FOLDER = ROOT / "scripts" / "train" / "checkpoints"
WEIGHTS = sorted(FOLDER.glob("*.onnx"))


def test_there_are_some() -> None:
    assert WEIGHTS


@pytest.mark.parametrize("weights", WEIGHTS, ids=lambda path: str(path.stem))
def test_each_has_a_card_that_describes_it_and_its_metrics(weights: Path) -> None:
    card = Card.model_validate(tomllib.loads(weights.with_suffix(".toml").read_text()))
    assert card.file.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert card.training.data
    assert card.limits.known
    assert [json.loads(line) for line in weights.with_suffix(".jsonl").read_text().splitlines()]
    served = onnx.load(ROOT / "model_repository" / weights.stem / "1" / "model.onnx")
    assert [tensor.name for tensor in onnx.load(weights).graph.output] == [tensor.name for tensor in served.graph.output]
