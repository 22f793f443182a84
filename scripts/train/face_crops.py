"""Aligned face crops with labels: what the attribute recipes learn from.

The crop is that of `face_align` (scripts/graphs/geometry.py). Points come from the detector's teacher, which our detector
imitates.
"""

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

from scripts.graphs.geometry import CROP_SIDE_PX, WIDE_SIDE_PX, WIDE_SPAN, crop_template
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import Faces, YuNet

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

SETS = {
    "fairface": "sumanvithaeadala/EthnicityDetection",
    "utkface": "mattans/AgeProgression",
    "lfw": "SnorreW/FacialAttributes_Snorre",
    "celeba10k": "karthikSingireddy/cs389-hw4",
    "fer2013": "RecepTahirGunlu/Duygu-Tanima",
    "muxspace": "muxspace/facial_expressions",
    "ytf": "alexandrenpl/P1_Facial_Keypoints",
    "mebeauty": "fbplab/MEBeauty-database",  # beauty and nothing else: its terms
}
# Where a FER2013 picture (48 px, cut to the face) lies in our crop when no detector finds its points: the median over
# the pictures in which the teacher does.
FER_LEFT_PX, FER_TOP_PX, FER_SIDE_PX = 24.0, 24.0, 112.0


@dataclass(frozen=True, slots=True)
class CropSet:
    """One set: crops uint8 BGR [N,160,160,3], found [N], manifest rows.

    The crops are in memory: random reads from a mapped file wait for the disk.
    """

    crops: Image
    found: NDArray[np.bool_]
    rows: list[dict[str, str]]

    def column(self, name: str) -> NDArray[np.str_]:
        """A manifest column, aligned with `crops`."""
        return np.array([row[name] for row in self.rows])


# Columns of what Teachers answers.
AGE, MALE, EMOTIONS, HUMAN_EMOTIONS, WIDTH = 0, 1, slice(2, 9), slice(9, 16), 16


def load(sources: Sources, name: str, only: slice | NDArray[np.int64] = slice(None)) -> CropSet:
    """The rows of a manifest, or some of them, cut once and then read from the cache. What is left out takes no memory."""
    folder = sources.cache / "crops"
    crops_file, facts_file = folder / f"{name}.npy", folder / f"{name}.npz"
    rows = manifest_rows(sources, name)
    if not facts_file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _cut(sources, name, rows, crops_file, facts_file)
    crops = np.ascontiguousarray(np.load(crops_file, mmap_mode="r")[only])
    return CropSet(crops, np.load(facts_file)["found"][only], [rows[index] for index in np.arange(len(rows))[only]])


def manifest_rows(sources: Sources, name: str) -> list[dict[str, str]]:
    """The rows of a set, each with `blob` and `split`."""
    if name != "ytf":
        return sources.manifest(name)
    blobs = sources.tree(SETS[name], "data/training")
    rows = sources.manifest("ytf_training_frames_keypoints")
    return [{**row, "path": row[""], "blob": blobs[f"data/training/{row['']}"], "split": "train"} for row in rows]


def similarity(points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least-squares similarity (matrix [2,2], shift [2]) that lays five image points onto the crop's template."""
    x, y = (points - points.mean(0)).T.astype(np.float64)
    target = crop_template().astype(np.float64)
    u, v = (target - target.mean(0)).T
    spread = (x**2 + y**2).sum()
    a, b = (x * u + y * v).sum() / spread, (x * v - y * u).sum() / spread
    turn = np.array([[a, -b], [b, a]])
    return turn, target.mean(0) - turn @ points.mean(0)


def align(image: Image, points: Floats) -> Image:
    """The crop of `face_align`: least-squares similarity of the five points onto the template."""
    turn, shift = similarity(points)
    per_px = float(np.hypot(*turn[0]))
    if per_px < 0.5:
        factor = max(per_px * 1.4, 0.05)
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA).astype(np.uint8)
        shift = shift + turn @ np.full(2, 0.5 / factor - 0.5)  # pixel centres, not corners, are scaled
        turn = turn / factor
    return cv2.warpAffine(image, np.hstack([turn, shift[:, None]]), (CROP_SIDE_PX, CROP_SIDE_PX)).astype(np.uint8)


def wide(image: Image, box: Floats) -> Image:
    """The surroundings as `face_align` cuts them: WIDE_SPAN times the xyxy box's longer side, black outside."""
    side = min(WIDE_SPAN * float((box[2:] - box[:2]).max()), float(max(image.shape[:2])))
    middle = (box[:2] + box[2:]) / 2 + 0.5  # the graph counts from the middle of the first pixel
    return square_crop(image, np.concatenate([middle - side / 2, middle + side / 2]), WIDE_SIDE_PX)


