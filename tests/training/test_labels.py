"""What turns teachers' answers and drawings into labels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from scripts.graphs.geometry import crop_template
from scripts.train.defects import blur, cover, light, no_face, noise
from scripts.train.drawn_points import offsets
from scripts.train.fairface import BAND_EDGES, RACES, SEVEN, UTK_RACES, served_race
from scripts.train.landmark_layout import DRAWN, MULTI_PIE, POINTS, canonical, mirror_order, points105, points_drawn, pose_of
from scripts.train.liveness_crops import upright
from scripts.train.mask_crops import annotated_masks
from scripts.train.recapture import recapture
from scripts.train.worn import CUT_ASIDE_PX, CUT_BELOW_PX, cut_off, draw_mask, draw_sunglasses

Image = NDArray[np.uint8]


def head(count: int = 478) -> NDArray[np.float32]:
    """A symmetric cloud on half a ball: what a mesh is to the geometry."""
    rng = np.random.default_rng(0)
    half = rng.normal(0, 1, (count // 2, 3))
    half[:, 2] = -np.abs(half[:, 2])
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    half[:, 0] = np.abs(half[:, 0])
    return np.asarray(np.concatenate([half, half * [-1, 1, 1]]) * 40, np.float32)


def turned(shape: NDArray[np.float32], yaw: float, pitch: float, roll: float) -> NDArray[np.float32]:
    """Turn a head as /v1 names angles: nose to the image's right, nose down, clockwise. x right, y down, z away."""
    y, p, r = np.deg2rad([-yaw, pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return np.asarray(shape @ (about_z @ about_y @ about_x).T + [80, 90, 0], np.float32)


@pytest.mark.parametrize("angles", [(0, 0, 0), (25, 0, 0), (0, -15, 0), (0, 0, 30), (-20, 10, -8)])
def test_pose_is_measured_against_the_mean_head(angles: tuple[float, float, float]) -> None:
    shape = canonical(head()[None], np.array([True]))
    np.testing.assert_allclose(pose_of(turned(head(), *angles)[None] * [1, 1, 1], shape)[0], angles, atol=0.2)


def test_a_nose_that_points_right_has_positive_yaw() -> None:
    nose = np.array([0, 0, -40], np.float32)
    assert turned(nose[None], 30, 0, 0)[0, 0] > 80
    assert turned(nose[None], 0, 30, 0)[0, 1] > 90


def test_the_layout_mirrors_onto_itself() -> None:
    order = mirror_order()
    assert (order[order] == np.arange(POINTS)).all()
    assert [int(order[i]) for i in (0, 24, 57, 62, 96, 100)] == [13, 41, 57, 63, 104, 100]
    pairs = {36: 45, 39: 42, 42: 39, 45: 36, 30: 30, 48: 54, 54: 48, 60: 64, 64: 60}
    assert all(MULTI_PIE[int(order[ours])] == pairs[theirs] for ours, theirs in MULTI_PIE.items())


def test_outlines_are_divided_evenly() -> None:
    mesh = np.zeros((1, 478, 2), np.float32)
    for place, index in enumerate((33, 246, 161, 160, 159, 158, 157, 173, 133)):
        mesh[0, index] = [place**2, 0]  # unevenly set points on a straight line of length 64
    upper = points105(mesh)[0, 26:33]
    np.testing.assert_allclose(upper[:, 0], np.arange(1, 8) * 8, atol=1e-4)


def annotated(seed: int = 4) -> NDArray[np.float32]:
    """Two faces as an annotator of 68 points would leave them: no shape of a face, but points that are all apart."""
    return np.random.default_rng(seed).uniform(0, 160, (2, 68, 2)).astype(np.float32)


def test_annotated_outlines_come_in_our_order() -> None:
    drawn = annotated()
    ours = np.full((2, POINTS, 2), np.nan, np.float32)
    ours[:, DRAWN] = points_drawn(drawn)
    for mine, theirs in MULTI_PIE.items():
        np.testing.assert_allclose(ours[:, mine], drawn[:, theirs])
    assert np.isfinite(ours).all(2).sum() == 2 * len(DRAWN)


def test_how_people_place_points_is_learned_without_what_moves_all_of_them() -> None:
    drawn = annotated()
    points = np.zeros((2, POINTS, 2), np.float32)
    points[:, DRAWN] = points_drawn(drawn)
    points[:, 24], points[:, 41] = (50, 80), (100, 80)  # outer corners: 50 px apart
    lower = np.zeros((POINTS, 2), np.float32)
    lower[62:64] = (0, 0.05)
    lower[24], lower[41] = (-0.02, 0), (0.02, 0)
    drawn[:, 36], drawn[:, 45] = (50, 80), (100, 80)
    drawn[:, [48, 54]] += (0, 0.05 * 50)
    drawn[:, 36] += (-0.02 * 50, 0)
    drawn[:, 45] += (0.02 * 50, 0)
    found = offsets(points, drawn + np.array([1.5, 0], np.float32))
    np.testing.assert_allclose(found[[24, 41, 57, 62, 63]], lower[[24, 41, 57, 62, 63]], atol=1e-5)
    np.testing.assert_array_equal(found[:24], 0)


def test_cut_off_crops_say_how_much_of_the_head_is_missing() -> None:
    before = crop()
    for seed in range(40):
        after, above = cut_off(before, np.random.default_rng(seed))
        inner = (slice(above, 160 - CUT_BELOW_PX), slice(CUT_ASIDE_PX, 160 - CUT_ASIDE_PX))
        assert (after[inner] == before[inner]).all()
        assert (after[:above] == after[0, 0]).all()


def test_fairface_races_are_answered_as_six() -> None:
    assert {served_race(label) for label in SEVEN} == set(RACES)
    assert all(set(meant) <= set(SEVEN) for meant in UTK_RACES.values())
    assert [np.digitize(age, BAND_EDGES) for age in (0, 2, 3, 19, 20, 69, 70)] == [0, 0, 1, 2, 3, 7, 8]


def crop() -> Image:
    rng = np.random.default_rng(1)
    return cv2.resize(rng.integers(60, 200, (20, 20, 3)).astype(np.uint8), (160, 160), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


@pytest.mark.parametrize("wrongly", [False, True])
def test_masks_cover_the_mouth_and_only_rightly_the_nose(wrongly: bool) -> None:
    changed = np.zeros((160, 160))
    for seed in range(20):
        changed += (np.abs(draw_mask(crop(), np.random.default_rng(seed), wrongly).astype(int) - crop()).sum(2) > 30) / 20
    _, _, nose, *_ = crop_template().round().astype(int)
    assert changed[135, 80] > 0.8
    assert (changed[nose[1], nose[0]] > 0.8) == (not wrongly)
    assert changed[70, 80] == 0


def test_sunglasses_darken_both_eyes() -> None:
    drawn = draw_sunglasses(np.full((160, 160, 3), 200, np.uint8), np.random.default_rng(3))
    for eye in crop_template()[:2].round().astype(int):
        assert drawn[eye[1], eye[0]].mean() < 130
    assert drawn[130, 80].mean() == 200


@pytest.mark.parametrize("defect", [blur, noise, light])
def test_defects_grow_with_their_strength(defect: object) -> None:
    assert callable(defect)
    change = [np.abs(defect(crop(), s, np.random.default_rng(5)).astype(int) - crop()).mean() for s in (0.0, 0.3, 0.6, 0.9)]
    assert change[0] < 0.5
    assert change == sorted(change)


def test_covers_stay_in_their_region() -> None:
    region = (46.0, 60.0, 114.0, 96.0)
    for seed in range(10):
        changed = np.abs(cover(crop(), region, 0.6, np.random.default_rng(seed)).astype(int) - crop()).sum(2) > 0
        changed[58:98, 44:116] = False
        assert not changed.any()
    assert no_face(crop(), np.random.default_rng(2)).shape == (160, 160, 3)


def test_recaptures_keep_the_size_and_change_the_picture() -> None:
    photo, ground = np.full((120, 100, 3), 128, np.uint8), np.full((50, 50, 3), 30, np.uint8)
    for seed in range(8):
        seen = recapture(photo, ground, np.random.default_rng(seed))
        assert seen.shape == photo.shape
        assert np.abs(seen.astype(int) - photo).mean() > 2


def test_replays_are_turned_clockwise() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    image[0, 0] = 255
    assert upright(image, "90").shape == (6, 4, 3)
    assert upright(image, "90")[0, 3].all()
    assert upright(image, "270")[5, 0].all()
    assert upright(image, "") is image


def test_mask_annotations() -> None:
    item = b"<object><name>mascarilla_mal_puesta</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object>"
    ((box, kind),) = annotated_masks(b"<annotation>" + item + b"</annotation>")
    assert (box.tolist(), kind) == ([1, 2, 3, 4], 2)
