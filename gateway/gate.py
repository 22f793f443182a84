"""How many requests one process works on. Further ones are refused at once, so that those inside are answered in time.

Two bounds: `max_present` requests may be in the process at all (reading a body, waiting, working), which is less than gunicorn has
threads, so that probes and refusals always find one; `max_in_flight` of them may decode and analyse. A body is read before a
place among those is asked for: a slow upload keeps nobody else from working.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway import metrics
from gateway.errors import Overloaded


class Gate:
    """Counts requests of this process. Thread-safe."""

    def __init__(self, max_in_flight: int, max_present: int, max_wait_s: float) -> None:
        self._present = threading.BoundedSemaphore(max_present)
        self._working = threading.BoundedSemaphore(max_in_flight)
        self._max_wait_s = max_wait_s

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
    def working(self) -> Iterator[None]:
        """At work. Raises Overloaded after `max_wait_s`."""
        asked = time.perf_counter()
        admitted = self._working.acquire(timeout=self._max_wait_s) if self._max_wait_s else self._working.acquire(blocking=False)
        waited_s = time.perf_counter() - asked
        metrics.QUEUE_WAIT.observe(waited_s)
        metrics.STAGE.labels("wait").observe(waited_s)
        if not admitted:
            raise refused("wait")
        metrics.IN_FLIGHT.inc()
        try:
            yield
        finally:
            metrics.IN_FLIGHT.dec()
            self._working.release()


def refused(reason: str) -> Overloaded:
    """A refusal, counted under `reason`."""
    metrics.REJECTED.labels(reason).inc()
    return Overloaded(retry_after_s=1)
