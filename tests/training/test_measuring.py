from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.evaluation import plots
from scripts.evaluation.detection import match
from scripts.evaluation.statistics import auc, balanced, calibration_error, equal_error_rate, interval, mean_of, spearman, text
from scripts.pipeline import REPOSITORY
from scripts.train.decoys import place_decoys
from scripts.train.detector_pictures import annotated_boxes, intersection_over_union, is_eval
from scripts.train.face_crops import align, square_crop
from scripts.train.parity import RANKED_ROWS, difference
from tests.repository.test_graphs import align as served_align
from tests.repository.test_graphs import placed, smooth


@pytest.mark.parametrize("degrees", [0, 25])
@pytest.mark.parametrize("size_px", [70, 160, 280])
def test_training_crops_are_the_served_ones(size_px: float, degrees: float) -> None:
    image = smooth(500, 700)
    points = placed(size_px, 330.5, 260.25, degrees)
    served = served_align(image, [(300, 200, 400, 320)], [0.9], points[None])["FACE_CROPS"][0]
    assert np.abs(align(image, points).astype(int) - served).max() <= 2


def test_crops_of_large_faces_are_close_to_the_served_ones() -> None:
    image = cv2.resize(smooth(160, 160), (1800, 1800), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    points = placed(1200, 900, 900)
    served = served_align(image, [(300, 200, 1400, 1320)], [0.9], points[None])["FACE_CROPS"][0]
    assert np.abs(align(image, points).astype(int) - served).mean() < 3


def test_square_crop_is_black_outside() -> None:
    crop = square_crop(np.full((50, 50, 3), 200, np.uint8), np.array([-25, 0, 25, 50], np.float32), 40)
    assert crop.shape == (40, 40, 3)
    assert not crop[:, :18].any()
    assert (crop[2:-2, 22:-2] == 200).all()


def test_matching_is_one_to_one_and_best_first() -> None:
    truth = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
    answers = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 6, 30, 16]], np.float32)
    used, right = match(truth, answers)
    assert used.tolist() == [True, False]  # the third overlaps by 0.25 only
    assert right.tolist() == [True, False, False]


def test_intersection_over_union() -> None:
    a, b = np.array([[0, 0, 2, 2]], np.float32), np.array([[1, 0, 3, 2], [5, 5, 6, 6]], np.float32)
    np.testing.assert_allclose(intersection_over_union(a, b), [[1 / 3, 0]], atol=1e-6)


def test_intervals_hold_the_value_and_keep_groups_together() -> None:
    values = np.repeat([0.0, 1.0], 50)
    alone = interval(lambda rows: float(values[rows].mean()), np.arange(100))
    grouped = interval(lambda rows: float(values[rows].mean()), np.repeat([0, 1], 50))
    assert alone["low"] < alone["value"] == 0.5 < alone["high"]
    assert (grouped["low"], grouped["high"]) == (0, 1)
    assert text(alone, 2).startswith("0.50 [0.4")


def test_voc_boxes() -> None:
    xml = b"<annotation><object><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"
    assert annotated_boxes(xml).tolist() == [[1, 2, 3, 4]]
    assert annotated_boxes(b"<annotation/>").shape == (0, 4)


def test_the_split_rule() -> None:
    assert [is_eval(name, 5) for name in ("maksssksksss0.jpg", "maksssksksss1.jpg", "maksssksksss10.jpg")] == [False, False, False]
    assert sum(is_eval(f"maksssksksss{i}.jpg", 5) for i in range(1000)) == pytest.approx(200, abs=40)


def test_decoys_touch_no_face() -> None:
    rng = np.random.default_rng(4)
    taken = np.array([[40, 40, 120, 140], [200, 180, 260, 250]], np.float32)
    drawn = 0
    for _ in range(20):
        image = np.full((320, 320, 3), 77, np.uint8)
        place_decoys(image, taken, rng)
        for x1, y1, x2, y2 in taken.astype(int):
            assert (image[y1:y2, x1:x2] == 77).all()
        drawn += int((image != 77).any())
    assert drawn > 10


def ranked(rng: np.random.Generator) -> NDArray[np.float32]:
    table = rng.uniform(0, 100, (1, RANKED_ROWS, 15)).astype(np.float32)
    table[0, :, 0] = np.linspace(1, 0, RANKED_ROWS)
    return table


def test_parity_forgives_ties_in_a_ranking_and_nothing_else() -> None:
    ours = ranked(np.random.default_rng(1))
    ours[0, 10, 0] = ours[0, 11, 0] + 1e-6
    swapped = ours.copy()
    swapped[0, [10, 11]] = ours[0, [11, 10]]
    assert difference(ours, swapped) < 1e-4
    for row in (0, 500, 990):
        wrong = ours.copy()
        wrong[0, row, 7] += 3
        assert difference(ours, wrong) > 2.9
    lost = ours.copy()
    lost[0, 3] = ours[0, 4]
    assert difference(ours, lost) > 0.0005
    assert difference(np.ones((2, 3), np.float32), np.array([[1, 1, 1], [1, 1, 4]], np.float32)) == 3


def test_measures_of_two_way_decisions() -> None:
    truth = np.array([True, True, False, False])
    assert auc(np.array([0.9, 0.8, 0.2, 0.1]), truth) == 1
    assert auc(np.array([0.5, 0.5, 0.5, 0.5]), truth) == 0.5
    assert auc(np.array([0.1, 0.9, 0.2, 0.3]), truth) == 0.5
    assert equal_error_rate(np.array([0.9, 0.3, 0.5, 0.1]), truth) == 0.5
    assert balanced(np.array([True, False, False, False]), truth) == 0.75
    assert spearman(np.array([1, 2, 3, 10]), np.array([1, 4, 9, 11])) == pytest.approx(1)
    assert mean_of(np.array([1.0, 2, 9]), np.array([True, True, False]))["value"] == 1.5


def test_calibration_error() -> None:
    sure = np.full(100, 0.8)
    assert calibration_error(sure, np.arange(100) < 80) == pytest.approx(0, abs=1e-6)
    assert calibration_error(sure, np.arange(100) < 50) == pytest.approx(0.3)
    assert calibration_error(np.array([1.0, 0.55]), np.array([True, True])) == pytest.approx(0.225)


@pytest.mark.parametrize("name", ["face_detector", "face_demographics", "face_expression", "face_liveness"])
def test_recorded_figures_can_be_drawn(name: str, tmp_path: Path) -> None:
    drawn = plots.draw(name, json.loads((REPOSITORY / name / "results.json").read_text()), tmp_path)
    assert drawn
    assert all(cv2.imread(str(path)).shape[1] > 200 for path in drawn)
