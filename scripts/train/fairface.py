"""How FairFace (Karkkainen & Joo, 2021) names ages and races, and what the other sets' names mean in its terms."""

from __future__ import annotations

from scripts.train.labels import labels

RACES = labels("face_demographics", "RACE")  # as answered
SEVEN = ("East Asian", "Southeast Asian", "Indian", "Black", "White", "Middle Eastern", "Latino_Hispanic")  # as labelled and learned
UTK_RACES = {"White": ("White",), "Black": ("Black",), "Indian": ("Indian",), "Asian": SEVEN[:2], "Other": SEVEN[5:]}
# First and last year of each band.
BANDS = {
    "0-2": (0, 2), "3-9": (3, 9), "10-19": (10, 19), "20-29": (20, 29), "30-39": (30, 39),
    "40-49": (40, 49), "50-59": (50, 59), "60-69": (60, 69), "70+": (70, 100),
}  # fmt: skip
BAND_EDGES = [low for low, _ in BANDS.values()][1:]


def served_race(label: str) -> str:
    """The name of one of SEVEN among RACES."""
    return "asian" if label.endswith("Asian") else label.lower().replace("_", " ")
