"""What the geometry and things-worn teachers say about aligned crops: mesh, irises, head pose, glasses, mask."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.face_crops import SETS, align, manifest_rows, nearest_to_centre, similarity, square_crop, with_margin
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MESH_POINTS = 478
# The teachers take 30 ms a face: of large sets only every n-th picture is asked.
ONE_IN = {"lfw": 2, "utkface": 3}
# Eye corners of the mesh: (image-left, image-right) of either eye.
EYES = ((33, 133), (362, 263))


@dataclass(frozen=True, slots=True)
class MeshSet:
    """Answers in the order of the manifest; NaN where there is none. Lengths are pixels of the 160 px crop.

    mesh [N,478,3]; irises [N,2,3] (x, y, radius; image-left first); fsa [N,3] degrees of the picture (yaw, pitch, roll as FSA-Net
    signs them); turn [N] degrees by which aligning turned the picture; worn [N,5] (glasses none, regular, sun; mask no, yes); presence [N].
    """

    mesh: Floats
    irises: Floats
    fsa: Floats
    turn: Floats
    worn: Floats
    presence: Floats


def load(sources: Sources, name: str) -> MeshSet:
    """The answers for a set, asked once and then read from the cache. Rows of the split `eval` are never asked."""
    file = sources.cache / "mesh" / f"{name}.npz"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez(file, **_ask(sources, name))
    stored = np.load(file)
    return MeshSet(*(stored[field] for field in MeshSet.__slots__))


def _ask(sources: Sources, name: str) -> dict[str, Floats]:
    rows = manifest_rows(sources, name)
    width = {"mesh": (MESH_POINTS, 3), "irises": (2, 3), "fsa": (3,), "turn": (), "worn": (5,), "presence": ()}
    answers = {field: np.full((len(rows), *shape), np.nan, np.float32) for field, shape in width.items()}
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=_start, initargs=(sources.teachers,)) as pool:
        stream = sources.blobs(SETS[name], [row["blob"] for row in rows])
        step = ONE_IN.get(name, 1)
        work = (
            (name, b"" if index % step or row["split"] == "eval" else data)
            for index, (row, data) in enumerate(zip(rows, stream, strict=True))
        )
        replies: Iterator[dict[str, Floats] | None] = pool.imap(_ask_one, work, chunksize=16)
        for index, reply in enumerate(tqdm(replies, total=len(rows), desc=f"mesh of {name}", unit="face", mininterval=15)):
            for field, value in (reply or {}).items():
                answers[field][index] = value
    return answers


class MeshTeachers:
    """MediaPipe mesh and iris, FSA-Net, ZhouKai90's attributes, each with its own crop (../teachers/TEACHERS.md)."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        names = ("mediapipe_face478", "mediapipe_iris", "fsanet_1x1", "fsanet_var", "zhoukai90_attributes")
        self._nets = {n: ort.InferenceSession(str(folder / f"{n}.onnx"), options, providers=["CPUExecutionProvider"]) for n in names}

    def mesh(self, image: Image, box: Floats, points: Floats) -> tuple[Floats, float]:
        """478 points (x, y, z) px of the picture and the presence 0..1, from a level square 1.25 times the box."""
        to_crop = _level(box, points, 1.25 * float((box[2:] - box[:2]).max()), 192)
        crop = _warp(image, to_crop, 192)[..., ::-1].astype(np.float32) / 255
        flat, logit = (
            self._nets["mediapipe_face478"].run([f"StatefulPartitionedCall:{i}"], {"serving_default_input_28:0": crop[None]})[0]
            for i in (1, 0)
        )
        found = flat.reshape(MESH_POINTS, 3)
        back = cv2.invertAffineTransform(to_crop).astype(np.float64)
        scale = float(np.hypot(*back[0, :2]))
        return np.hstack([_apply(back, found[:, :2]), found[:, 2:] * scale]).astype(np.float32), float(
            1 / (1 + np.exp(-logit.reshape(-1)[0]))
        )

    def irises(self, image: Image, mesh: Floats) -> Floats:
        """Two irises (x, y, radius) px of the picture, image-left first."""
        answers = []
        for mirrored, (left, right) in enumerate(EYES):
            start, end = mesh[left, :2], mesh[right, :2]
            side = 2.3 * float(np.hypot(*(end - start)))
            to_crop = _level(np.concatenate([(start + end) / 2] * 2), np.stack([start, end]), side, 64)
            crop = _warp(image, to_crop, 64)[..., ::-1].astype(np.float32) / 255
            if mirrored:
                crop = np.ascontiguousarray(crop[:, ::-1])
            rim = self._nets["mediapipe_iris"].run(["output_iris"], {"input_1": crop[None]})[0].reshape(5, 3)[:, :2]
            if mirrored:
                rim = np.stack([63 - rim[:, 0], rim[:, 1]], 1)
            rim = _apply(cv2.invertAffineTransform(to_crop).astype(np.float64), rim)
            answers.append([*rim[0], np.linalg.norm(rim[1:] - rim[0], axis=1).mean()])
        return np.asarray(answers, np.float32)

    def pose(self, image: Image, box: Floats) -> Floats:
        """Yaw, pitch, roll in degrees with FSA-Net's signs: mean of both files."""
        side = 1.4 * float((box[2:] - box[:2]).max())
        middle = (box[:2] + box[2:]) / 2
        crop = square_crop(image, np.concatenate([middle - side / 2, middle + side / 2]), 64)
        planes = ((crop.astype(np.float32) - 127.5) / 128).transpose(2, 0, 1)[None]
        return np.mean([self._nets[n].run(None, {"input": planes})[0][0] for n in ("fsanet_1x1", "fsanet_var")], 0).astype(np.float32)

    def worn(self, crop: Image) -> Floats:
        """Probabilities [5]: glasses none, regular, sun; mask no, yes. From our 160 px crop, whose middle is the teacher's square."""
        inner = cv2.warpAffine(crop, np.array([[1.12, 0, -30 * 1.12], [0, 1.12, -35.36 * 1.12]]), (112, 112))
        planes = inner[..., ::-1].astype(np.float32).transpose(2, 0, 1)
        both = np.ascontiguousarray(np.stack([planes, planes[..., ::-1]]))
        logits = self._nets["zhoukai90_attributes"].run(None, {"data": both})[0]
        parts = [np.exp(part - part.max(1, keepdims=True)) for part in (logits[:, 4:7], logits[:, 2:4])]
        return np.concatenate([(part / part.sum(1, keepdims=True)).mean(0) for part in parts]).astype(np.float32)


