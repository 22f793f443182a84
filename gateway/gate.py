"""How many requests one process works on. Further ones are refused at once, so that those inside are answered in time.

Two bounds: `max_present` requests may be in the process at all (reading a body, waiting, working), which is less than gunicorn has
threads, so that probes and refusals always find one; `max_in_flight` of them may decode and analyse. A body is read before a
place among those is asked for: a slow upload keeps nobody else from working.

And where pictures are so costly that with one more not all would be answered in time, fewer are let in: see pace.py.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import metrics
from gateway.errors import Overloaded
from gateway.pace import Pace

# What may be expected to be used of the time that a request has: costs differ, and Triton takes turns.
TIME_SHARE = 0.7


class Gate:
    """Counts requests of this process. Thread-safe."""

    def __init__(self, max_in_flight: int, max_present: int, max_wait_s: float, pace: Pace | None = None) -> None:
        self._present = threading.BoundedSemaphore(max_present)
        self._working = threading.BoundedSemaphore(max_in_flight)
        self._max_wait_s, self._pace = max_wait_s, pace or Pace()
        self._at_work, self._lock = 0, threading.Lock()

    @contextmanager
    def present(self) -> Iterator[None]:
        """Inside the process. Raises Overloaded at once when there is no room."""
        if not self._present.acquire(blocking=False):
            raise refused("full")
        try:
            yield
        finally:
            self._present.release()

    @contextmanager
    def working(self, left_s: float = math.inf) -> Iterator[None]:
        """At work, with `left_s` to answer. Raises Overloaded after `max_wait_s`, or at once when it would take too long.

        Who would be alone is always let in: what pictures cost now is learned from those.
        """
        if self._at_work and self._pace.expected_s(self._at_work + 1) > TIME_SHARE * left_s:
            raise refused("late")
        asked = time.perf_counter()
        admitted = self._working.acquire(timeout=self._max_wait_s) if self._max_wait_s else self._working.acquire(blocking=False)
        waited_s = time.perf_counter() - asked
        metrics.QUEUE_WAIT.observe(waited_s)
        metrics.STAGE.labels("wait").observe(waited_s)
        if not admitted:
            raise refused("wait")
        metrics.IN_FLIGHT.inc()
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)
            metrics.IN_FLIGHT.dec()
            self._working.release()

    def _count(self, change: int) -> None:
        with self._lock:
            self._at_work += change


def refused(reason: str) -> Overloaded:
    """A refusal, counted under `reason`."""
    metrics.REJECTED.labels(reason).inc()
    return Overloaded(retry_after_s=1)
