"""FERPlus (Barsoum et al., 2016): ten people voted on each picture of FER2013."""

from __future__ import annotations

import csv

import numpy as np
from numpy.typing import NDArray

from scripts.train.repositories import Sources

FERPLUS = "microsoft/FERPlus"
# In the order of our expressions; contempt is left out.
COLUMNS = ("anger", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
LEAST_VOTES = 5


def votes(sources: Sources, rows: list[dict[str, str]]) -> dict[int, NDArray[np.float32]]:
    """Votes [7] by row of FER2013, where at least LEAST_VOTES people named one of our expressions. Rows of its test part have none."""
    blob = sources.tree(FERPLUS, "fer2013new.csv")["fer2013new.csv"]
    lines = next(iter(sources.blobs(FERPLUS, [blob]))).decode().splitlines()
    table = {row["Image name"]: row for row in csv.DictReader(lines) if row["Usage"] == "Training"}
    place = {row["path"]: index for index, row in enumerate(rows)}
    found = {}
    for row in sources.manifest("fer2013_to_ferplus"):
        if row["ferplus_image"] in table and row["fer2013_path"] in place:
            given = np.array([float(table[row["ferplus_image"]][name]) for name in COLUMNS], np.float32)
            if given.sum() >= LEAST_VOTES:
                found[place[row["fer2013_path"]]] = given
    return found