def _level(box: Floats, points: Floats, side: float, size: int) -> NDArray[np.float64]:
    """Affine map [2,3] of a square around the box's middle, turned so that points 0 and 1 are level, onto `size` px."""
    middle = (box[:2] + box[2:]).astype(np.float64) / 2
    right = points[1].astype(np.float64) - points[0]
    right /= max(np.hypot(*right), 1e-6)
    scale = size / max(side, 1.0)
    turn = scale * np.array([[right[0], right[1]], [-right[1], right[0]]])
    return np.hstack([turn, ((size - 1) / 2 - turn @ middle)[:, None]])


def _warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    scale = float(np.hypot(*matrix[0, :2]))
    if scale < 0.6:
        factor = max(1.4 * scale, 0.05)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
        matrix = np.hstack([matrix[:, :2] / factor, matrix[:, 2:] + matrix[:, :2] @ np.full((2, 1), 0.5 / factor - 0.5)])
    return cv2.warpAffine(image, matrix, (size, size)).astype(np.uint8)


def _apply(matrix: NDArray[np.float64], points: Floats) -> Floats:
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


_teachers: MeshTeachers
_detector: YuNet


def _start(folder: Path) -> None:
    global _teachers, _detector
    _teachers, _detector = MeshTeachers(folder), YuNet(folder / "yunet_n.onnx")


def _ask_one(work: tuple[str, bytes]) -> dict[str, Floats] | None:
    name, data = work
    image = decode(data)
    if image is None:
        return None
    image = with_margin(name, image)
    faces = _detector(image, 320, 0.5)
    if not len(faces):
        return None
    face = nearest_to_centre(faces, image)
    return label(_teachers, image, faces.boxes[face], faces.points[face])


def label(teachers: MeshTeachers, image: Image, box: Floats, points: Floats) -> dict[str, Floats]:
    """Every answer for one face, in pixels of its crop (see MeshSet)."""
    mesh, presence = teachers.mesh(image, box, points)
    irises = teachers.irises(image, mesh)
    turn, shift = similarity(points)
    scale = float(np.hypot(*turn[0]))
    to_crop = np.hstack([turn, shift[:, None]])
    return {
        "mesh": np.hstack([_apply(to_crop, mesh[:, :2]), mesh[:, 2:] * scale]),
        "irises": np.hstack([_apply(to_crop, irises[:, :2]), irises[:, 2:] * scale]),
        "fsa": teachers.pose(image, box),
        "turn": np.asarray(np.rad2deg(np.arctan2(turn[1, 0], turn[0, 0]))),
        "worn": teachers.worn(align(image, points)),
        "presence": np.asarray(presence),
    }


if __name__ == "__main__":
    import argparse

    from scripts.train.command import common_arguments, sources_from

    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("sets", nargs="+", choices=SETS)
    options = parser.parse_args()
    for set_name in options.sets:
        told = load(sources_from(options), set_name)
        print(set_name, told.mesh.shape, f"asked {np.isfinite(told.presence).mean():.3f}")  # noqa: T201
