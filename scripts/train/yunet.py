"""The detector teacher: YuNet (ShiqiYu/libfacedetection.train), run at several sizes to label pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Faces:
    """Detections by falling score: boxes [N,4] xyxy px, scores [N], points [N,5,2] px."""

    boxes: Floats
    scores: Floats
    points: Floats

    def __len__(self) -> int:
        return len(self.scores)


class YuNet:
    """Callable teacher. Input BGR uint8 pictures of any size."""

    def __init__(self, weights: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: Image, side: int, min_score: float, max_iou: float = 0.4) -> Faces:
        """Detect on a letterbox of `side` px (rounded up to a multiple of 32)."""
        canvas, scale = letterbox(image, -(-side // 32) * 32)
        values = self._session.run(None, {"input": canvas.transpose(2, 0, 1)[None].astype(np.float32)})
        boxes, scores, points = _decode(dict(zip(self._names, values, strict=True)), canvas.shape[0], min_score)
        return suppress(Faces(boxes / scale, scores, points / scale), max_iou)


def suppress(faces: Faces, max_iou: float) -> Faces:
    """Greedy non-maximum suppression."""
    if not len(faces):
        return faces
    corners = faces.boxes.copy()
    corners[:, 2:] -= corners[:, :2]
    kept = np.asarray(cv2.dnn.NMSBoxes(corners.tolist(), faces.scores.tolist(), 0.0, max_iou)).reshape(-1)
    kept = kept[np.argsort(-faces.scores[kept], kind="stable")]
    return Faces(faces.boxes[kept], faces.scores[kept], faces.points[kept])


def letterbox(image: Image, side: int) -> tuple[Image, float]:
    """A square black canvas with the picture top left, and canvas px per picture px."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    canvas = np.zeros((side, side, 3), np.uint8)
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[: size[1], : size[0]] = cv2.resize(image, size, interpolation=interpolation)
    return canvas, scale


def _decode(maps: dict[str, Floats], side: int, min_score: float) -> tuple[Floats, Floats, Floats]:
    found: list[tuple[Floats, Floats, Floats]] = []
    for stride in (8, 16, 32):
        score = np.sqrt(maps[f"cls_{stride}"][0, :, 0].clip(0, 1) * maps[f"obj_{stride}"][0, :, 0].clip(0, 1))
        (keep,) = np.nonzero(score >= min_score)
        cell = np.stack([keep % (side // stride), keep // (side // stride)], 1).astype(np.float32)
        box, point = maps[f"bbox_{stride}"][0][keep], maps[f"kps_{stride}"][0][keep].reshape(-1, 5, 2)
        centre, half = (cell + box[:, :2]) * stride, np.exp(box[:, 2:]) * stride / 2
        found.append((np.hstack([centre - half, centre + half]), score[keep], (cell[:, None] + point) * stride))
    boxes, scores, points = (np.concatenate(parts).astype(np.float32) for parts in zip(*found, strict=True))
    return boxes, scores, points
