"""The service that is broken: its processes, its key database, its folder of pictures, its clock."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from gateway.command import APIS
from gateway.keys import Issued, KeyStore
from scripts.benchmarking.server import Server, serving
from scripts.soaking.samples import role

PICTURES_MB, RATE_PER_S = 8, 1000
LIBFAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib64/faketime/libfaketimeMT.so.1")


@dataclass(frozen=True, slots=True)
class Place:
    """`clock` is the file that says how far the service's clock is off, None where libfaketime is not installed."""

    server: Server
    keys_file: Path
    keys: Mapping[str, Issued]
    pictures: Path
    pictures_is_small: bool
    clock: Path | None

    def processes(self, wanted: str) -> list[psutil.Process]:
        """Those of the service that have this role now, as scripts/soaking names roles."""
        return [process for process in self.server.processes() if role(process) == wanted]


@contextmanager
def broken_place(workers: int) -> Iterator[Place]:
    """A service of our own with keys, a picture folder on a small file system (where mounting is allowed), and a movable clock."""
    with tempfile.TemporaryDirectory(prefix="vultus-chaos-") as name:
        folder = Path(name)
        keys_file, pictures, clock = folder / "keys.sqlite", folder / "pictures", folder / "clock"
        pictures.mkdir()
        clock.write_text("+0\n")
        store = KeyStore(f"sqlite:///{keys_file}")
        keys = {api: store.create(api, "chaos", rate_per_s=RATE_PER_S, pair=paired) for api, paired in APIS.items()}
        environment = {"VULTUS_KEYS_URL": f"sqlite:///{keys_file}", "VULTUS_PICTURES_URL": str(pictures), "VULTUS_LOG_LEVEL": "ERROR"}
        library = next((path for path in LIBFAKETIME if Path(path).exists()), None)
        if library:
            environment |= {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1"}
            environment |= {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_RESET": "1"}
        with _small_file_system(pictures) as small, serving(f"--workers={workers}", environment=environment) as server:
            yield Place(server, keys_file, keys, pictures, small, clock if library else None)


@contextmanager
def _small_file_system(folder: Path) -> Iterator[bool]:
    """A few megabytes of memory mounted on the folder; False where that is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={PICTURES_MB}m", "vultus-chaos", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=False)
