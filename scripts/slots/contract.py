"""The slots: what each attribute's tensor must hold, whoever fills it. Read from the built-in repository."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from gateway.models import Output, read_catalogue
from gateway.settings import CLONE, REPOSITORY

# What models are tried on: one face.
PHOTO = CLONE / "tests" / "pictures" / "astronaut.jpg"
# Attributes that a model made elsewhere can fill: numbers, or probabilities over labels.
NUMBERS = {"age": (0.0, 120.0), "beauty": (0.0, 100.0)}  # lowest and highest answer
# Several numbers: how many, and the lowest and highest answer of each.
VECTORS = {"pose": (3, -180.0, 180.0)}
DISTRIBUTIONS = ("gender", "race", "emotion", "glasses", "mask", "hat")
# Answered as one probability, that of the last label.
DECISIONS = {"liveness": ("spoof", "live")}
# Attributes that say something about another one's answer, and are left out where another model, or a mean, gives that answer.
ABOUT = {"age_range": "age"}


class Refused(Exception):
    """What was asked cannot be done: one line for the person who asked."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in the ensemble: FP32 [N,width] by the name `tensor`, within `low` and `high`.

    `labels` are those of an adapter's head, in the order of the answer; empty: `width` numbers. A decision answers the last one's
    probability.
    """

    attribute: str
    tensor: str
    labels: tuple[str, ...]
    width: int
    low: float
    high: float
    built_in: Output

    @property
    def is_decision(self) -> bool:
        """Whether only the last label's probability is answered."""
        return self.attribute in DECISIONS


@cache
def slots() -> dict[str, Slot]:
    """Every slot that can be filled, by attribute."""
    found = {output.attribute: output for output in read_catalogue(REPOSITORY).outputs}
    numbers = [Slot(name, found[name].tensor, (), 1, *limits, found[name]) for name, limits in NUMBERS.items()]
    numbers += [Slot(name, found[name].tensor, (), *shape, found[name]) for name, shape in VECTORS.items()]
    spread = [Slot(name, found[name].tensor, found[name].labels, len(found[name].labels), 0.0, 1.0, found[name]) for name in DISTRIBUTIONS]
    decided = [Slot(name, found[name].tensor, labels, 1, 0.0, 1.0, found[name]) for name, labels in DECISIONS.items()]
    return {slot.attribute: slot for slot in (*numbers, *spread, *decided)}


def slot_of(attribute: str) -> Slot:
    """Raises Refused."""
    if attribute not in slots():
        raise Refused(f"There is no slot {attribute!r} for a model made elsewhere; there are {', '.join(slots())}.")
    return slots()[attribute]
