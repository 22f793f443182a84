"""Which pictures the arguments of a command mean, and what the drawn ones are called."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

# What a folder is searched for; a file that is named itself may be called anything.
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".heic", ".heif", ".avif"})


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file, and its path below the folder in which it was found."""

    path: Path
    place: PurePath

    @property
    def name(self) -> str:
        """The path in a form that can be printed, whatever bytes are in it."""
        return os.fsencode(self.path).decode(errors="replace")


def find(arguments: Sequence[str], without: Path | None = None) -> list[Photograph]:
    """Files as they are, folders with all below them by name, patterns that match; each file once, nothing inside the folder `without`.

    What does not exist stays in the list: reading it tells.
    """
    excluded = without.resolve() if without else None
    found = {photograph.path: photograph for argument in arguments for photograph in _meant(argument)}
    return [photograph for path, photograph in found.items() if not (excluded and path.resolve().is_relative_to(excluded))]


def drawn_names(photographs: Sequence[Photograph]) -> list[PurePath]:
    """A file name for each, below one folder: its place with the suffix png, and a number where that is taken."""
    taken: set[PurePath] = set()
    names: list[PurePath] = []
    for photograph in photographs:
        plain = photograph.place.with_suffix(".png")
        name, number = plain, 1
        while name in taken:
            number += 1
            name = plain.with_stem(f"{plain.stem}-{number}")
        taken.add(name)
        names.append(name)
    return names


def _meant(argument: str) -> Iterator[Photograph]:
    if os.path.lexists(argument) or not glob.has_magic(argument):
        matches = [argument]
    else:
        matches = sorted(glob.glob(argument, recursive=True)) or [argument]
    for match in map(Path, matches):
        yield from _below(match) if match.is_dir() else [Photograph(match, PurePath(match.name))]


def _below(folder: Path) -> Iterator[Photograph]:
    """Pictures in the folder and its folders. Names that begin with a dot are left out: thumbnails and the like."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and PurePath(name).suffix.lower() in SUFFIXES:
                path = Path(place, name)
                yield Photograph(path, path.relative_to(folder))
