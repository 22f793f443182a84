"""What somebody may have meant."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches


def did_you_mean(word: str, known: Sequence[str]) -> str:
    """A question to append to a message; empty when nothing is alike."""
    alike = get_close_matches(word, known, n=1)
    return f" Did you mean {alike[0]!r}?" if alike else ""
