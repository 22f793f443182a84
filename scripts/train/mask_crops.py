"""Aligned crops of faces with and without masks: MaskON's three classes, Face-Mask-Detection and observations' two."""

from __future__ import annotations

import multiprocessing
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.detector_pictures import intersection_over_union, is_eval
from scripts.train.face_crops import align, nearest_to_centre
from scripts.train.labels import labels
from scripts.train.repositories import Sources, decode
from scripts.train.yunet import YuNet

CLASSES = labels("face_accessories", "MASK")
MASKON = {"sin_mascarilla": 0, "con_mascarilla": 1, "mascarilla_mal_puesta": 2}
FOLDERS = {
    "without_mask": 0,
    "with_mask": 1,
}


@dataclass(frozen=True, slots=True)
class MaskCrops:
    """Crops uint8 BGR [N,160,160,3], index of CLASSES [N], name of the picture [N]. Training pictures only."""

    crops: NDArray[np.uint8]
    classes: NDArray[np.int64]
    pictures: NDArray[np.str_]


def load(sources: Sources) -> MaskCrops:
    """All faces that the detector's teacher finds in training pictures, cut once and then read from the cache."""
    file = sources.cache / "crops" / "masks.npz"
    if not file.exists():
        context = multiprocessing.get_context("spawn")
        with context.Pool(initializer=_start, initargs=(sources,)) as pool:
            cut = pool.imap(_cut, _pictures(sources), chunksize=8)
            found = [face for faces in tqdm(cut, desc="masked faces", unit="pic", mininterval=15) for face in faces]
        crops, classes, pictures = (np.stack(column) for column in zip(*found, strict=True))
        np.savez(file, crops=crops, classes=classes, pictures=pictures)
    stored = np.load(file)
    return MaskCrops(stored["crops"], stored["classes"], stored["pictures"])


def annotated_masks(xml: bytes) -> list[tuple[NDArray[np.float32], int]]:
    """(box xyxy px, class) of every face of a MaskON annotation."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    return [
        (np.array([float(item.findtext(f"bndbox/{c}", "nan")) for c in corners], np.float32), MASKON[item.findtext("name", "")])
        for item in ET.fromstring(xml).iter("object")  # noqa: S314 - the data set's own file
    ]


def _pictures(sources: Sources) -> Iterator[tuple[str, bytes, list[tuple[NDArray[np.float32], int]] | int]]:
    repository = "marellanoc/MaskON"
    notes = {p.rsplit("/", 1)[-1].rsplit(".", 1)[0]: b for p, b in sources.tree(repository, "archive/annotations").items()}
    images = {p.rsplit("/", 1)[-1]: b for p, b in sources.tree(repository, "archive/images").items()}
    kept = [
        (name, blob, notes[stem]) for name, blob in images.items() if (stem := name.rsplit(".", 1)[0]) in notes and not is_eval(name, 5)
    ]
    data = sources.blobs(repository, [blob for _, blob, _ in kept])
    xml = sources.blobs(repository, [note for *_, note in kept])
    yield from ((name, image, annotated_masks(note)) for (name, *_), image, note in zip(kept, data, xml, strict=True))
    for repository, folder, one_in in (
        ("chandrikadeb7/Face-Mask-Detection", "dataset", 10),
        ("prajnasb/observations", "experiements/data", 0),
    ):
        files = {
            path: blob
            for path, blob in sources.tree(repository, folder).items()
            if path.split("/")[-2] in FOLDERS and not (one_in and is_eval(path.rsplit("/", 1)[-1], one_in))
        }
        yield from (
            (p.rsplit("/", 1)[-1], d, FOLDERS[p.split("/")[-2]])
            for p, d in zip(files, sources.blobs(repository, files.values()), strict=True)
        )


_detector: YuNet


def _start(sources: Sources) -> None:
    global _detector
    _detector = YuNet(sources.teachers / "yunet_n.onnx")


def _cut(
    work: tuple[str, bytes, list[tuple[NDArray[np.float32], int]] | int],
) -> list[tuple[NDArray[np.uint8], int, str]]:
    name, data, truth = work
    image = decode(data)
    if image is None:
        return []
    faces = _detector(image, 640, 0.3)
    if not len(faces):
        return []
    if isinstance(truth, int):
        return [(align(image, faces.points[nearest_to_centre(faces, image)]), truth, name)]
    found = []
    for box, kind in truth:
        overlap = intersection_over_union(box[None], faces.boxes)[0]
        if overlap.max() >= 0.4:
            found.append((align(image, faces.points[overlap.argmax()]), kind, name))
    return found


if __name__ == "__main__":
    import argparse

    from scripts.train.command import common_arguments, sources_from

    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    masks = load(sources_from(parser.parse_args()))
    print(dict(zip(CLASSES, np.bincount(masks.classes).tolist(), strict=True)))  # noqa: T201
