"""What the detector learns from: composed scenes whose boxes must be where the faces are, and labels of two teachers."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.train.detector_pictures import Picture, _agreed
from scripts.train.detector_scenes import Scene, SceneMaker, mirrored
from scripts.train.yunet import Faces

RED = (20, 20, 230)


def photograph(origin: str, seed: int) -> Picture:
    """A grey picture with one red "face"; the box and the points say where."""
    rng = np.random.default_rng(seed)
    image = np.full((200, 240, 3), int(rng.integers(90, 160)), np.uint8)
    left, top, width, height = (int(v) for v in rng.integers([60, 50, 50, 60], [100, 80, 80, 90]))
    image[top : top + height, left : left + width] = RED
    box = np.array([[left, top, left + width, top + height]], np.float32)
    inside = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]) * [width, height] + [left, top]
    none = np.zeros((0, 4), np.float32)
    return Picture(cv2.imencode(".png", image)[1].tobytes(), origin, box, inside[None].astype(np.float32), none)


def maker() -> SceneMaker:
    return SceneMaker([photograph(origin, seed) for seed, origin in enumerate(["street", "lfw", "fairface", "crowd"] * 4)])


def redness(image: NDArray[np.uint8], box: NDArray[np.float32]) -> float:
    middle, reach = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) * 0.25
    low, high = (middle - reach).round().astype(int).clip(0), (middle + reach).round().astype(int) + 1
    part = image[low[1] : high[1], low[0] : high[0]].reshape(-1, 3).astype(int)
    return float((part[:, 2] - part[:, 0] > 60).mean())


@pytest.mark.parametrize("seed", range(6))
def test_a_throng_says_where_every_visible_face_is(seed: int) -> None:
    scene = maker()._throng(256, np.random.default_rng(seed))
    assert len(scene.boxes) > 3
    assert len(scene.points) == len(scene.boxes)
    assert (scene.boxes >= 0).all()
    assert (scene.boxes <= 256).all()
    assert np.mean([redness(scene.image, box) for box in scene.boxes]) > 0.8


def test_a_mirrored_scene_keeps_image_left_on_the_left() -> None:
    scene = maker()._photo(256, np.random.default_rng(3))
    turned = mirrored(scene)
    np.testing.assert_array_equal(turned.image[:, ::-1], scene.image)
    assert all(redness(turned.image, box) > 0.8 for box in turned.boxes)
    again = mirrored(turned)
    np.testing.assert_allclose(again.boxes, scene.boxes, atol=1e-3)
    np.testing.assert_allclose(again.points, scene.points, atol=1e-3)


def test_missed_faces_are_shown_more_often() -> None:
    pictures = [photograph("street", seed) for seed in range(4)]
    weights = [np.full(1, 9.0 if number == 2 else 1.0, np.float32) for number in range(4)]
    made, rng = SceneMaker(pictures, weights), np.random.default_rng(0)
    drawn = [made._pick(rng).data for _ in range(400)]
    assert drawn.count(pictures[2].data) == pytest.approx(400 * 9 / 12, abs=40)
    two = replace(
        pictures[0], boxes=np.repeat(pictures[0].boxes, 2, 0), points=np.repeat(pictures[0].points, 2, 0), ignore=pictures[0].ignore
    )
    made = SceneMaker([two, *pictures], [np.array([1, 4], np.float32), *weights])
    assert np.mean([made._face(made._groups["street"][0], rng) for _ in range(400)]) == pytest.approx(0.8, abs=0.08)


def found(*rows: tuple[float, float]) -> Faces:
    """Faces at x of a certainty."""
    boxes = np.array([[x, 0, x + 20, 20] for x, _ in rows], np.float32).reshape(-1, 4)
    return Faces(boxes, np.array([score for _, score in rows], np.float32), np.zeros((len(rows), 5, 2), np.float32))


def test_two_teachers_who_agree_are_surer_than_one() -> None:
    both = _agreed(found((0, 0.5), (100, 0.5)), found((2, 0.5), (200, 0.6)))
    np.testing.assert_allclose(both.boxes[:, 0], [0, 100, 200])
    np.testing.assert_allclose(both.scores, [0.75, 0.5, 0.57], atol=1e-6)
    assert len(_agreed(found(), found())) == 0


def test_an_empty_scene_can_be_mirrored() -> None:
    none = np.zeros((0, 4), np.float32)
    assert len(mirrored(Scene(np.zeros((8, 8, 3), np.uint8), none, np.zeros((0, 5, 2), np.float32), none)).boxes) == 0
