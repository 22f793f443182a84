"""The folder of a running server: gone when it ends, or when the next one starts after it was killed.

Triton starts the processes of models through a shell that gets the paths of backends and models unquoted. So the folder has a path that
needs no quoting, and the model repository, wherever it lies, is reached through a link in it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from scripts.embedded_triton.layout import Unusable

PREFIX, LOCK, MODELS = "vultus-serve-", "lock", "models"
PLAIN = re.compile(r"[\w./+-]+", re.ASCII)
PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108


@contextmanager
def scratch() -> Iterator[Path]:
    """A new empty folder. Raises Unusable."""
    place = _place()
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    with (folder / f"{LOCK}.new").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        Path(lock.name).rename(folder / LOCK)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def linked(folder: Path, repository: Path) -> Path:
    """A path to `repository` that needs no quoting."""
    link = folder / MODELS
    link.symlink_to(repository.resolve(), target_is_directory=True)
    return link


def _place() -> Path:
    for place in (tempfile.gettempdir(), *PLACES):
        if PLAIN.fullmatch(place) and os.access(place, os.W_OK | os.X_OK):
            return Path(place)
    raise Unusable("No folder for temporary files has a path of plain characters only: set TMPDIR to one.")


def _sweep(place: Path) -> None:
    """Remove the folders of servers that were killed: nobody holds their locks. What still runs from there ends."""
    for lock in place.glob(f"{PREFIX}*/{LOCK}"):
        with suppress(OSError), lock.open("r+") as file:  # another user's, or in use
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _end_all(lock.parent)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _end_all(folder: Path) -> None:
    """Processes of models end with Triton by themselves, but one that is stopped or hangs does not."""
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if command.read_bytes().startswith(bytes(folder) + b"/"):
                os.kill(int(command.parent.name), signal.SIGKILL)
