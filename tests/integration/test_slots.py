"""Models made elsewhere, served by the real Triton in the place of ours, from the start and by a running service.

VULTUS_SWITCHES, an odd number, sets how often models are switched under load; without it that test, which takes minutes, is left out.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from gateway.commands.main import main
from gateway.settings import COMPOSED
from scripts.pipeline import DirectPipeline
from tests.served import FREE_PORTS, Served, start, stop
from tests.slots import toy


def test_the_toy_answers_right_through_triton(tmp_path: Path, astronaut: bytes, astronaut_pixels: NDArray[np.uint8]) -> None:
    environment = {"VULTUS_DATA": str(tmp_path / "data")}
    runner = CliRunner(env=environment)
    for command in (["add", *toy.write(tmp_path), "--accept-licence"], ["use", "glasses=toy_colours:3+builtin:1", "mask=builtin"]):
        assert runner.invoke(main, ["models", *command]).exit_code == 0
    served = start(*FREE_PORTS, "--workers=1", environment=environment)
    served.wait_for("curl -F", timeout_s=300)
    served.find_addresses()
    status, body = served.post(astronaut, "?attributes=glasses,mask")
    _, offered = served.get("/v1/attributes")
    assert stop(served) == 0
    assert status == 200
    (face,) = body["faces"]
    tensors = DirectPipeline(attributes=("face_accessories",)).infer(astronaut_pixels, ["FACE_CROPS", "GLASSES"])
    wanted = toy.expected(tensors["FACE_CROPS"][0]) * 0.75 + tensors["GLASSES"][0] * 0.25
    assert list(face["glasses"]["probabilities"].values()) == pytest.approx(wanted, abs=0.03)
    assert face["mask"]["value"] == "none"
    assert body["models"]["mean_glasses"].startswith("0.75 toy_colours 1 + 0.25 face_accessories ")
    (glasses,) = (row for row in offered["attributes"] if row["name"] == "glasses")
    assert glasses["model"] == "mean_glasses"
    assert glasses["licence"].startswith("CC0-1.0 and Apache-2.0")


SWITCHES, CLIENTS = int(os.environ.get("VULTUS_SWITCHES", "1")), 8
CHOICES = ("glasses=toy_colours", "glasses=builtin")


@contextmanager
def clients(served: Served, picture: bytes) -> Iterator[list[tuple[int, Any]]]:
    """CLIENTS of them ask again and again, each time over a new connection, and write down what they get."""
    answers: list[tuple[int, Any]] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                answers.append(served.post(picture, "?attributes=glasses"))
            except OSError as problem:
                answers.append((0, repr(problem)))

    threads = [threading.Thread(target=ask) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        enough.set()
        for thread in threads:
            thread.join()


def break_choice(data: Path) -> Path:
    """Put a repository in force whose model is cut off. `vultus models use` would not: it tries what it composes."""
    models = data / COMPOSED.parent
    broken = models / "generations" / "9000"
    shutil.copytree(data / COMPOSED, broken, symlinks=True)
    graph = broken / "toy_colours" / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-50])
    (models / "next").symlink_to(broken)
    os.replace(models / "next", data / COMPOSED)
    return broken


@pytest.mark.skipif("VULTUS_SWITCHES" not in os.environ, reason="takes minutes: VULTUS_SWITCHES=1 runs it")
def test_models_are_switched_under_load(tmp_path: Path, astronaut: bytes, astronaut_pixels: NDArray[np.uint8]) -> None:
    """No error, no answer that mixes old and new; a candidate that does not start never answers, and the choice goes back."""
    environment = {"VULTUS_DATA": str(tmp_path / "data"), "VULTUS_DEADLINE_S": "60"}
    runner = CliRunner(env=environment)
    assert runner.invoke(main, ["models", "add", *toy.write(tmp_path), "--accept-licence"]).exit_code == 0
    served = start(*FREE_PORTS, "--workers=1", environment=environment)
    served.wait_for("curl -F", timeout_s=300)
    served.find_addresses()
    with clients(served, astronaut) as answers:
        for turn in range(SWITCHES):
            since = len(served.lines)
            assert runner.invoke(main, ["models", "use", CHOICES[turn % 2]]).exit_code == 0
            served.wait_for("that were chosen are served", timeout_s=300, since=since)
        before, since = (tmp_path / "data" / COMPOSED).resolve(), len(served.lines)
        break_choice(tmp_path / "data")
        served.wait_for("do not serve (9000)", timeout_s=300, since=since)
    assert (tmp_path / "data" / COMPOSED).resolve() == before
    assert served.post(astronaut, "?attributes=glasses")[1]["models"]["toy_colours"] == "1"
    assert stop(served) == 0
    tensors = DirectPipeline(attributes=("face_accessories",)).infer(astronaut_pixels, ["FACE_CROPS", "GLASSES"])
    theirs, ours = toy.expected(tensors["FACE_CROPS"][0]), tensors["GLASSES"][0]
    assert np.abs(theirs - ours).max() > 0.1
    assert [answer for status, answer in answers if status != 200] == []
    assert {"toy_colours" in answer["models"] for _, answer in answers} == {True, False}
    for _, answer in answers:
        wanted = theirs if "toy_colours" in answer["models"] else ours
        assert list(answer["faces"][0]["glasses"]["probabilities"].values()) == pytest.approx(wanted, abs=0.03)
