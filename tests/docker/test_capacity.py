from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.capacity.__main__ import MEASURED, _parser, main, planned
from scripts.capacity.demand import measure
from scripts.capacity.simulation import Deployment, Work, simulate
from tests.served import ROOT

NOTHING = Work(1e-6, 0)
QUEUE = Deployment(
    gateways=1, cores=1, places=10**6, tritons=1, servers=4, decoding=NOTHING, inference=Work(100.0), deadline_s=math.inf
)  # fmt: skip


def erlang_mean_s(rate_per_s: float, servers: int, mean_s: float) -> float:
    """Time in an M/M/c queue (Erlang C; Kleinrock, Queueing Systems 1, 3.5)."""
    offered = rate_per_s * mean_s
    below = sum(offered**k / math.factorial(k) for k in range(servers))
    top = offered**servers / math.factorial(servers) / (1 - offered / servers)
    return mean_s + top / (below + top) * mean_s / (servers - offered)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_the_simulation_agrees_with_queueing_theory(load: float) -> None:
    rate = load * QUEUE.limit_per_s
    outcome = simulate(QUEUE, rate, seconds=500)
    mean = sum(outcome.answered_s) / len(outcome.answered_s)
    assert mean == pytest.approx(erlang_mean_s(rate, 4, 0.1), rel=0.1)
    assert outcome.per_s == pytest.approx(rate, rel=0.05)
    assert outcome.refused == outcome.late == 0


def test_the_limit_is_that_of_the_slower_tier() -> None:
    both = replace(QUEUE, gateways=2, cores=3, decoding=Work(20.0), tritons=2, servers=1, inference=Work(5.0))
    assert both.limit_per_s == pytest.approx(300)
    assert replace(both, tritons=1).limit_per_s == pytest.approx(200)


def test_bounded_places_keep_the_answers_coming_under_overload() -> None:
    full = replace(QUEUE, places=16, deadline_s=9)
    outcome = simulate(full, 4 * full.limit_per_s, seconds=40)
    assert outcome.per_s == pytest.approx(full.limit_per_s, rel=0.05)
    assert outcome.refused_share == pytest.approx(0.75, abs=0.03)
    assert outcome.latency_ms(0.99) < 1500
    endless = simulate(replace(full, places=10**6), 4 * full.limit_per_s, seconds=40)
    assert endless.per_s < outcome.per_s / 2, "without a bound nearly everything is answered too late"


def test_work_varies_as_it_should() -> None:
    steady, wild = (simulate(replace(QUEUE, inference=Work(100.0, v)), 0.8 * QUEUE.limit_per_s, seconds=100) for v in (0.0, 2.0))
    assert steady.latency_ms(0.95) < wild.latency_ms(0.95) / 2


def test_the_command_uses_the_measured_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"gateway_ms": 8.0, "triton_ms": 40.0}))
    assert main(["--measured", str(file), "--rate", "20"]) == 0
    said = capsys.readouterr().out
    assert "at most 100.0 images/s" in said
    assert said.splitlines()[-1].startswith("| 20 | ")


def test_the_committed_measurement_says_how_it_was_made() -> None:
    measured = json.loads(MEASURED.read_text())
    assert measured["images"] >= 200
    assert 0 < measured["gateway_ms"] < measured["triton_ms"]
    assert measured["processor"]


@pytest.mark.integration
def test_measuring() -> None:
    measured = measure(blocks=1)
    assert 0 < measured["gateway_ms"] < measured["triton_ms"] < 5000


def test_the_documented_table_is_what_the_command_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docker" / "helm" / "README.md").read_text()
    first, second = re.findall(r"^```\npython -m scripts\.capacity (.+)\n```\n\n((?:.+\n)+\n(?:\|.+\n)+)", page, re.M)
    main(shlex.split(first[0]))
    assert capsys.readouterr().out == first[1]
    limit = re.findall(r"at most ([\d.]+) images/s", second[1])
    assert limit == [f"{planned(_parser().parse_args(shlex.split(second[0])), json.loads(MEASURED.read_text())).limit_per_s:.1f}"]
