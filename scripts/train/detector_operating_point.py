"""Choose the detector's operating point on held-out training pictures: python -m scripts.train.detector_operating_point --help.

For each stride the smallest shift of its logits is taken at which the answers of that stride are right often enough; score 0.5
then means that. Pictures of `eval` are not looked at.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.graphs.geometry import MAX_IOU, detector_size
from scripts.train.command import common_arguments, sources_from
from scripts.train.detector_export import load as load_net
from scripts.train.detector_net import STRIDES, FaceDetector, cells, decode_maps
from scripts.train.detector_pictures import Picture, intersection_over_union, is_held_out, load
from scripts.train.detector_scenes import Scene, without_faces
from scripts.train.repositories import decode

LOWEST_LOGIT, ANSWERS = -3.0, 200


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, help="of several, the mean of their weights")
    parser.add_argument("--precision", type=float, nargs="+", default=[0.85], help="wanted of the answers of every stride")
    parser.add_argument("--pictures", type=int, default=500)
    options = parser.parse_args()
    held_out = [picture for picture in load(sources_from(options)) if is_held_out(picture)]
    street = [picture for picture in held_out if picture.origin == "street"]
    rest = [picture for picture in held_out if picture.origin != "street"]
    chosen = street + [rest[i] for i in np.random.default_rng(1).permutation(len(rest))[: max(0, options.pictures - len(street))]]
    levels, logits, right, faces = _answers(options.checkpoint, chosen)
    for wanted in options.precision:
        found = 0
        for level, stride in enumerate(STRIDES):
            mine = levels == level
            order = np.argsort(-logits[mine])
            precision = np.cumsum(right[mine][order]) / np.arange(1, mine.sum() + 1)
            good = np.nonzero(precision >= wanted)[0]
            place = int(good[-1]) if len(good) else 0
            found += int(right[mine][order][: place + 1].sum())
            bias = -float(logits[mine][order][place])
            print(f"stride {stride}: bias {bias:+.2f}, {place + 1} answers, precision {precision[place]:.3f}")  # noqa: T201
        print(f"{len(chosen)} pictures, {faces} faces, recall {found / faces:.3f}")  # noqa: T201


@torch.no_grad()
def _answers(checkpoints: list[Path], pictures: list[Picture]) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_], int]:
    """Stride index, logit and rightness of every answer outside the ignored regions, and the number of faces.

    Each picture is shown twice: as it is, and with every face covered and decoys about, where each answer is wrong.
    """
    net = load_net(*checkpoints)
    rows: list[tuple[int, float, bool]] = []
    faces, rng = 0, np.random.default_rng(1)
    none = np.zeros((0, 4), np.float32)
    for picture in tqdm(pictures, desc="held-out pictures", unit="pic", mininterval=10):
        canvas, scale = _letterbox(picture)
        truth, ignore = picture.boxes * scale, picture.ignore * scale
        faces += len(truth)
        covered = without_faces(Scene(canvas.copy(), truth, picture.points * scale, ignore), rng).image
        rows += _judge(net, canvas, truth, ignore) + _judge(net, covered, none, none)
    levels, logits, right = zip(*rows, strict=True)
    return np.array(levels), np.array(logits, np.float32), np.array(right), faces


def _judge(
    net: FaceDetector, canvas: NDArray[np.uint8], truth: NDArray[np.float32], ignore: NDArray[np.float32]
) -> list[tuple[int, float, bool]]:
    grid = cells(*canvas.shape[:2])
    level_of = np.searchsorted(STRIDES, grid[:, 2])
    image = torch.from_numpy(canvas.transpose(2, 0, 1)[None].astype(np.float32))
    raw, boxes, _ = decode_maps(net(image), torch.from_numpy(grid))
    keep = np.nonzero(raw[0].numpy() > LOWEST_LOGIT)[0]
    candidates, logits = boxes[0].numpy()[keep], raw[0].numpy()[keep]
    corners = np.hstack([candidates[:, :2], candidates[:, 2:] - candidates[:, :2]])
    probability = 1 / (1 + np.exp(-logits))
    kept = np.asarray(cv2.dnn.NMSBoxes(corners.tolist(), probability.tolist(), 0.0, MAX_IOU, top_k=1024)).reshape(-1)[:ANSWERS]
    used = np.zeros(len(truth), bool)
    rows = []
    for index in kept[np.argsort(-logits[kept])] if len(kept) else ():
        overlap = intersection_over_union(candidates[index][None], truth)[0] * ~used if len(truth) else np.zeros(1)
        hit = bool(overlap.max() >= 0.4)
        if hit:
            used[overlap.argmax()] = True
        elif len(ignore) and intersection_over_union(candidates[index][None], ignore).max() > 0.2:
            continue
        rows.append((int(level_of[keep[index]]), float(logits[index]), hit))
    return rows


def _letterbox(picture: Picture) -> tuple[NDArray[np.uint8], float]:
    image = decode(picture.data)
    assert image is not None
    (height, width), scale = detector_size(*image.shape[:2])
    canvas = np.zeros((height, width, 3), np.uint8)
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    canvas[: small.shape[0], : small.shape[1]] = small[..., ::-1]
    return canvas, scale


if __name__ == "__main__":
    main()
