"""How many hidden faces detectors still find: python -m scripts.evaluation.hidden --help."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from gateway.faces import Box
from gateway.pictures import redaction
from gateway.v1_schema import RedactOptions
from scripts.evaluation.wild import pictures
from scripts.pipeline import DirectPipeline
from scripts.train.command import common_arguments, sources_from
from scripts.train.yunet import YuNet

# (manifest, every how many-th picture, at most)
SETS = (("wild_wider", 5, 60), ("wild_london", 3, 30), ("fairface", 60, 40))
SIDES_PX, SEEN_FROM, FROM_PX, MIN_IOU = (320, 640, 1024), 0.6, 24, 0.1


def main() -> None:
    """Print, for each method, how many faces are hidden and how many of them YuNet and the served detector find afterwards.

    The faces are those that YuNet finds at 640 px. Each method hides them once; /v1/redact looks again and hides what is left.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    sources = sources_from(parser.parse_args())
    yunet, ours = YuNet(sources.teachers / "yunet_n.onnx"), DirectPipeline()
    counts = {method: np.zeros(3, int) for method in redaction.METHODS}
    chosen = (image for name, step, most in SETS for _, image in islice(pictures(sources, name), 0, step * most, step))
    for image in tqdm(chosen, unit="pic", mininterval=15):
        places = [box for box in yunet(image, 640, SEEN_FROM).boxes if box[3] - box[1] >= FROM_PX]
        for method, count in counts.items():
            hidden = np.ascontiguousarray(image[..., ::-1])
            redaction.hide(hidden, [Box(*map(float, box)) for box in places], method, RedactOptions().margin)
            seen = [yunet(np.ascontiguousarray(hidden[..., ::-1]), side, SEEN_FROM).boxes for side in SIDES_PX]
            tensors = ours.infer(hidden, ("NUM_FACES", "BOXES"))
            count += [len(places), _again(places, np.concatenate(seen)), _again(places, tensors["BOXES"][: int(tensors["NUM_FACES"][0])])]
    for method, (faces, by_yunet, by_ours) in counts.items():
        print(f"{method}: of {faces} hidden faces YuNet finds {by_yunet}, face_detector {by_ours}")  # noqa: T201


def _again(places: list[NDArray[np.float32]], found: NDArray[np.float32]) -> int:
    return sum(any(overlap > MIN_IOU for overlap in _overlaps(place, found)) for place in places)


def _overlaps(place: NDArray[np.float32], found: NDArray[np.float32]) -> Iterator[float]:
    for box in found:
        width, height = np.minimum(place[2:], box[2:]) - np.maximum(place[:2], box[:2])
        common = max(0.0, width) * max(0.0, height)
        yield common / (np.prod(place[2:] - place[:2]) + np.prod(box[2:] - box[:2]) - common)


if __name__ == "__main__":
    main()
