"""Stops asking a Triton that is down, so that callers hear it at once and Triton starts in peace.

Ours because pybreaker 1.4, the library for this, holds its lock during the call, so that calls would run one by one. Here one thread
looks with a cheap health call and no caller's picture is risked.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from gateway import metrics
from gateway.errors import UpstreamUnavailable

FAILURES_IN_A_ROW, PAUSE_S = 5, 1.0


class Breaker:
    """Open after FAILURES_IN_A_ROW failures; from then on `probe` is asked every PAUSE_S (with jitter) until it says yes. Thread-safe."""

    def __init__(self, probe: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self._probe, self._clock = probe, clock
        self._lock = threading.Lock()
        self._failures = 0
        self._next_probe_s: float | None = None  # None: closed

    @property
    def is_open(self) -> bool:
        """Whether calls fail at once."""
        return self._next_probe_s is not None

    def check(self) -> None:
        """Let a call through. Raises UpstreamUnavailable while open; the thread whose turn it is probes first."""
        with self._lock:
            if self._next_probe_s is None:
                return
            mine = self._clock() >= self._next_probe_s
            if mine:
                self._next_probe_s = self._pause_end_s()
        if not (mine and self._probe()):
            metrics.REJECTED.labels("breaker").inc()
            raise UpstreamUnavailable(retry_after_s=1)
        self.succeeded()

    def succeeded(self) -> None:
        """A call, or the probe, was answered."""
        with self._lock:
            self._failures, self._next_probe_s = 0, None
            metrics.BREAKER_OPEN.set(0)

    def failed(self) -> None:
        """A call found nobody there."""
        with self._lock:
            self._failures += 1
            if self._failures >= FAILURES_IN_A_ROW and self._next_probe_s is None:
                self._next_probe_s = self._pause_end_s()
                metrics.BREAKER_OPEN.set(1)

    def _pause_end_s(self) -> float:
        return self._clock() + PAUSE_S * random.uniform(0.75, 1.25)  # noqa: S311  so that processes do not probe together
