"""Amounts as Kubernetes writes them."""

from __future__ import annotations

import re

UNITS = {"": 1.0, "m": 1e-3, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}


def amount(text: str | int) -> float:
    """Bytes, cores or pieces."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi|Ti)?", str(text))
    assert found, text
    return float(found[1]) * UNITS[found[2] or ""]
