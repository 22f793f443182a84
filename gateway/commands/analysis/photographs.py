"""Which pictures the arguments of a command mean, and what the drawn ones are called."""

from __future__ import annotations

import glob
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from urllib.parse import urlsplit

from vultus.image import is_address

# Suffixes that a folder is searched for. A file given by name may have any.
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".bmp", ".dib", ".webp"}
    | {".tif", ".tiff", ".gif", ".heic", ".heif", ".hif", ".avif"}
)
STDIN = "-"
# What the shell's <(...) and /dev/stdin are: open already, so that opening them waits for nobody.
OPEN_ALREADY = ("/dev/fd/", "/proc/self/fd/", "/dev/stdin")


@dataclass(frozen=True, slots=True)
class Photograph:
    """A file, and its path below the folder in which it was found; or an address, of which - is standard input."""

    path: Path
    place: PurePath
    address: str | None = None

    @property
    def name(self) -> str:
        """The path in a form that can be printed, whatever bytes are in it."""
        return self.address or os.fsencode(self.path).decode(errors="replace")

    def content(self) -> Path | bytes | str:
        """Input for a client: a path, the bytes of something that can be read only once, or an address. Raises OSError."""
        if self.address == STDIN:
            return sys.stdin.buffer.read()
        if self.address is not None:
            return self.address
        if str(self.path).startswith(OPEN_ALREADY):
            return self.path.read_bytes()
        if not stat.S_ISREG(self.path.stat().st_mode):
            raise OSError(f"This is no file; what a program writes can be piped into `vultus analyze {STDIN}`.")
        return self.path


def find(arguments: Sequence[str], without: Path | None = None) -> list[Photograph]:
    """Files as they are, folders with all below them by name, patterns that match, `-`, addresses. Each once; nothing inside `without`.

    What does not exist stays in the list: reading it tells.
    """
    excluded = without.resolve() if without else None
    found = {(photograph.path, photograph.address): photograph for argument in arguments for photograph in _meant(argument)}
    return [photograph for photograph in found.values() if not (excluded and _inside(photograph, excluded))]


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


def _inside(photograph: Photograph, folder: Path) -> bool:
    return photograph.address is None and photograph.path.resolve().is_relative_to(folder)


def _meant(argument: str) -> Iterator[Photograph]:
    if is_address(argument):
        yield Photograph(Path(), PurePath(PurePath(urlsplit(argument).path).name or "address"), argument)
        return
    if argument == STDIN:
        yield Photograph(Path(), PurePath("stdin"), STDIN)
        return
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
