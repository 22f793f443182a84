#!/usr/bin/env python3
"""Whether Triton's models work. A model may hang, fail at everything or have lost a process while Triton's own health calls say ready.

As a command it is the liveness probe of the images. Exit status 1: no metrics; or a dead process of a model; or a model that
finished nothing between two looks, LOOKS_APART_S apart, although requests waited both times, or some failed. Idle models are
alive, and busy ones however long their queues are.

On its own, with what Python 3.10 has: NVIDIA's image has nothing else.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

METRICS_URL = "http://127.0.0.1:8002/metrics"
LOOKS_APART_S, TIMEOUT_S, LOOKS = 4.0, 5.0, 4
SERIES = re.compile(r'^nv_inference_(\w+)\{model="([^"]+)"(.*)\} (\d+)', re.MULTILINE)
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
# Of the kernel's fifteen characters of a name; Triton starts its Python backend's processes anew only with the model.
SERVER, PROCESS_OF_A_MODEL, ENDED = "tritonserver", "triton_python_b", "Z"


class Work(NamedTuple):
    """Requests of one model: those that wait now, and since the start those that were answered and those that it failed at."""

    waiting: int
    answered: int
    failed: int


class Process(NamedTuple):
    """What /proc says."""

    name: str
    state: str
    parent: int


IDLE = Work(0, 0, 0)
Look = dict[str, Work]


def look(metrics_url: str) -> Look:
    """All models now. Raises OSError where nobody answers."""
    with WITHOUT_PROXY.open(metrics_url, timeout=TIMEOUT_S) as answer:
        return read(answer.read().decode())


def read(metrics: str) -> Look:
    """From Triton's metrics. What a queue refused, or was cancelled in it, is no work of the model."""
    models: Look = {}
    for name, model, labels, number in SERIES.findall(metrics):
        waiting, answered, failed = models.get(model, IDLE)
        waiting += int(number) * (name == "pending_request_count")
        answered += int(number) * (name == "request_success")
        failed += int(number) * (name == "request_failure" and 'reason="BACKEND"' in labels)
        models[model] = Work(waiting, answered, failed)
    return models


def broken(before: Look, after: Look) -> list[str]:
    """Models that answered nothing between two looks although something waited both times, or failed."""
    pairs = {model: (before.get(model, IDLE), now) for model, now in after.items()}
    return sorted(
        model
        for model, (old, new) in pairs.items()
        if new.answered == old.answered and ((old.waiting and new.waiting) or new.failed > old.failed)
    )


def lost(server: int | None = None) -> int:
    """How many processes of models have ended, of the Triton that is process `server` or, in a container, of any."""
    processes = dict(filter(None, map(_process, Path("/proc").glob("[0-9]*/stat"))))
    servers = {server} if server else {number for number, process in processes.items() if process.name == SERVER}
    return sum(p.name == PROCESS_OF_A_MODEL and p.state == ENDED and p.parent in servers for p in processes.values())


def _process(path: Path) -> tuple[int, Process] | None:
    try:
        number, _, rest = path.read_text().partition(" (")
    except OSError:  # it has just ended
        return None
    name, _, rest = rest.rpartition(") ")
    state, parent, *_ = rest.split()
    return int(number), Process(name, state, int(parent))


def trouble(metrics_url: str) -> str:
    """Why Triton does not work, after LOOKS_APART_S; nothing when it does. Raises OSError where nobody answers."""
    before = look(metrics_url)
    if gone := lost():
        return f"dead processes of models: {gone}"
    time.sleep(LOOKS_APART_S)
    models = broken(before, look(metrics_url))
    return f"nothing is answered by {', '.join(models)}" if models else ""


def end_container() -> None:
    """Tell Triton to end where it is the first process, whose end is the container's: whoever runs that starts it again."""
    first = _process(Path("/proc/1/stat"))
    if first and first[1].name == SERVER:
        os.kill(1, signal.SIGTERM)


def main(arguments: Sequence[str]) -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="vultus-triton-alive", description="Exit status 1 when Triton does not work.")
    parser.add_argument("metrics_url", nargs="?", default=METRICS_URL, help="default %(default)s")
    parser.add_argument("--end", action="store_true", help=f"end a container whose Triton does not work {LOOKS} times in a row")
    options = parser.parse_args(arguments)
    try:
        why = trouble(options.metrics_url)
        for _ in range(LOOKS - 1 if options.end else 0):
            why = why and trouble(options.metrics_url)
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"no metrics: {problem}\n")
        return 1
    if why:
        sys.stderr.write(f"{why}\n")
        if options.end:
            end_container()
    return int(bool(why))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
