"""The catalogue: models of others that are described here. Facts only; none of their files is part of this repository."""

from __future__ import annotations

import tomllib
from pathlib import Path

from scripts.slots import adapter
from scripts.slots.adapter import Adapter
from scripts.slots.contract import Refused

FOLDER = Path(__file__).resolve().parent / "catalogue"
PACKS = FOLDER.with_name("packs.toml")


def entries() -> dict[str, Path]:
    """File of the adapter by name."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}


def entry(name: str) -> tuple[Adapter, str]:
    """An adapter and its text. Raises Refused."""
    if name not in entries():
        raise Refused(f"The catalogue has no {name!r}; it has {', '.join((*entries(), *packs()))}.")
    return adapter.read(entries()[name]), entries()[name].read_text()


def packs() -> dict[str, dict[str, dict[str, float]]]:
    """Weights by model, by slot, by name of the pack."""
    return tomllib.loads(PACKS.read_text())
