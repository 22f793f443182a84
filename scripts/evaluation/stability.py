"""How far answers move when a picture moves by a few pixels or is compressed again. Clean faces: LFW `eval`."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.evaluation.statistics import mean_of
from scripts.pipeline import DirectPipeline
from scripts.train.repositories import Sources, decode

SHIFT_PX, JPEG_QUALITY, EVERY = 4, 60, 5
Image = NDArray[np.uint8]


def stability(sources: Sources, pipeline: DirectPipeline, outputs: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """By tensor: mean change of numbers, share of changed winners of probabilities; moved by up to 4 px, and as JPEG of quality 60."""
    rows = sources.manifest("lfw", "eval")[::EVERY]
    rng = np.random.default_rng(3)
    changes: dict[str, dict[str, list[float]]] = {name: {"moved": [], "compressed": []} for name in outputs}
    stream = sources.blobs("SnorreW/FacialAttributes_Snorre", [row["blob"] for row in rows])
    for data in tqdm(stream, total=len(rows), desc="stability", unit="pic", mininterval=10):
        image = decode(data)
        assert image is not None
        before = _largest(pipeline, image, outputs)
        for kind, other in (("moved", _moved(image, rng)), ("compressed", _compressed(image))):
            after = _largest(pipeline, other, outputs)
            if before and after:
                for name in outputs:
                    changes[name][kind].append(_change(before[name], after[name]))
    return {name: {f"change when {kind}": mean_of(np.array(values)) for kind, values in kinds.items()} for name, kinds in changes.items()}


def _largest(pipeline: DirectPipeline, image: Image, outputs: tuple[str, ...]) -> dict[str, NDArray[Any]] | None:
    tensors = pipeline.infer(np.ascontiguousarray(image[..., ::-1]), ("NUM_FACES", "BOXES", *outputs))
    count = int(tensors["NUM_FACES"][0])
    if not count:
        return None
    boxes = tensors["BOXES"][:count]
    face = int((boxes[:, 2:] - boxes[:, :2]).prod(1).argmax())
    return {name: tensors[name][face] for name in outputs}


def _change(before: NDArray[Any], after: NDArray[Any]) -> float:
    """Probabilities: 1 when the winner changes. One number: how far it moves."""
    return float(abs(before[0] - after[0])) if len(before) == 1 else float(before.argmax() != after.argmax())


def _moved(image: Image, rng: np.random.Generator) -> Image:
    shift = rng.uniform(-SHIFT_PX, SHIFT_PX, 2)
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]])
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)


def _compressed(image: Image) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.imdecode(data, cv2.IMREAD_COLOR).astype(np.uint8)
