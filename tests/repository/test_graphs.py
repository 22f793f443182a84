from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from gateway.settings import REPOSITORY
from scripts.graphs import face_align
from scripts.graphs.geometry import CANDIDATES, CROP_SIDE_PX, DETECTOR_SIZES_PX, MAX_FACES, WIDE_SIDE_PX, crop_template, detector_size
from scripts.train.face_crops import wide

Image = NDArray[np.uint8]


@cache
def session(name: str) -> ort.InferenceSession:
    return ort.InferenceSession(str(REPOSITORY / name / "1" / "model.onnx"), providers=["CPUExecutionProvider"])


@cache
def plain_align() -> ort.InferenceSession:
    """`face_align` without the network that looks a second time: noise has no eyes to find."""
    return ort.InferenceSession(face_align.build(None).SerializeToString(), providers=["CPUExecutionProvider"])


def prepare(image: Image) -> tuple[Image, float]:
    framed, scale = session("face_prepare").run(None, {"IMAGE": image[None]})
    return framed, scale


def align(
    image: Image,
    boxes: Sequence[tuple[float, ...]],
    scores: list[float],
    points: NDArray[np.float32],
    net: ort.InferenceSession | None = None,
) -> dict[str, Any]:
    """Run face_align on faces given in picture pixels."""
    framed, scale = prepare(image)
    table = np.zeros((1, CANDIDATES, 15), np.float32)
    for row, (box, score, five) in enumerate(zip(boxes, scores, points, strict=True)):
        table[0, row] = np.concatenate([[score], np.array(box) * scale, five.reshape(-1) * scale])
    net = net or plain_align()
    values = net.run(None, {"IMAGE": image[None], "DETECTOR_INPUT": framed, "SCALE": scale, "CANDIDATES": table})
    return {output.name: value for output, value in zip(net.get_outputs(), values, strict=True)}


def smooth(height: int, width: int) -> Image:
    noise = np.random.default_rng(3).integers(0, 256, (height // 16 + 1, width // 16 + 1, 3)).astype(np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def placed(size_px: float, x: float, y: float, degrees: float = 0) -> NDArray[np.float32]:
    """The template's five points, as large as a crop of `size_px`, turned, centred at (x, y)."""
    turn = np.deg2rad(degrees)
    matrix = size_px / CROP_SIDE_PX * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    template = crop_template()
    return np.asarray((template - template.mean(0)) @ matrix.T + [x, y], np.float32)


@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        (((50, 50, 200, 220), (90, 90, 130, 140)), 1),  # a face within a face
        (((90, 90, 130, 140), (50, 50, 200, 220)), 1),  # a box around a better face
        (((50, 50, 200, 220), (185, 60, 225, 110)), 2),  # a head that looks over a shoulder
        (((50, 50, 200, 220), (90, 90, 130, 140), (240, 90, 280, 140)), 2),
        ((), 0),
    ],
)
def test_faces_nested_in_better_faces_are_dropped(boxes: tuple[tuple[float, ...], ...], kept: int) -> None:
    points = np.stack([placed(100, (x1 + x2) / 2, (y1 + y2) / 2) for x1, y1, x2, y2 in boxes]) if boxes else np.zeros((0, 5, 2), np.float32)
    answer = align(smooth(300, 400), boxes, [0.9, 0.8, 0.7][: len(boxes)], points)
    assert answer["NUM_FACES"].tolist() == [kept]
    if kept:
        np.testing.assert_allclose(answer["BOXES"][0], boxes[0], atol=0.01)
        np.testing.assert_allclose(answer["BOXES"][kept - 1], boxes[-1 if kept > 1 else 0], atol=0.01)


@pytest.mark.parametrize(
    ("height", "width"), [(480, 640), (640, 480), (720, 1280), (1080, 1920), (3000, 4000), (2000, 3000), (100, 80), (90, 1000)]
)
def test_prepare_is_a_letterbox(height: int, width: int) -> None:
    image = smooth(height, width)
    framed, scale = prepare(image)
    size, ratio = detector_size(height, width)
    assert framed.shape == (1, 3, *size)
    assert scale == pytest.approx(ratio)
    inner = (round(height * ratio), round(width * ratio))
    picture = framed[0].transpose(1, 2, 0)
    assert not picture[inner[0] :].any()
    assert not picture[:, inner[1] :].any()
    kind = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
    expected = cv2.resize(image, inner[::-1], interpolation=kind)
    assert np.abs(picture[: inner[0], : inner[1]].astype(int) - expected).mean() < 2


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_prepare_takes_any_shape(height: int, width: int) -> None:
    framed, _ = prepare(np.full((height, width, 3), 9, np.uint8))
    assert framed.shape[2:] in DETECTOR_SIZES_PX
    assert framed[0, :, 0, 0].tolist() == [9, 9, 9]


