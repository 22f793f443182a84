"""Pairs of crops (upright, surroundings) of living faces and of attacks: real ones, and recaptures that we simulate."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.face_crops import align, wide
from scripts.train.recapture import recapture
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SPOOF_SCENES = "ReynaraEzra/Liveness-Detection"
LFW = "SnorreW/FacialAttributes_Snorre"
# Of LFW and FairFace every n-th training picture stands for a living face; each gives one simulated attack, each living scene several.
LFW_ONE_IN, FAIRFACE_ONE_IN, ATTACKS_PER_SCENE = 8, 24, 8
FAIRFACE = "sumanvithaeadala/EthnicityDetection"


@dataclass(frozen=True, slots=True)
class LivenessCrops:
    """Training rows.

    upright uint8 BGR [N,160,160,3], surroundings [N,96,96,3]; live [N] 0 or 1; teacher [N]: live probability by
    LivenessTeachers; source [N]: `scenes`, `lfw`, `fairface`, `simulated` or the name of a replay source; picture [N].
    """

    upright: Image
    surroundings: Image
    live: Floats
    teacher: Floats
    source: NDArray[np.str_]
    picture: NDArray[np.str_]


def load(sources: Sources) -> LivenessCrops:
    """All rows, cut once and then read from the cache."""
    file = sources.cache / "crops" / "liveness.npz"
    if not file.exists():
        context = multiprocessing.get_context("spawn")
        with context.Pool(initializer=_start, initargs=(sources,)) as pool:
            cut = pool.imap(_cut, _pictures(sources), chunksize=8)
            found = [row for rows in tqdm(cut, desc="living and not", unit="pic", mininterval=15) for row in rows]
        columns = [np.stack(column) for column in zip(*found, strict=True)]
        np.savez(file, **dict(zip(LivenessCrops.__slots__, columns, strict=True)))
    stored = np.load(file)
    return LivenessCrops(*(stored[name] for name in LivenessCrops.__slots__))


def upright(image: Image, degrees: str) -> Image:
    """Turn a replay picture as its manifest row says (clockwise; empty: not at all)."""
    turns = {"90": cv2.ROTATE_90_CLOCKWISE, "180": cv2.ROTATE_180, "270": cv2.ROTATE_90_COUNTERCLOCKWISE}
    return cv2.rotate(image, turns[degrees]).astype(np.uint8) if degrees in turns else image


@dataclass(frozen=True, slots=True)
class _Work:
    data: bytes
    live: bool
    source: str
    picture: str
    turn: str = ""
    attacks: int = 0
    background: bytes = b""


def _pictures(sources: Sources) -> Iterator[_Work]:
    lfw = sources.manifest("lfw", "train")[::LFW_ONE_IN]
    backgrounds = list(sources.blobs(LFW, [row["blob"] for row in lfw[:300]]))
    rows = sources.manifest("celeba_spoof600", "train")
    for index, (row, data) in enumerate(zip(rows, sources.blobs(SPOOF_SCENES, [r["blob"] for r in rows]), strict=True)):
        live = row["label"] == "Live"
        yield _Work(data, live, "scenes", row["path"], attacks=ATTACKS_PER_SCENE * live, background=backgrounds[index % 300])
    for index, (row, data) in enumerate(zip(lfw, sources.blobs(LFW, [r["blob"] for r in lfw]), strict=True)):
        yield _Work(data, True, "lfw", row["path"], attacks=1, background=backgrounds[(index + 7) % 300])
    fair = sources.manifest("fairface", "train")[::FAIRFACE_ONE_IN]
    for index, (row, data) in enumerate(zip(fair, sources.blobs(FAIRFACE, [r["blob"] for r in fair]), strict=True)):
        yield _Work(data, True, "fairface", row["path"], attacks=1, background=backgrounds[(index + 11) % 300])
    replays = sources.manifest("liveness_replay")
    for repository in dict.fromkeys(row["repo"] for row in replays):
        mine = [row for row in replays if row["repo"] == repository]
        for row, data in zip(mine, sources.blobs(repository, [r["blob"] for r in mine]), strict=True):
            yield _Work(data, row["label"] == "live", row["source"], row["path"], turn=row["rotate_to_upright"])


class MiniFasNet:
    """The liveness teachers: both networks, each with its own window (../teachers/TEACHERS.md)."""

    def __init__(self, sources: Sources) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._nets = [
            (ort.InferenceSession(str(sources.teachers / f"{name}.onnx"), options, providers=["CPUExecutionProvider"]), scale)
            for name, scale in (("minifasnet_v2", 2.7), ("minifasnet_v1se", 4.0))
        ]

    def __call__(self, image: Image, box: Floats) -> float:
        """Mean live probability for an xyxy box."""
        planes = ((net, _window(image, box, scale).astype(np.float32).transpose(2, 0, 1)[None]) for net, scale in self._nets)
        return float(np.mean([net.run(None, {"input": crop})[0][0, 1] for net, crop in planes]))


class LivenessTeachers:
    """MiniFASNet V2 and hairymax's net on 1.5 times the box: the mean of their logits ranks strange replays better than either."""

    def __init__(self, sources: Sources) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        self._nets = [
            ort.InferenceSession(str(sources.teachers / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("minifasnet_v2", "antispoofing_bin_1.5_128")
        ]
        self._name = self._nets[1].get_inputs()[0].name

    def __call__(self, image: Image, box: Floats) -> float:
        """Live probability for an xyxy box."""
        near = _window(image, box, 2.7).astype(np.float32).transpose(2, 0, 1)[None]
        live = float(self._nets[0].run(None, {"input": near})[0][0, 1])
        side = max(1.0, 1.5 * float((box[2:] - box[:2]).max()))
        corner = (box[:2] + box[2:]) / 2 - side / 2
        shift = np.hstack([np.eye(2) * 128 / side, (-corner * 128 / side)[:, None]])
        square = cv2.warpAffine(image, shift, (128, 128), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REFLECT_101)
        planes = (square[..., ::-1].astype(np.float32) / 255).transpose(2, 0, 1)[None]
        logits = self._nets[1].run(None, {self._name: planes})[0][0]
        first = np.log(np.clip(live, 1e-6, 1 - 1e-6) / np.clip(1 - live, 1e-6, 1))
        return float(1 / (1 + np.exp(-(first + float(logits[0] - logits[1])) / 2)))


def _window(image: Image, box: Floats, scale: float, size: int = 80) -> Image:
    """The box's shape enlarged, reduced and moved so that it stays inside the picture."""
    height, width = image.shape[:2]
    extent = (box[2:] - box[:2]).clip(1)
    scale = float(min((height - 1) / extent[1], (width - 1) / extent[0], scale))
    corner = ((box[:2] + box[2:]) / 2 - extent * scale / 2).clip(0, [width - 1, height - 1] - extent * scale)
    left, top = (int(v) for v in corner)
    right, bottom = (int(v) + 1 for v in corner + extent * scale)
    return cv2.resize(image[top:bottom, left:right], (size, size)).astype(np.uint8)


_detector: YuNet
_teacher: LivenessTeachers


def _start(sources: Sources) -> None:
    global _detector, _teacher
    _detector, _teacher = YuNet(sources.teachers / "yunet_n.onnx"), LivenessTeachers(sources)


def _cut(work: _Work) -> list[tuple[Image, Image, float, float, str, str]]:
    image = decode(work.data)
    if image is None:
        return []
    image = upright(image, work.turn)
    if work.source == "lfw":  # its funnelling left black corners, which no attack would have
        image = np.ascontiguousarray(image[28:-28, 28:-28])
    if max(image.shape[:2]) > 1000:
        factor = 1000 / max(image.shape[:2])
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
    rows = _row(image, float(work.live), work.source, work.picture)
    background = decode(work.background)
    rng = np.random.default_rng(len(work.data))
    for _ in range(work.attacks):
        assert background is not None
        rows += _row(recapture(image, background, rng), 0.0, "simulated", work.picture)
    return rows


def _row(image: Image, live: float, source: str, picture: str) -> list[tuple[Image, Image, float, float, str, str]]:
    faces = _detector(image, 640 if max(image.shape[:2]) > 400 else 320, 0.4)
    if not len(faces):
        return []
    box, points = faces.boxes[0], faces.points[0]
    return [(align(image, points), wide(image, box), live, _teacher(image, box), source, picture)]


if __name__ == "__main__":
    import argparse

    from scripts.train.command import common_arguments, sources_from

    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    rows = load(sources_from(parser.parse_args()))
    for name in np.unique(rows.source):
        mine = rows.source == name
        live = rows.live[mine] == 1
        print(name, f"live {live.sum()}, attacks {(~live).sum()}, teacher's mean {rows.teacher[mine].mean():.3f}")  # noqa: T201
