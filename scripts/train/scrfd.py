"""The second detector teacher: SCRFD-500M with five points (Guo et al., 2021), exported by ShiqiYu/libfacedetection.train."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from scripts.train.yunet import Faces, letterbox, suppress

Image = NDArray[np.uint8]
ANCHORS = 2  # a cell


class Scrfd:
    """Callable teacher. Input BGR uint8 pictures of any size."""

    def __init__(self, weights: Path, threads: int = 1) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        self._session = ort.InferenceSession(str(weights), options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in self._session.get_outputs()]

    def __call__(self, image: Image, side: int, min_score: float, max_iou: float = 0.4) -> Faces:
        """Detect on a letterbox of `side` px (rounded up to a multiple of 32)."""
        canvas, scale = letterbox(image, -(-side // 32) * 32)
        values = self._session.run(None, {"input.1": ((canvas.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]})
        maps = dict(zip(self._names, values, strict=True))
        boxes, scores, points = [], [], []
        for stride in (8, 16, 32):
            score = maps[f"score_{stride}"].reshape(-1)
            (keep,) = np.nonzero(score >= min_score)
            row, column = np.divmod(keep // ANCHORS, canvas.shape[1] // stride)
            centre = np.stack([column, row], 1) * stride
            reach = maps[f"bbox_{stride}"].reshape(-1, 4)[keep] * stride
            boxes.append(np.hstack([centre - reach[:, :2], centre + reach[:, 2:]]))
            points.append(centre[:, None] + maps[f"kps_{stride}"].reshape(-1, 5, 2)[keep] * stride)
            scores.append(score[keep])
        parts = (np.concatenate(part).astype(np.float32) for part in (boxes, scores, points))
        box, score, five = parts
        return suppress(Faces(box / scale, score, five / scale), max_iou)
