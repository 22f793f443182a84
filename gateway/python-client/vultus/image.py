"""The image of a request: a path, bytes or an open file, sent in pieces and, when it must be sent again, from its first byte."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, TypeAlias

Image: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO

PIECE_BYTES = 2**18


@contextmanager
def opened(image: Image) -> Iterator[BinaryIO]:
    """The image as a seekable file. A caller's own file stays open and is read from where it stands; one that cannot seek is read whole.

    Raises OSError when a path cannot be read, TypeError for a file opened as text.
    """
    if isinstance(image, bytes):
        yield io.BytesIO(image)
    elif isinstance(image, str | os.PathLike):
        with open(image, "rb") as file:
            yield _seekable(file)
    elif isinstance(image, io.TextIOBase):
        raise TypeError("The image is a file opened as text; open it with mode 'rb'.")
    else:
        yield _seekable(image)


def length_bytes(file: BinaryIO) -> int:
    """From where the file stands to its end."""
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(start)
    return end - start


def pieces(file: BinaryIO, start: int) -> Iterator[bytes]:
    """The file from byte `start` on."""
    file.seek(start)
    while piece := file.read(PIECE_BYTES):
        yield piece


async def pieces_in_a_thread(file: BinaryIO, start: int) -> AsyncIterator[bytes]:
    """As `pieces`, without blocking the event loop while the disk works."""
    await asyncio.to_thread(file.seek, start)
    while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
        yield piece


def _seekable(file: BinaryIO) -> BinaryIO:
    return file if file.seekable() else io.BytesIO(file.read())
