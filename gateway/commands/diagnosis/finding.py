"""Result of a check."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """`NOTE`: worth knowing, keeps nothing from working. `FAILED`: something does not work until the advice is followed."""

    OK = "ok"
    NOTE = "note"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report, and what to do when it is not good."""

    subject: str
    state: State
    told: str
    advice: str = ""
