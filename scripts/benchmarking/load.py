"""Clients: closed loop (each asks again when answered) and open loop (requests leave on a schedule, whatever comes back)."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

# One call: None for a right answer, for a refusal (503) the seconds that it asks to wait. Anything else raises.
Call = Callable[[], float | None]
JITTER = 0.5  # patient clients wait up to this much longer than they were asked to, so that they do not come back together


@dataclass(frozen=True, slots=True)
class Run:
    """Latencies of right answers in milliseconds, refusals with theirs, and how long the run took."""

    latencies_ms: tuple[float, ...]
    refused_ms: tuple[float, ...]
    errors: int
    seconds: float

    @property
    def per_second(self) -> float:
        """Right answers a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile_ms(self, share: float) -> float:
        """Of the right answers; NaN when there is none."""
        return float(np.percentile(self.latencies_ms, share)) if self.latencies_ms else float("nan")

    @property
    def refused_p95_ms(self) -> float | None:
        """Of the refusals, where there is one."""
        return round(float(np.percentile(self.refused_ms, 95)), 1) if self.refused_ms else None


class _Tally:
    def __init__(self) -> None:
        self.right: list[float] = []
        self.refused: list[float] = []
        self.errors = 0

    def one(self, call: Call, due: float) -> float:
        """Make a call; its latency counts from when it was due. Returns the seconds that its answer asks to wait."""
        try:
            wait_s = call()
        except Exception:  # noqa: BLE001  whatever a client may raise is a failed request here
            self.errors += 1
            return 0
        (self.right if wait_s is None else self.refused).append((time.perf_counter() - due) * 1e3)
        return wait_s or 0

    def run(self, started: float) -> Run:
        return Run(tuple(self.right), tuple(self.refused), self.errors, time.perf_counter() - started)


def closed_loop(make: Callable[[], Call], clients: int, seconds: float, patient: bool = False) -> Run:
    """`clients` threads, each with a call of its own from `make`, for `seconds`. Patient ones wait as long as a refusal asks for."""
    calls = [make() for _ in range(clients)]
    tally = _Tally()
    started = time.perf_counter()
    stop = started + seconds

    def work(call: Call) -> None:
        while (now := time.perf_counter()) < stop:
            wait_s = tally.one(call, now)
            if patient and wait_s:
                time.sleep(min(wait_s * random.uniform(1, 1 + JITTER), max(0.0, stop - time.perf_counter())))  # noqa: S311

    threads = [threading.Thread(target=work, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally.run(started)


def open_loop(make: Callable[[], Call], per_second: float, seconds: float, most_at_once: int = 256) -> Run:
    """Requests due every 1 / `per_second`; latency counts from the moment a request was due, so waiting for a free client counts too."""
    local = threading.local()
    tally = _Tally()

    def ask(due: float) -> None:
        if not hasattr(local, "call"):
            local.call = make()
        tally.one(local.call, due)

    started = time.perf_counter()
    with ThreadPoolExecutor(most_at_once) as pool:
        for index in range(int(per_second * seconds)):
            due = started + index / per_second
            time.sleep(max(0.0, due - time.perf_counter()))
            pool.submit(ask, due)
    return tally.run(started)
