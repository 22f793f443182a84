"""Training pictures of the face detector: encoded photographs with boxes, points and regions to ignore.

Boxes come from people where people drew them (MaskON), otherwise from two teachers. Crowds are shown to them one and a half times as large
as to the student, which so learns faces that they miss at its size. What one teacher is sure of, or
both find, is a face; what only one of them suspects is neither a face nor background.
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
from scripts.train.scrfd import Scrfd
from scripts.train.yunet import Faces, YuNet, suppress

SURE, MAYBE = 0.65, 0.25
# Unlabelled photographs of people everywhere: repository, folder, revision, one in how many is taken.
CROWDS = (
    ("ch-tseng/Dataset_for_Mask_Wearing", "images", "HEAD", 1),
    ("quantumnaan/sic_translator", "data/Images", "HEAD", 1),  # Flickr8k
    ("MonsterVivy/shanghaitech", "part_B/train_data/images", "HEAD", 1),
    ("MonsterVivy/shanghaitech", "part_A/train_data/images", "HEAD", 1),
    ("LS-chen/Pedestrian-behavior-detection-and-prediction", "JPEGImages", "HEAD", 5),
    ("YINYIPENG-EN/Pruning_for_yolov4", "VOCdevkit/VOC2007/JPEGImages", "d1244e17^", 2),
    ("RlNZLER/Image-Text-Matching", "data/images", "56a15d91", 4),  # Flickr8k, squeezed to squares
)
# Photographs of animals, rarely with a person: what one teacher alone takes for a face is none.
ANIMALS = ("mateusrafael4/Atividade_programacao_pose_estimation", "images", "HEAD", 4)
FAIRFACE_EVERY = 2


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded photograph. boxes [N,4] xyxy px; points [N,5,2] px, NaN where unknown; ignore [M,4]."""

    data: bytes
    origin: str
    boxes: NDArray[np.float32]
    points: NDArray[np.float32]
    ignore: NDArray[np.float32]


def load(sources: Sources) -> list[Picture]:
    """All training pictures, each group labelled once and then read from the cache."""
    folder, pictures = sources.cache / "detector", list[Picture]()
    folder.mkdir(parents=True, exist_ok=True)
    for group, found in _groups(sources).items():
        cache = folder / f"{group}.pickle"
        if not cache.exists():
            cache.write_bytes(pickle.dumps(list(_label(sources, group, found))))
        pictures += pickle.loads(cache.read_bytes())
    return pictures


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
    return picture.origin in {"street", "lfw", "masks", "fairface", "crowd"} and zlib.crc32(picture.data) % 6 == 0


Rows = Iterator[tuple[str, bytes, NDArray[np.float32] | None]]


def _label(sources: Sources, group: str, found: Rows) -> Iterator[Picture]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(initializer=_start, initargs=(sources.teachers,)) as pool:
        labelled = pool.imap(_label_one, found, chunksize=8)
        yield from (picture for picture in tqdm(labelled, desc=f"labelling {group}", unit="pic", mininterval=10) if picture)


_teachers: tuple[YuNet, Scrfd]


def _start(folder: Path) -> None:
    global _teachers
    _teachers = YuNet(folder / "yunet_n.onnx"), Scrfd(folder / "scrfd_500m_bnkps.onnx")


def _label_one(row: tuple[str, bytes, NDArray[np.float32] | None]) -> Picture | None:
    origin, data, drawn = row
    image = decode(data)
    if image is None:
        return None
    small = max(image.shape[:2]) <= 300
    side = (640 if small else 960) if origin == "crowd" else 320 if small else 640
    first, second = (teacher(image, side, MAYBE) for teacher in _teachers)
    if origin == "animals":
        first = suppress(_both(first, second), 0.4)
        second = Faces(*(part[:0] for part in (second.boxes, second.scores, second.points)))
    return _merge(origin, data, _agreed(first, second), drawn)


def _agreed(first: Faces, second: Faces) -> Faces:
    """Both teachers' faces, the first one's box where both have one; its score is raised as if they were independent witnesses."""
    overlap = intersection_over_union(first.boxes, second.boxes)
    best = overlap.max(1, initial=0)
    partner = np.where(best >= 0.4, second.scores[overlap.argmax(1)] if len(second) else 0, 0)
    scores = 1 - (1 - first.scores) * (1 - partner)
    alone = overlap.max(0, initial=0) < 0.3
    return Faces(
        np.concatenate([first.boxes, second.boxes[alone]]),
        np.concatenate([scores, second.scores[alone] * 0.95]).astype(np.float32),
        np.concatenate([first.points, second.points[alone]]),
    )


def _both(first: Faces, second: Faces) -> Faces:
    """Faces of the first that the second one finds too, with certainty."""
    found = intersection_over_union(first.boxes, second.boxes[second.scores > 0.4]).max(1, initial=0) > 0.4
    return Faces(first.boxes[found], np.full(int(found.sum()), 0.99, np.float32), first.points[found])


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


def _groups(sources: Sources) -> dict[str, Rows]:
    """The pictures of each origin, still to be labelled."""
    lfw = [row["blob"] for row in sources.manifest("lfw", "train")][::6]
    fair = [row["blob"] for row in sources.manifest("fairface", "train")][::FAIRFACE_EVERY]
    spoof = [row["blob"] for row in sources.manifest("celeba_spoof600", "train")]
    utk = [row["blob"] for row in sources.manifest("utkface", "train")][::12]
    known = {row["path"].rsplit("/", 1)[-1] for row in sources.manifest("celeba10k")}
    files = sources.tree("matush97/faceRecognition", "Celeb")
    celebrities = [blob for path, blob in files.items() if path.rsplit("/", 1)[-1] not in known][::5]
    alone = {
        "lfw": ("SnorreW/FacialAttributes_Snorre", lfw),
        "fairface": ("sumanvithaeadala/EthnicityDetection", fair),
        "spoof": ("ReynaraEzra/Liveness-Detection", spoof),
        "utk": ("mattans/AgeProgression", utk),
        "celebrities": ("matush97/faceRecognition", celebrities),
    }
    groups: dict[str, Rows] = {"maskon": _maskon(sources), "masks": _masks(sources), "crowd": _unlabelled(sources, "crowd", *CROWDS)}
    groups["animals"] = _unlabelled(sources, "animals", ANIMALS)
    return groups | {name: _single(name, sources.blobs(*place)) for name, place in alone.items()}


def _single(origin: str, blobs: Iterator[bytes]) -> Rows:
    yield from ((origin, data, None) for data in blobs)


def _unlabelled(sources: Sources, origin: str, *places: tuple[str, str, str, int]) -> Rows:
    for repository, folder, revision, one_in in places:
        files = sources.tree(repository, folder, revision)
        blobs = [blob for path, blob in files.items() if path.lower().endswith((".jpg", ".jpeg"))][::one_in]
        yield from ((origin, data, None) for data in sources.blobs(repository, blobs))


def _masks(sources: Sources) -> Rows:
    for repository, folder, one_in in (
        ("chandrikadeb7/Face-Mask-Detection", "dataset", 10),
        ("prajnasb/observations", "experiements/data", 0),
    ):
        files = {p: b for p, b in sources.tree(repository, folder).items() if p.lower().endswith((".jpg", ".jpeg", ".png"))}
        blobs = [b for p, b in files.items() if not one_in or not is_eval(p.rsplit("/", 1)[-1], one_in)]
        yield from (("masks", data, None) for data in sources.blobs(repository, blobs[::2]))


def _maskon(sources: Sources) -> Rows:
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