class Teachers:
    """Age, gender and expression teachers, each with its own crop (../teachers/TEACHERS.md)."""

    def __init__(self, folder: Path) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._nets = {
            name: ort.InferenceSession(str(folder / f"{name}.onnx"), options, providers=["CPUExecutionProvider"])
            for name in ("faceapi_age_gender", "faceapi_expression", "human_emotion")
        }
        self.detector = YuNet(folder / "yunet_n.onnx")

    def __call__(self, image: Image, box: Floats) -> Floats:
        """Answers [16] for one face, averaged over the mirror image: age, P(male), seven emotions of each expression teacher."""
        square = square_crop(image, box, 112)
        both = np.stack([square, square[:, ::-1]])[..., ::-1].transpose(0, 3, 1, 2).astype(np.float32)
        age, gender = self._nets["faceapi_age_gender"].run(None, {"input": both})
        emotion = self._nets["faceapi_expression"].run(None, {"input": both})[0].mean(0)[[3, 5, 4, 1, 2, 6, 0]]
        grey = cv2.cvtColor(square_crop(image, box, 64), cv2.COLOR_BGR2GRAY).astype(np.float32) / 127.5 - 1
        human = self._nets["human_emotion"].run(None, {"input_1:0": grey[None, ..., None]})[0][0]
        return np.concatenate([[age.mean(), gender.mean(0)[0]], emotion, human]).astype(np.float32)


def square_crop(image: Image, box: Floats, size: int) -> Image:
    """Square around an xyxy box, side its longer side, black outside the picture."""
    side = max(float(box[2] - box[0]), float(box[3] - box[1]))
    corner = (box[:2] + box[2:] - side) / 2
    scale = size / side
    shift = (0.5 - corner) * scale - 0.5  # pixel centres, not corners, are scaled
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    if scale < 0.6:
        n = max(2, round(side))
        part = cv2.warpAffine(image, np.array([[1, 0, -corner[0]], [0, 1, -corner[1]]]), (n, n))
        return cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA).astype(np.uint8)
    return cv2.warpAffine(image, matrix, (size, size)).astype(np.uint8)


def _cut(sources: Sources, name: str, rows: list[dict[str, str]], crops_file: Path, facts_file: Path) -> None:
    shape = (len(rows), CROP_SIDE_PX, CROP_SIDE_PX, 3)
    crops = np.lib.format.open_memmap(crops_file, "w+", np.uint8, shape)
    found = np.zeros(len(rows), bool)
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=_start, initargs=(sources.teachers,)) as pool:
        work = ((name, data) for data in sources.blobs(SETS[name], [row["blob"] for row in rows]))
        results: Iterator[tuple[Image, bool]] = pool.imap(_cut_one, work, chunksize=16)
        for index, (crop, seen) in enumerate(tqdm(results, total=len(rows), desc=name, unit="face", mininterval=10)):
            crops[index], found[index] = crop, seen
    crops.flush()
    np.savez(facts_file, found=found)


_detector: YuNet


def _start(folder: Path) -> None:
    global _detector
    _detector = YuNet(folder / "yunet_n.onnx")


def _cut_one(work: tuple[str, bytes]) -> tuple[Image, bool]:
    name, data = work
    image = decode(data)
    if image is None:
        return np.zeros((CROP_SIDE_PX, CROP_SIDE_PX, 3), np.uint8), False
    image = with_margin(name, image)
    faces = _detector(image, 320, 0.3 if name == "fairface" else 0.5)  # each of its pictures was cut around a face
    if not len(faces):
        return _whole(name, image), False
    return align(image, faces.points[nearest_to_centre(faces, image)]), True


def with_margin(name: str, image: Image) -> Image:
    """The picture as the detector gets it: tight crops with room around them, small ones enlarged."""
    if name == "fairface":  # 224 px that a tilted face may leave
        return cv2.copyMakeBorder(image, 24, 24, 24, 24, cv2.BORDER_CONSTANT).astype(np.uint8)
    if name == "utkface":
        return cv2.copyMakeBorder(image, 40, 40, 40, 40, cv2.BORDER_CONSTANT).astype(np.uint8)
    if name == "celeba10k":
        return cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    if name == "fer2013":
        large = cv2.resize(image, (192, 192), interpolation=cv2.INTER_CUBIC)
        return cv2.copyMakeBorder(large, 48, 48, 48, 48, cv2.BORDER_CONSTANT).astype(np.uint8)
    return image


def nearest_to_centre(faces: Faces, image: Image) -> int:
    """Index of the person that a single-person picture is of."""
    middle = np.array(image.shape[1::-1]) / 2
    return int(np.argmin(np.linalg.norm((faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2 - middle, axis=1)))


def _whole(name: str, image: Image) -> Image:
    """The picture itself in place of an aligned crop (only pictures that are cut to a face)."""
    if name != "fer2013":
        return cv2.resize(image, (CROP_SIDE_PX, CROP_SIDE_PX)).astype(np.uint8)
    scale = FER_SIDE_PX / 192
    matrix = np.array([[scale, 0, FER_LEFT_PX - 48 * scale], [0, scale, FER_TOP_PX - 48 * scale]])
    return cv2.warpAffine(image, matrix, (CROP_SIDE_PX, CROP_SIDE_PX), flags=cv2.INTER_AREA).astype(np.uint8)


if __name__ == "__main__":
    import argparse

    from scripts.train.command import common_arguments, sources_from

    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("sets", nargs="+", choices=SETS)
    options = parser.parse_args()
    for set_name in options.sets:
        loaded = load(sources_from(options), set_name)
        print(set_name, loaded.crops.shape, f"found {loaded.found.mean():.3f}")  # noqa: T201
