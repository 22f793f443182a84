"""Anonymous files in memory through which compressed bytes and pixels pass between a gateway process and its decoders."""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
from numpy.typing import NDArray

# Buffers for pixels that a process keeps, and the largest of them: 1920x1080 and a little more.
KEPT_BUFFERS, KEPT_BYTES = 4, 2**23


class Buffer:
    """A memory file, mapped here."""

    def __init__(self) -> None:
        self.file = os.memfd_create("vultus-pixels")
        self._mapping: mmap.mmap | None = None
        self.size = 0

    def pixels(self, count: int) -> NDArray[np.uint8]:
        """Its first `count` bytes as a flat array."""
        if self._mapping is None or self.size < count:
            self.size = os.fstat(self.file).st_size
            self._mapping = mmap.mmap(self.file, self.size, mmap.MAP_SHARED | mmap.MAP_POPULATE)
        return np.frombuffer(self._mapping, np.uint8, count)

    def wipe(self, count: int) -> None:
        """Forget its first `count` bytes."""
        self.pixels(count)[:] = 0

    def close(self) -> None:
        """Give the file back; the mapping goes with the last array."""
        os.close(self.file)
        self._mapping = None


class Buffers:
    """Buffers between decoders and this process. Thread-safe."""

    def __init__(self) -> None:
        self._free: deque[Buffer] = deque()

    def take(self) -> Buffer:
        """One that is wiped."""
        try:
            return self._free.pop()
        except IndexError:
            return Buffer()

    def lend(self, buffer: Buffer, count: int) -> NDArray[np.uint8]:
        """Its first `count` bytes; when no array needs them any more, it is wiped and kept for the next picture."""
        pixels = buffer.pixels(count)
        weakref.finalize(pixels, self._back, buffer, count).atexit = False
        return pixels

    def release(self) -> None:
        """Give back all that are not lent."""
        with suppress(IndexError):
            while True:
                self._free.pop().close()

    def _back(self, buffer: Buffer, used: int) -> None:
        if buffer.size > KEPT_BYTES or len(self._free) >= KEPT_BUFFERS:
            buffer.close()
        else:
            buffer.wipe(used)
            self._free.append(buffer)


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """The descriptor of an anonymous file in memory that holds `data`."""
    with closing(os.memfd_create("vultus-image")) as file:
        write(file, memoryview(data))
        yield file


def write(file: int, data: memoryview) -> None:
    """From the start of the file; faster than touching fresh pages of a mapping."""
    rest, done = data.cast("B"), 0
    while done < len(rest):
        done += os.pwrite(file, rest[done:], done)


@contextmanager
def closing(file: int) -> Iterator[int]:
    """The descriptor, closed afterwards."""
    try:
        yield file
    finally:
        os.close(file)
