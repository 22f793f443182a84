"""The detector and its teacher on MaskON street photographs, on faces of every size and tilt, and on pictures without a face."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gateway.inference.analyzer import Analyzer, SmallFaces
from gateway.models import read_catalogue
from gateway.pictures.picture import Picture
from gateway.settings import Settings
from scripts.evaluation.statistics import interval, text
from scripts.pipeline import REPOSITORY, DirectPipeline
from scripts.train.detector_pictures import annotated_boxes, intersection_over_union, is_eval
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

Image = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Detect = Callable[[Image], Boxes]
TILED_PX = 12
BANDS = {"under 16": (0, 16), "16-32": (16, 32), "32-64": (32, 64), "over 64": (64, 1e9)}


def detector(sources: Sources, pipeline: DirectPipeline) -> dict[str, Any]:
    """Ours as served and the teacher on a 640 px letterbox, at score 0.5, side by side; and ours in tiles and in the same square letterbox."""
    teacher = YuNet(sources.teachers / "yunet_n.onnx")

    def ours(image: Image) -> Boxes:
        tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES"))
        return np.asarray(tensors["BOXES"][: int(tensors["NUM_FACES"][0])])

    detectors: dict[str, Detect] = {"ours": ours, "yunet": lambda image: teacher(image, 640, 0.5).boxes}
    figures = {name: {**street(sources, detect, name), **close_ups(sources, detect, name)} for name, detect in detectors.items()}
    figures["ours in tiles"] = street(sources, partial(_in_tiles, Analyzer(pipeline, read_catalogue(REPOSITORY))), "ours in tiles")
    figures["ours in a square"] = street(sources, lambda image: ours(_square(image)), "ours in a square")
    mine = figures["ours"]
    summary = (
        f"recall {text(mine['recall'])} at precision {text(mine['precision'])} on MaskON street eval; "
        f"single faces filling 20-95 % of the height, tilted up to 45 degrees: {text(mine['close_ups'])}"
    )
    return {"BOXES": {"summary": summary, **figures}}


def _in_tiles(analyzer: Analyzer, image: Image) -> Boxes:
    """What /v1 answers to a `min_face_px` of TILED_PX in a 640 px letterbox."""
    height, width = image.shape[:2]
    small = SmallFaces(TILED_PX * max(height, width) / 640, Settings().max_tiles)
    faces = analyzer.analyze(Picture(np.ascontiguousarray(image[..., ::-1]), width, height, 0.0), (), small=small).faces
    return np.array([[face.box.x1, face.box.y1, face.box.x2, face.box.y2] for face in faces], np.float32).reshape(-1, 4)


def _square(image: Image) -> Image:
    """Black added on the right or below, so that the picture is served in the square frame."""
    missing = max(image.shape[:2]) - np.array(image.shape[:2])
    return cv2.copyMakeBorder(image, 0, int(missing[0]), 0, int(missing[1]), cv2.BORDER_CONSTANT).astype(np.uint8)


def street_photographs(sources: Sources) -> Iterator[tuple[Image, bytes]]:
    """BGR picture and VOC annotation of every MaskON street photograph of `eval`."""
    repository = "marellanoc/MaskON"
    notes = sources.tree(repository, "archive/annotations")
    images = {
        path: blob
        for path, blob in sources.tree(repository, "archive/images").items()
        if path.rsplit("/", 1)[-1].startswith("maksssksksss") and is_eval(path.rsplit("/", 1)[-1], 5)
    }
    xml = [notes[path.replace("images", "annotations").rsplit(".", 1)[0] + ".xml"] for path in images]
    for data, note in zip(sources.blobs(repository, images.values()), sources.blobs(repository, xml), strict=True):
        image = decode(data)
        assert image is not None
        yield image, note


def street(sources: Sources, detect: Detect, name: str) -> dict[str, Any]:
    """Recall by size in a 640 px letterbox and precision (a lower bound: some background faces are not annotated)."""
    found, widths, photo_of_face, right, photo_of_answer = [], [], [], [], []
    for photo, (image, note) in enumerate(tqdm(street_photographs(sources), desc=f"MaskON street, {name}", unit="pic", mininterval=10)):
        truth, answers = annotated_boxes(note), detect(image)
        hit_truth, hit_answer = match(truth, answers)
        found += hit_truth.tolist()
        right += hit_answer.tolist()
        widths += ((truth[:, 2] - truth[:, 0]) * 640 / max(image.shape[:2])).tolist()
        photo_of_face += [photo] * len(truth)
        photo_of_answer += [photo] * len(answers)
    hits, width, photos = np.array(found, float), np.array(widths), np.array(photo_of_face)
    figures: dict[str, Any] = {"faces": len(hits), "recall": interval(partial(_mean_of, hits), photos)}
    for band, (low, high) in BANDS.items():
        chosen = (width >= low) & (width < high)
        recall = interval(partial(_mean_of, hits[chosen]), photos[chosen])
        figures[f"recall {band} px"] = {**recall, "n": int(chosen.sum())}
    correct = np.array(right, float)
    figures["precision"] = interval(partial(_mean_of, correct), np.array(photo_of_answer))
    return figures


def _mean_of(values: NDArray[np.float64], rows: NDArray[np.int64]) -> float:
    return float(values[rows].mean())


def match(truth: Boxes, answers: Boxes) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """One to one, best answer first, IoU of at least 0.4."""
    used, right = np.zeros(len(truth), bool), np.zeros(len(answers), bool)
    if not len(truth) or not len(answers):
        return used, right
    overlap = intersection_over_union(truth, answers)
    for column in range(len(answers)):
        free = np.where(used, 0, overlap[:, column])
        if free.max() >= 0.4:
            used[free.argmax()] = right[column] = True
    return used, right


def close_ups(sources: Sources, detect: Detect, name: str) -> dict[str, Any]:
    """One LFW eval face scaled to 20-95 % of a 640x640 frame, upright and tilted; found when the best box overlaps by 0.4.

    Only photographs in which the teacher is sure of exactly one face (score 0.8): its box is the truth here.
    """
    rows = sources.manifest("lfw", "eval")[::8]
    rng = np.random.default_rng(5)
    found, alarms, outside = [], 0, 0
    reference = YuNet(sources.teachers / "yunet_n.onnx")
    stream = sources.blobs("SnorreW/FacialAttributes_Snorre", [row["blob"] for row in rows])
    for data in tqdm(stream, total=len(rows), desc=f"close-ups, {name}", unit="pic", mininterval=10):
        image = decode(data)
        assert image is not None
        known = reference(image, 640, 0.8)
        if len(known) != 1:
            continue
        box = known.boxes[0]
        scale = 640 * rng.uniform(0.2, 0.95) / (box[3] - box[1])
        turn = cv2.getRotationMatrix2D(tuple(((box[:2] + box[2:]) / 2).tolist()), rng.uniform(-45, 45), scale)
        turn[:, 2] = turn[:, 2] + 320 - (box[:2] + box[2:]) / 2
        scene = cv2.warpAffine(image, turn, (640, 640), borderMode=cv2.BORDER_CONSTANT).astype(np.uint8)
        half = (box[2:] - box[:2]) / 2 * scale
        truth = np.array([[320 - half[0], 320 - half[1], 320 + half[0], 320 + half[1]]], np.float32)
        answers = detect(scene)
        found.append(float(match(truth, answers)[0][0]))
        cv2.ellipse(scene, (320, 320), (int(half[0] * 1.4), int(half[1] * 1.4)), 0, 0, 360, (90, 110, 120), -1)
        alarms += len(detect(scene))
        outside += 1
    values = np.array(found)
    return {
        "close_ups": {**interval(partial(_mean_of, values), np.arange(len(values))), "n": len(values)},
        "false_faces_per_picture_without": round(alarms / max(1, outside), 4),
    }
