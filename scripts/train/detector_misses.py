"""Hard examples: the faces of the training pictures that a detector misses are shown more often in the training that goes on from it."""

from __future__ import annotations

import hashlib
import multiprocessing
import pickle
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.graphs.geometry import detector_size
from scripts.train.detector_pictures import Picture, intersection_over_union
from scripts.train.repositories import decode

SCORE, IOU = 0.5, 0.4
ORIGINS = {"crowd", "street", "fairface", "maskon"}  # the others are nearly always found
SMALL_PX, SMALL_FRAME_PX = 300, 320  # pictures up to here are looked at in a small frame, at a quarter of the cost
WEIGHT = 4.0  # of a missed face; 1: a face that is found


def face_weights(pictures: Sequence[Picture], model: Path, cache: Path) -> list[NDArray[np.float32]]:
    """For each picture the weights [N] of its faces: WEIGHT where `model` (model.onnx of the detector) misses the face, else 1.

    Looked at once: the weights are kept in the folder `cache`.
    """
    file = cache / f"missed-{hashlib.sha256(model.read_bytes()).hexdigest()[:12]}-{len(pictures)}.pickle"
    if not file.exists():
        with multiprocessing.get_context("spawn").Pool(initializer=_start, initargs=(model,)) as pool:
            rows = pool.imap(_weights, pictures, chunksize=16)
            file.write_bytes(pickle.dumps(list(tqdm(rows, total=len(pictures), desc="missed faces", unit="pic", mininterval=10))))
    weights: list[NDArray[np.float32]] = pickle.loads(file.read_bytes())
    return weights


_session: ort.InferenceSession


def _start(model: Path) -> None:
    global _session
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    _session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def _weights(picture: Picture) -> NDArray[np.float32]:
    weights = np.ones(len(picture.boxes), np.float32)
    image = decode(picture.data) if picture.origin in ORIGINS and len(weights) else None
    if image is None:
        return weights
    (height, width), scale = detector_size(*image.shape[:2])
    if max(image.shape[:2]) <= SMALL_PX:
        height, width, scale = SMALL_FRAME_PX, SMALL_FRAME_PX, SMALL_FRAME_PX / max(image.shape[:2])
    canvas = np.zeros((height, width, 3), np.uint8)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[: small.shape[0], : small.shape[1]] = small
    rows = np.asarray(_session.run(None, {"DETECTOR_INPUT": np.ascontiguousarray(canvas[..., ::-1].transpose(2, 0, 1)[None])})[0])[0]
    found = rows[rows[:, 0] >= SCORE, 1:5] / scale
    best = intersection_over_union(picture.boxes, found).max(1, initial=0)
    weights[best < IOU] = WEIGHT
    return weights
