"""Soak and chaos run as commands, shortly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts.faults.__main__ import main as chaos
from scripts.fuzzing.service import run as mutate
from scripts.soaking.__main__ import main as soak
from tests.served import Served

pytestmark = pytest.mark.integration
ROLES = {"gateway", "gateway worker", "decoder", "decoder server", "triton", "model face_detector", "model face_align", "supervisor"}


def test_soak(served: Served, tmp_path: Path) -> None:
    where = ["--url", served.base, "--pid", str(served.process.pid), "--output", str(tmp_path)]
    soak([*where, "--minutes", "0.1", "--concurrency", "2", "--every", "1"])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["verdicts"]["right"] > 0
    assert results["verdicts"]["wrong"] == results["verdicts"]["lost"] == 0
    assert {name.rsplit(" ", 1)[0] for name in results["processes"]} >= ROLES
    assert results["all"]["rss_mb_last"] > 500
    assert results["at_rest"]["rss_mb_last"] > 500
    assert {row.split(",")[0] for row in (tmp_path / "samples.csv").read_text().splitlines()} == {"when", "load", "rest"}
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_chaos(tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes.json"
    assert chaos(["gateway worker", "--clients", "2", "--output", str(outcomes)]) == 0
    (outcome,) = json.loads(outcomes.read_text())
    assert outcome["right"] > 0
    assert outcome["wrong"] == outcome["lost"] == 0
    assert outcome["recovered_s"] is not None


def test_mutated_requests(served: Served) -> None:
    assert mutate(served.base, 300, 60, seed=2) == 0
