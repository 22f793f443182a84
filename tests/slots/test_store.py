"""Choosing models: what is composed, how it is taken over, and the ways back."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.models import ENSEMBLE, read_catalogue, read_config
from gateway.settings import COMPOSED, REPOSITORY, Settings
from scripts.pipeline import DirectPipeline
from scripts.slots import compose
from scripts.slots.store import Store
from tests.slots import toy
from tests.slots.conftest import Vultus


def done(vultus: Vultus, *arguments: str) -> str:
    result = vultus(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def data(tmp_path: Path, vultus: Vultus) -> Path:
    """A deployment that has the toy."""
    done(vultus, "add", *toy.write(tmp_path), "--accept-licence")
    return tmp_path / "data"


def in_force(data: Path) -> Path:
    return Settings(data=data).model_repository


def test_using_going_back_and_removing(data: Path, vultus: Vultus, astronaut_pixels: NDArray[np.uint8]) -> None:
    assert in_force(data) == REPOSITORY
    done(vultus, "use", "glasses=toy_colours")
    first = in_force(data)
    told = {output.attribute: output for output in read_catalogue(first).outputs}
    assert (told["glasses"].model, told["mask"].model) == ("toy_colours", "face_accessories")
    assert set(told) == {output.attribute for output in read_catalogue(REPOSITORY).outputs}
    toys = DirectPipeline(first).infer(astronaut_pixels, ["GLASSES", "FACE_CROPS"])
    assert np.abs(toys["GLASSES"][0] - toy.expected(toys["FACE_CROPS"][0])).max() < 0.02

    done(vultus, "use", "glasses=toy_colours:1+builtin:3")
    ours = DirectPipeline(REPOSITORY).infer(astronaut_pixels, ["GLASSES"])["GLASSES"][0]
    mixed = DirectPipeline(in_force(data)).infer(astronaut_pixels, ["GLASSES"])["GLASSES"][0]
    assert mixed == pytest.approx(toys["GLASSES"][0] / 4 + ours * 3 / 4, abs=1e-5)
    mean = read_catalogue(in_force(data)).versions["mean_glasses"]
    assert re.fullmatch(r"0\.25 toy_colours 1 \+ 0\.75 face_accessories [\d.]+", mean)

    refused = vultus("remove", "toy_colours")
    assert refused.exit_code == 1
    assert "fills glasses" in refused.stderr
    done(vultus, "rollback")
    assert in_force(data) == first
    done(vultus, "rollback")
    assert in_force(data) == REPOSITORY
    assert "nothing to go back to" in vultus("rollback").stderr
    done(vultus, "remove", "toy_colours")
    assert DirectPipeline(first).infer(astronaut_pixels, ["GLASSES"])["GLASSES"].shape == (1, 3), "what was composed is complete"


def test_a_broken_candidate_changes_nothing(data: Path, vultus: Vultus) -> None:
    graph = data / "models" / "added" / "toy_colours" / "1" / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-50])
    refused = vultus("use", "glasses=toy_colours")
    assert refused.exit_code == 1
    assert "do not work together" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert in_force(data) == REPOSITORY
    assert not list((data / "models" / "generations").iterdir())


def test_the_built_in_model_takes_its_slot_back(data: Path, vultus: Vultus) -> None:
    done(vultus, "use", "glasses=toy_colours")
    done(vultus, "use", "glasses=builtin")
    assert not (data / COMPOSED).exists()
    assert in_force(data) == REPOSITORY


def test_built_in_models_that_changed_are_composed_again(data: Path, vultus: Vultus) -> None:
    done(vultus, "use", "glasses=toy_colours:1+builtin:1")
    store, first = Store(data), in_force(data)
    assert not store.refresh()
    (first / "face_quality").unlink()
    (first / "face_quality").symlink_to(data / "where the clone was")
    assert store.refresh()
    assert in_force(data).name > first.name
    assert (in_force(data) / "face_quality").resolve() == REPOSITORY / "face_quality"
    assert compose.read(in_force(data)) == compose.read(first)


def test_composing_nothing_gives_the_built_in_ensemble(tmp_path: Path) -> None:
    compose.write(tmp_path, {}, tmp_path)
    assert read_config(tmp_path / ENSEMBLE) == read_config(REPOSITORY / ENSEMBLE)


@pytest.mark.parametrize(
    ("choice", "line"),
    [
        ("glasses", "is no choice"),
        ("glasses=toy_colours+", "is no choice"),
        ("glasses=toy_colours:0", "weights must be above 0"),
        ("shoes=toy_colours", "There is no slot 'shoes'"),
        ("mask=toy_colours", "toy_colours does not fill mask; it fills glasses"),
        ("glasses=toy_colors", "There is no model 'toy_colors' here"),
    ],
)
def test_wrong_choices(choice: str, line: str, data: Path, vultus: Vultus) -> None:
    result = vultus("use", choice)
    assert result.exit_code == 1
    assert line in result.stderr
    assert in_force(data) == REPOSITORY


def test_the_list_says_who_fills_what(data: Path, vultus: Vultus) -> None:
    said = done(vultus, "list")
    assert "added, not in use: toy_colours" in said
    assert "hse_age_gender" in said.rpartition("described, not added: ")[2]
    words = " ".join(said.replace("│", " ").split())
    assert "glasses face_accessories Apache-2.0 weights" in words


def test_the_setting_overrules_what_was_composed(data: Path, vultus: Vultus) -> None:
    done(vultus, "use", "glasses=toy_colours")
    assert Settings(data=data, model_repository=REPOSITORY).model_repository == REPOSITORY
