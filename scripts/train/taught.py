"""What the teachers of age, gender and expression say of training faces: python -m scripts.train.taught --help.

Each is asked about the crop that it knows, in the picture itself: on squares of our aligned crops the age teacher is 6.1 to 7.4 years off
(493 faces of UTKFace `train`, five squares).
"""

from __future__ import annotations

import argparse
import multiprocessing
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.command import common_arguments, sources_from
from scripts.train.face_crops import SETS, WIDTH, Teachers, manifest_rows, nearest_to_centre, with_margin
from scripts.train.repositories import Sources, decode

EVERY = 4  # one row in so many is asked about
Floats = NDArray[np.float32]


def taught(sources: Sources, name: str) -> Floats:
    """Answers [N,16] of `Teachers`, NaN for rows that are not for training, have no face or are left out. Asked once, then cached."""
    file = sources.cache / "crops" / f"{name}.taught.npy"
    if not file.exists():
        np.save(file, _ask(sources, name))
    return np.asarray(np.load(file))


def _ask(sources: Sources, name: str) -> Floats:
    rows = manifest_rows(sources, name)
    chosen = [index for index, row in enumerate(rows) if row["split"] == "train"][::EVERY]
    answers = np.full((len(rows), WIDTH), np.nan, np.float32)
    with multiprocessing.get_context("spawn").Pool(initializer=_start, initargs=(sources,)) as pool:
        work = ((name, data) for data in sources.blobs(SETS[name], [rows[index]["blob"] for index in chosen]))
        said: Iterator[Floats | None] = pool.imap(_one, work, chunksize=16)
        for index, answer in zip(chosen, tqdm(said, total=len(chosen), desc=f"taught {name}", unit="face", mininterval=10), strict=True):
            if answer is not None:
                answers[index] = answer
    return answers


_teachers: Teachers


def _start(sources: Sources) -> None:
    global _teachers
    _teachers = Teachers(sources.teachers)


def _one(work: tuple[str, bytes]) -> Floats | None:
    name, data = work
    image = decode(data)
    if image is None:
        return None
    image = with_margin(name, image)
    faces = _teachers.detector(image, 320, 0.5)
    return _teachers(image, faces.boxes[nearest_to_centre(faces, image)]) if len(faces) else None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("sets", nargs="+", choices=SETS)
    options = parser.parse_args()
    for set_name in options.sets:
        taught(sources_from(options), set_name)