def test_prepare_does_not_alias() -> None:
    """A fine chequerboard becomes its mean, not a pattern."""
    board = (np.indices((2560, 2560)).sum(0) % 2 * 255).astype(np.uint8)
    framed, _ = prepare(np.repeat(board[..., None], 3, 2))
    assert np.abs(framed.astype(int) - 127).max() <= 2


@pytest.mark.parametrize(
    ("shape", "frame"),
    [
        ((720, 1280), (512, 832)),
        ((1280, 720), (832, 512)),
        ((1000, 1500), (512, 768)),
        ((480, 640), (640, 640)),
        ((300, 400), (576, 768)),
    ],
)
def test_a_picture_gets_the_frame_that_it_fills_best(shape: tuple[int, int], frame: tuple[int, int]) -> None:
    assert detector_size(*shape)[0] == frame
    assert detector_size(*shape)[1] == pytest.approx(min(frame[0] / shape[0], frame[1] / shape[1]))


def test_frames_fit_the_detector_and_cost_about_the_same() -> None:
    for height, width in DETECTOR_SIZES_PX:
        assert height % 64 == width % 64 == 0  # the coarsest stride
        assert 0.9 * 640**2 < height * width < 1.1 * 640**2
        assert (width, height) in DETECTOR_SIZES_PX


@pytest.mark.parametrize("degrees", [0, 30, -45, 180])
@pytest.mark.parametrize("size_px", [60, 160, 300])
def test_crops_are_the_least_squares_alignment(size_px: float, degrees: float) -> None:
    image = smooth(500, 700)
    points = placed(size_px, 330.5, 260.25, degrees)
    answer = align(image, [(300, 200, 400, 320)], [0.9], points[None])
    matrix, _ = cv2.estimateAffinePartial2D(points, crop_template(), method=cv2.LMEDS)
    expected = cv2.warpAffine(image, matrix, (CROP_SIDE_PX, CROP_SIDE_PX))
    assert answer["FACE_CROPS"].shape == (1, CROP_SIDE_PX, CROP_SIDE_PX, 3)
    assert np.abs(answer["FACE_CROPS"][0].astype(int) - expected).max() <= 2


@pytest.mark.parametrize("size_px", [500, 900, 1700])
def test_large_faces_do_not_alias(size_px: int) -> None:
    """Crops of a large face look like the face averaged down first."""
    image = smooth(1800, 1800)
    noisy = (image + np.random.default_rng(1).normal(0, 40, image.shape)).clip(0, 255).astype(np.uint8)
    points = placed(size_px, 900, 900)
    crop = align(noisy, [(400, 400, 1300, 1300)], [0.9], points[None])["FACE_CROPS"][0]
    clean = align(image, [(400, 400, 1300, 1300)], [0.9], points[None])["FACE_CROPS"][0]
    assert np.abs(crop.astype(int) - clean).mean() < 16  # the noise itself: 40


def test_faces_are_sorted_suppressed_and_back_in_picture_pixels() -> None:
    image = smooth(720, 1280)
    boxes = [(100.0, 100.0, 200.0, 220.0), (104.0, 102.0, 203.0, 224.0), (700.0, 300.0, 760.0, 380.0), (900.0, 300.0, 960.0, 380.0)]
    points = np.stack([placed(150, 150, 160), placed(150, 152, 162), placed(90, 730, 340), placed(90, 930, 340)])
    answer = align(image, boxes, [0.7, 0.6, 0.95, 0.4], points)
    assert answer["NUM_FACES"].tolist() == [2]
    np.testing.assert_allclose(answer["BOXES"], [boxes[2], boxes[0]], atol=0.01)
    np.testing.assert_allclose(answer["SCORES"], [0.95, 0.7])
    np.testing.assert_allclose(answer["KEYPOINTS"], points[[2, 0]], atol=0.01)


def test_boxes_end_at_the_picture() -> None:
    answer = align(smooth(300, 400), [(-20.0, -10.0, 90.0, 100.0)], [0.9], placed(100, 40, 40)[None])
    assert answer["BOXES"].tolist() == [[0, 0, 90, 100]]


def test_no_face_leaves_one_row_of_padding() -> None:
    answer = align(smooth(300, 400), [], [], np.zeros((0, 5, 2), np.float32))
    assert answer["NUM_FACES"].tolist() == [0]
    assert all(len(answer[name]) == 1 for name in ("BOXES", "SCORES", "KEYPOINTS", "FACE_CROPS"))
    assert answer["SCORES"].tolist() == [0]


