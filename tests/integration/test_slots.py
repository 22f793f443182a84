"""A model made elsewhere, served by the real Triton in the place of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from gateway.commands.main import main
from scripts.pipeline import DirectPipeline
from tests.served import FREE_PORTS, start, stop
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
