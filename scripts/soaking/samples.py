"""What the processes of a service hold, sampled."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import psutil

KIB = 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment (seconds since the start). Megabytes; `pss_mb` shares common pages among their holders."""

    time_s: float
    rss_mb: float
    pss_mb: float
    shared_mb: float
    fds: int


@dataclass
class Sampler:
    """Samples a process and all its descendants every `every_s` until it is stopped."""

    root: psutil.Process
    every_s: float
    series: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    at_rest: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    _started_s: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start sampling in the background."""
        self._started_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop sampling."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def rest(self) -> None:
        """Take a sample of every process now, while no request is under way."""
        self._take(self.at_rest)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._take(self.series)
            self._stop.wait(self.every_s)

    def _take(self, series: dict[str, list[Sample]]) -> None:
        now = time.monotonic() - self._started_s
        for process in [self.root, *self.root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error, OSError, KeyError):  # it may just have ended
                series[f"{role(process)} {process.pid}"].append(take(process, now))


def take(process: psutil.Process, now: float) -> Sample:
    """One sample. Raises psutil.Error, OSError, KeyError when the process has ended."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    mb = {name: int(number) * KIB / 2**20 for name, number in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    return Sample(now, mb["Rss"], mb["Pss"], mb["Shared_Clean"] + mb["Shared_Dirty"], process.num_fds())


def cpu_s(root: psutil.Process) -> float:
    """Processor seconds that a process and its living descendants have used."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def role(process: psutil.Process) -> str:
    """What a process does, by its command line and its parent's."""
    try:
        parent = process.parent()
        return _role(" ".join(process.cmdline()), " ".join(parent.cmdline()) if parent else "")
    except psutil.Error:
        return "ended"


def _role(line: str, parent: str) -> str:
    if "triton_python_backend_stub" in line:
        named = re.search(r"/(\w+)/\d+/model(?:\.int8)?\.onnx", line)
        return f"model {named[1] if named else '?'}"
    if "tritonserver" in line:
        return "triton"
    if "multiprocessing.forkserver" in line:
        return "decoder" if "multiprocessing.forkserver" in parent else "decoder server"
    if "multiprocessing.resource_tracker" in line:
        return "resource tracker"
    if "gunicorn" in line:
        return "gateway worker" if "gunicorn" in parent else "gateway"
    return "supervisor" if "scripts.serving" in line else "other"
