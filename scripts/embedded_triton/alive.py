#!/usr/bin/env python3
"""Whether Triton's models work. A model may hang, fail or have lost a process while Triton's own health calls say ready.

As a command it is the liveness probe of the images. Exit status 1: no metrics; or a dead process of a model; or one that was stopped at
two looks, LOOKS_APART_S apart; or a model that finished nothing between them although requests waited both times; or a model that failed
at more than FAILS of what it finished: of its processes one may fail at everything while the others work. Idle models are alive, and
busy ones however long their queues are.

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
SERVER, PROCESS_OF_A_MODEL, ENDED, STOPPED = "tritonserver", "triton_python_b", "Z", "Tt"
# Of a model's requests: one of two processes that hang gets fewer than the other, because each of its failures takes a second.
FAILS = 0.05


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
    """Models that failed at more than FAILS between two looks, or answered nothing although something waited both times."""
    return sorted(model for model, now in after.items() if _broken(before.get(model, IDLE), now))


def _broken(old: Work, new: Work) -> bool:
    answered, failed = new.answered - old.answered, new.failed - old.failed
    return failed > FAILS * (answered + failed) or (not answered and bool(old.waiting and new.waiting))


def lost(server: int | None = None, states: str = ENDED) -> int:
    """How many processes of models are in one of `states`, of the Triton that is process `server` or, in a container, of any."""
    processes = dict(filter(None, map(_process, Path("/proc").glob("[0-9]*/stat"))))
    servers = {server} if server else {number for number, process in processes.items() if process.name == SERVER}
    return sum(p.name == PROCESS_OF_A_MODEL and p.state in states and p.parent in servers for p in processes.values())


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
    stopped = lost(states=STOPPED)
    time.sleep(LOOKS_APART_S)
    if stopped and (still := lost(states=STOPPED)):
        return f"stopped processes of models: {still}"
    models = broken(before, look(metrics_url))
    return f"requests are not answered by {', '.join(models)}" if models else ""


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