def test_each_of_many_faces_gets_its_own_crop() -> None:
    """Sizes are mixed, so that all three sources of pixels serve one call."""
    image = smooth(2000, 2400)
    rng = np.random.default_rng(0)
    centres = [(x, y) for x in range(100, 2400, 150) for y in range(100, 2000, 150)][:150]
    sizes = rng.choice([60, 400, 1200], len(centres))
    points = np.stack([placed(float(s), x, y) for s, (x, y) in zip(sizes, centres, strict=True)])
    boxes = [(x - 40.0, y - 40.0, x + 40.0, y + 40.0) for x, y in centres]
    scores = np.linspace(0.99, 0.6, len(centres)).tolist()
    answer = align(image, boxes, scores, points)
    assert answer["NUM_FACES"].tolist() == [MAX_FACES]
    for row in range(0, MAX_FACES, 9):
        alone = align(image, [boxes[row]], [0.9], points[row][None])
        assert np.abs(alone["FACE_CROPS"][0].astype(int) - answer["FACE_CROPS"][row]).max() <= 1


def test_points_on_one_spot_do_not_break_the_others() -> None:
    points = np.stack([np.full((5, 2), 50, np.float32), placed(100, 200, 150)])
    answer = align(smooth(300, 400), [(40.0, 40.0, 60.0, 60.0), (150.0, 100.0, 250.0, 200.0)], [0.9, 0.8], points)
    assert answer["NUM_FACES"].tolist() == [2]
    alone = align(smooth(300, 400), [(150.0, 100.0, 250.0, 200.0)], [0.8], points[1:])
    assert np.abs(alone["FACE_CROPS"][0].astype(int) - answer["FACE_CROPS"][1]).max() <= 1


@pytest.mark.parametrize("degrees", [0, -30])
@pytest.mark.parametrize("size_px", [60, 300, 1400])
def test_crops_can_be_mapped_back_to_the_picture(size_px: float, degrees: float) -> None:
    image = smooth(1600, 1700)
    points = placed(size_px, 800.5, 760.25, degrees)
    answer = align(image, [(600, 600, 1000, 1000)], [0.9], points[None])
    matrix = answer["CROP_TO_IMAGE"][0]
    np.testing.assert_allclose(crop_template() @ matrix[:, :2].T + matrix[:, 2], points, atol=0.02 * size_px / CROP_SIDE_PX + 0.01)


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [
        (500, 700, (330, 220, 360, 260)),
        (500, 700, (300, 200, 400, 330)),
        (900, 1600, (700, 300, 800, 425)),
        (500, 700, (620, 400, 720, 520)),
    ],
)
def test_wide_crops_show_three_times_the_box(height: int, width: int, box: tuple[float, ...]) -> None:
    image = smooth(height, width)
    served = align(image, [box], [0.9], placed(100, 350, 260)[None])["WIDE_CROPS"][0]
    expected = wide(image, np.array(box, np.float32))
    assert served.shape == (WIDE_SIDE_PX, WIDE_SIDE_PX, 3)
    inside = (served.astype(int).sum(2) > 0) & (expected.astype(int).sum(2) > 0)
    assert inside.mean() > 0.3
    assert np.abs(served.astype(int) - expected)[inside].mean() < 3
    assert (served.astype(int).sum(2) > 0).mean() == pytest.approx((expected.astype(int).sum(2) > 0).mean(), abs=0.03)


def test_wide_crops_never_exceed_the_picture() -> None:
    image = np.full((400, 400, 3), 200, np.uint8)
    served = align(image, [(50, 50, 350, 350)], [0.9], placed(300, 200, 200)[None])["WIDE_CROPS"][0]
    assert (served[2:-2, 2:-2] == 200).all()


def test_a_second_look_mends_coarse_points(astronaut_pixels: Image) -> None:
    """Points that are off by up to a sixth of the eyes' distance end where good points end."""
    box, eyes = (178, 66, 269, 177), np.array([[204.6, 102.6], [246.0, 104.7]])
    good = np.array([[205, 103], [246, 105], [224, 130], [202, 139], [246, 141]], np.float32)
    best = align(astronaut_pixels, [box], [0.9], good[None], session("face_align"))
    assert np.linalg.norm(best["KEYPOINTS"][0, :2] - eyes, axis=1).max() < 4
    rng = np.random.default_rng(2)
    for _ in range(5):
        answer = align(astronaut_pixels, [box], [0.9], (good + rng.uniform(-6, 6, (5, 2))).astype(np.float32)[None], session("face_align"))
        assert np.linalg.norm(answer["KEYPOINTS"] - best["KEYPOINTS"], axis=2).max() < 3
