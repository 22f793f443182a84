"""The wild gate's arithmetic: an undetected face is an error, the face in the middle is the one that counts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.evaluation import wild
from scripts.pipeline import DirectPipeline
from scripts.train.fairface import BANDS, RACES, SEVEN

Image = NDArray[np.uint8]


class Scripted(DirectPipeline):
    """Finds two faces in every picture, or none in black ones."""

    def __init__(self) -> None:
        pass

    def infer(self, image: Image, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        height, width = image.shape[:2]
        boxes = np.array([[0, 0, 10, 10], [width / 2 - 9, height / 2 - 9, width / 2 + 9, height / 2 + 9]], np.float32)
        given = {"NUM_FACES": np.array([2 if image.any() else 0], np.int32), "BOXES": boxes, "AGE": np.array([[1.0], [2.0]], np.float32)}
        return {name: given[name] for name in outputs}


def test_the_face_nearest_to_the_middle_answers() -> None:
    given = wild.answer(Scripted(), np.full((100, 120, 3), 9, np.uint8), ("AGE",))
    assert given is not None
    assert given["AGE"] == 2
    assert wild.answer(Scripted(), np.zeros((100, 120, 3), np.uint8), ("AGE",)) is None


def faces(found: Sequence[bool], gender: Sequence[float], age: Sequence[float]) -> wild.Faces:
    rows = [{"age": "20-29", "gender": "Male", "race": race} for race in SEVEN]
    race = np.zeros((7, 6), np.float32)
    race[:, RACES.index("white")] = 1
    blank = np.where(np.array(found), 1.0, np.nan)[:, None]
    tensors = {
        "GENDER": np.stack([gender, 1 - np.array(gender)], 1) * blank,
        "AGE": np.array(age)[:, None] * blank,
        "RACE": race * blank,
    }
    picture = np.zeros((20, 20, 3), np.uint8)
    return wild.Faces(rows, [picture] * 7, {name: value.astype(np.float32) for name, value in tensors.items()}, np.array(found))


def test_undetected_faces_are_errors(tmp_path: Path) -> None:
    figures = wild._fairface(faces([True] * 6 + [False], [0.9] * 7, [25.0] * 7), tmp_path)
    assert figures["fairface_gender_20_and_over"]["value"] == pytest.approx(6 / 7, abs=1e-3)
    assert figures["fairface_gender_worst_race"] == 0
    assert figures["fairface_age_band"]["value"] == pytest.approx(6 / 7, abs=1e-3)
    assert figures["fairface_race_recalls"]["white"]["value"] == 1


@pytest.mark.parametrize(("age", "exact", "near"), [(25.4, 1, 1), (31, 0, 1), (19.4, 0, 1), (9, 0, 0), (72, 0, 0)])
def test_ages_are_judged_by_band(age: float, exact: float, near: float, tmp_path: Path) -> None:
    figures = wild._fairface(faces([True] * 7, [0.9] * 7, [age] * 7), tmp_path)
    assert (figures["fairface_age_band"]["value"], figures["fairface_age_band_within_one"]["value"]) == (exact, near)
    assert list(BANDS)[3] == "20-29"


def test_changes_change_the_picture_and_not_its_kind() -> None:
    image = cv2.resize(np.random.default_rng(1).integers(0, 256, (9, 9, 3)).astype(np.uint8), (120, 120)).astype(np.uint8)
    for name, change in wild._changes().items():
        other = change(image)
        assert other.dtype == np.uint8, name
        assert other.shape != image.shape or (other != image).any(), name
    np.testing.assert_array_equal(wild._changes()["mirror"](image)[:, ::-1], image)


def test_strangers_are_shrunk_and_greyed_as_they_were_measured() -> None:
    image = np.random.default_rng(1).integers(0, 256, (400, 200, 3)).astype(np.uint8)
    assert wild._as_measured(image, 100, grey=False).shape == (100, 50, 3)
    assert wild._as_measured(image, 0, grey=False) is image
    grey = wild._as_measured(image, 512, grey=True)
    assert (grey[..., 0] == grey[..., 2]).all()
