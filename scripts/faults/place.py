"""The service that is broken: its processes, its key database, its folder of pictures, its clock."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from gateway.callers.keys import Issued, KeyStore
from gateway.commands.keys import APIS
from scripts.benchmarking.server import Server, serving
from scripts.soaking.samples import role

SMALL_MB, KEPT_MB, RATE_PER_S = 64, 16, 1000
CLOCK_SOURCE = Path(__file__).with_name("clock.c")


@dataclass(frozen=True, slots=True)
class Place:
    """`clock` is the file that says how far the gateway's clock is off, None where there is no C compiler to build what reads it.

    Faults leave in `notes` what they have measured, and in `broken` what nobody but them has seen to be wrong.
    """

    server: Server
    keys_file: Path
    keys: Mapping[str, Issued]
    pictures: Path
    temporary: Path
    small: bool
    clock: Path | None
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def processes(self, wanted: str) -> list[psutil.Process]:
        """Those of the service that have this role now, as scripts/soaking names roles."""
        return [process for process in self.server.processes() if role(process) == wanted]


@contextmanager
def broken_place(workers: int) -> Iterator[Place]:
    """A service of our own with keys, a movable clock, and, where mounting is allowed, small file systems for pictures and TMPDIR."""
    with tempfile.TemporaryDirectory(prefix="vultus-chaos-") as name:
        folder = Path(name)
        keys_file, pictures, temporary, clock = folder / "keys.sqlite", folder / "pictures", folder / "tmp", folder / "clock"
        pictures.mkdir()
        temporary.mkdir()
        set_clock(clock, 0)
        store = KeyStore(f"sqlite:///{keys_file}")
        keys = {api: store.create(api, "chaos", rate_per_s=RATE_PER_S, pair=paired) for api, paired in APIS.items()}
        environment = {"VULTUS_KEYS_URL": f"sqlite:///{keys_file}", "VULTUS_PICTURES_URL": str(pictures), "VULTUS_LOG_LEVEL": "ERROR"}
        environment["TMPDIR"] = str(temporary)
        environment["VULTUS_PICTURES_MAX_BYTES"] = str(KEPT_MB * 2**20)
        library = _movable_clock(folder)
        if library:
            environment |= {"LD_PRELOAD": str(library), "VULTUS_CHAOS_CLOCK": str(clock)}
        with ExitStack() as stack:
            small = all([stack.enter_context(_small_file_system(each)) for each in (pictures, temporary)])
            server = stack.enter_context(serving(f"--workers={workers}", environment=environment))
            yield Place(server, keys_file, keys, pictures, temporary, small, clock if library else None)


def set_clock(clock: Path, offset_s: int) -> None:
    """Move the gateway's clock. The file is mapped by its readers, so it is written in place and at once."""
    with clock.open("r+b" if clock.exists() else "wb", buffering=0) as file:
        file.write(struct.pack("=q", offset_s))


def _movable_clock(folder: Path) -> Path | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    library = folder / "clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(library), str(CLOCK_SOURCE)], check=True)
    return library


@contextmanager
def _small_file_system(folder: Path) -> Iterator[bool]:
    """A few megabytes of memory mounted on the folder; False where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m", "vultus-chaos", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
