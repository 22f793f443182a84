"""Training pictures of the face detector: encoded photographs with boxes, points and regions to ignore.

Boxes come from people where people drew them (MaskON), otherwise from the teacher run at two sizes, so that
the student, which sees the picture scaled down, can learn faces that the teacher misses at that size.
"""

from __future__ import annotations

import multiprocessing
import pickle
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.repositories import Sources, decode
from scripts.train.yunet import Faces, YuNet, suppress

SURE, MAYBE = 0.65, 0.25


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded photograph. boxes [N,4] xyxy px; points [N,5,2] px, NaN where unknown; ignore [M,4]."""

    data: bytes
    origin: str
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    ignore: NDArray[np.float32]


def load(sources: Sources) -> list[Picture]:
    """All training pictures, labelled once and then read from the cache."""
    cache = sources.cache / "detector_pictures.pickle"
    if not cache.exists():
        pictures = list(_label(sources))
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.write_bytes(pickle.dumps(pictures))
    loaded: list[Picture] = pickle.loads(cache.read_bytes())
    return loaded


def intersection_over_union(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pairwise overlap [N,M] of xyxy boxes [N,4] and [M,4]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = (high - low).clip(0).prod(2)
    area = [(boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)]
    return (common / (area[0][:, None] + area[1][None] - common + 1e-9)).astype(np.float32)


def annotated_boxes(xml: bytes) -> NDArray[np.float32]:
    """Boxes [N,4] xyxy px of a VOC annotation file."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    boxes = [[float(box.findtext(c, "nan")) for c in corners] for box in ET.fromstring(xml).iter("bndbox")]  # noqa: S314
    return np.asarray(boxes, np.float32).reshape(-1, 4)


def is_eval(file_name: str, one_in: int) -> bool:
    """The split rule of the sets that have no manifest."""
    return zlib.crc32(file_name.encode()) % one_in == 0


def is_held_out(picture: Picture) -> bool:
    """A sixth of the street, LFW and mask pictures, to choose the operating point on.

    Kept from training since the third stage of the shipped detector; the first two stages saw them.
    """
    return picture.origin in {"street", "lfw", "masks"} and zlib.crc32(picture.data) % 6 == 0


def _label(sources: Sources) -> Iterator[Picture]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=_start, initargs=(sources.teachers / "yunet_n.onnx",)) as pool:
        labelled = pool.imap(_label_one, _pictures(sources), chunksize=8)
        yield from (picture for picture in tqdm(labelled, desc="labelling detector pictures", unit="pic", mininterval=10) if picture)


_teacher: YuNet


def _start(weights: Path) -> None:
    global _teacher
    _teacher = YuNet(weights)


def _label_one(row: tuple[str, bytes, NDArray[np.float32] | None]) -> Picture | None:
    origin, data, drawn = row
    image = decode(data)
    if image is None:
        return None
    sides = (640, 1280) if max(image.shape[:2]) > 300 else (320, 640)
    found = [_teacher(image, side, MAYBE) for side in sides]
    joined = Faces(*(np.concatenate([getattr(f, name) for f in found]) for name in ("boxes", "scores", "points")))
    return _merge(origin, data, suppress(joined, 0.4), drawn)


def _merge(origin: str, data: bytes, faces: Faces, drawn: NDArray[np.float32] | None) -> Picture:
    sure = faces.scores >= SURE
    if drawn is None:
        return Picture(data, origin, faces.boxes[sure], faces.points[sure], faces.boxes[~sure])
    boxes, points = drawn.copy(), np.full((len(drawn), 5, 2), np.nan, np.float32)
    overlap = intersection_over_union(drawn, faces.boxes)
    for row, column in zip(*np.nonzero((overlap >= 0.4) & (overlap == overlap.max(1, keepdims=True, initial=0))), strict=True):
        # One convention for boxes: the teacher's, because most pictures have no other.
        boxes[row], points[row] = faces.boxes[column], faces.points[column]
    free = overlap.max(0, initial=0) < 0.2
    missed = free & (faces.scores >= 0.75)
    return Picture(
        data,
        origin,
        np.concatenate([boxes, faces.boxes[missed]]),
        np.concatenate([points, faces.points[missed]]),
        faces.boxes[free & ~missed],
    )


def _pictures(sources: Sources) -> Iterator[tuple[str, bytes, NDArray[np.float32] | None]]:
    yield from _maskon(sources)
    lfw = [row["blob"] for row in sources.manifest("lfw", "train")][::2]
    yield from (("lfw", data, None) for data in sources.blobs("SnorreW/FacialAttributes_Snorre", lfw))
    scenes = [row["blob"] for row in sources.manifest("celeba_spoof600", "train")]
    yield from (("spoof", data, None) for data in sources.blobs("ReynaraEzra/Liveness-Detection", scenes))
    utk = [row["blob"] for row in sources.manifest("utkface", "train")][::4]
    yield from (("utk", data, None) for data in sources.blobs("mattans/AgeProgression", utk))
    for repository, folder, one_in in (
        ("chandrikadeb7/Face-Mask-Detection", "dataset", 10),
        ("prajnasb/observations", "experiements/data", 0),
    ):
        files = {p: b for p, b in sources.tree(repository, folder).items() if p.lower().endswith((".jpg", ".jpeg", ".png"))}
        blobs = [b for p, b in files.items() if not one_in or not is_eval(p.rsplit("/", 1)[-1], one_in)]
        yield from (("masks", data, None) for data in sources.blobs(repository, blobs))


def _maskon(sources: Sources) -> Iterator[tuple[str, bytes, NDArray[np.float32]]]:
    repository = "marellanoc/MaskON"
    notes = {p.rsplit("/", 1)[-1].rsplit(".", 1)[0]: b for p, b in sources.tree(repository, "archive/annotations").items()}
    images = {p.rsplit("/", 1)[-1]: b for p, b in sources.tree(repository, "archive/images").items()}
    pairs = [
        (name, blob, notes[stem]) for name, blob in images.items() if (stem := name.rsplit(".", 1)[0]) in notes and not is_eval(name, 5)
    ]
    data = sources.blobs(repository, [blob for _, blob, _ in pairs])
    xml = sources.blobs(repository, [note for _, _, note in pairs])
    for (name, _, _), image, note in zip(pairs, data, xml, strict=True):
        yield ("street" if name.startswith("maksss") else "maskon"), image, annotated_boxes(note)
