"""A folder of pictures that is bounded in size and in time: one file a picture, shared by the processes of one machine."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gateway.errors import UpstreamUnavailable

# How often too old pictures are looked for, also while nobody calls.
LOOK_S = 60.0
# So many times as long as it took to look for room, nobody looks again: with many pictures the folder is somewhat too large meanwhile.
PAUSE = 20


class Directory:
    """For its owner only. The oldest pictures go when it is full; nothing but such files is looked at or deleted. Thread-safe."""

    def __init__(self, folder: Path, max_bytes: int, keep_s: int) -> None:
        self._folder, self._max_bytes, self._keep_s = folder, max_bytes, keep_s
        self._next_s = 0.0

    def start(self) -> None:
        """Delete what is too old from now on, whether anybody calls or not."""
        threading.Thread(target=self._look, daemon=True, name="pictures").start()

    def put(self, name: str, png: bytes) -> None:
        """Keep a picture. Raises UpstreamUnavailable, also when it alone would be too large."""
        path = self._path(name)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if (began_s := time.monotonic()) >= self._next_s:
                self.sweep(len(png))
                self._next_s = began_s + PAUSE * (time.monotonic() - began_s)
            try:
                self._write(path, png)
            except OSError:  # the disk may be full of what is too old by now
                self.sweep(len(png))
                self._write(path, png)
        except OSError:
            raise UpstreamUnavailable("The picture store cannot be used now.", retry_after_s=5) from None

    def get(self, name: str) -> bytes | None:
        """A picture that is still kept."""
        path = self._path(name)
        try:
            return path.read_bytes() if time.time() < path.stat().st_mtime + self._keep_s else None
        except OSError:
            return None

    def sweep(self, room_bytes: int = 0) -> None:
        """Delete what is too old, then the oldest until so many more bytes fit."""
        rows = sorted(self._files())
        left_bytes = sum(size for _, size, _ in rows) + room_bytes
        for stored_s, size, path in rows:
            if time.time() < stored_s + self._keep_s and left_bytes <= self._max_bytes:
                break
            with suppress(OSError):
                path.unlink()
            left_bytes -= size

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("*.picture*"):
            with suppress(OSError):  # another process has deleted it
                facts = path.stat()
                yield facts.st_mtime, facts.st_size, path

    def _write(self, path: Path, png: bytes) -> None:
        """At once, or not at all."""
        partial = path.with_name(f"{path.name}-{os.getpid()}-{threading.get_ident()}")
        try:
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(png)
            now_s = time.time()
            os.utime(partial, (now_s, now_s))
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)
            raise

    def _path(self, name: str) -> Path:
        """Whatever is in a name, it leads nowhere else."""
        return self._folder / f"{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()}.picture"

    def _look(self) -> None:
        while True:
            with suppress(OSError):
                self.sweep()
            time.sleep(min(LOOK_S, max(1, self._keep_s)))
