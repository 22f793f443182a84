"""Admission control: how many requests one process works on. It refuses more at once, so that admitted ones are answered in time.

There are two limits. `max_present` requests may be in the process (uploading, waiting, working), fewer than gunicorn has threads, so
that a thread is always free for probes and refusals. `max_in_flight` of them may decode and analyse. A request uploads its body before
it competes for these places: a slow upload blocks nobody else.

When pictures are so costly that one more request would make answers late, fewer are admitted: see latency_estimate.py.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from gateway import metrics
from gateway.errors import Overloaded
from gateway.intake.latency_estimate import Pace

# Share of a request's time that its estimated latency may use: costs vary, and Triton takes turns.
TIME_SHARE = 0.7
# This many requests are admitted whatever the latency estimate says.
FEWEST = 2


class Gate:
    """Counts requests of this process. Thread-safe."""

    def __init__(self, max_in_flight: int, max_present: int, max_wait_s: float, pace: Pace | None = None) -> None:
        self._present = threading.BoundedSemaphore(max_present)
        self._max_in_flight, self._max_wait_s, self._pace = max_in_flight, max_wait_s, pace or Pace()
        self._at_work, self._left = 0, threading.Condition()

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
        """At work, with `left_s` to answer. Raises Overloaded after `max_wait_s`."""
        asked = time.perf_counter()
        with self._left:
            admitted = self._left.wait_for(lambda: self._may_enter(left_s), self._max_wait_s)
            full = self._at_work >= self._max_in_flight
            self._at_work += admitted
        waited_s = time.perf_counter() - asked
        metrics.QUEUE_WAIT.observe(waited_s)
        metrics.STAGE.labels("wait").observe(waited_s)
        if not admitted:
            raise refused("wait") if full else refused("late")
        metrics.IN_FLIGHT.inc()
        try:
            yield
        finally:
            metrics.IN_FLIGHT.dec()
            with self._left:
                self._at_work -= 1
                self._left.notify_all()

    def _may_enter(self, left_s: float) -> bool:
        if self._at_work < min(FEWEST, self._max_in_flight):
            return True
        return self._at_work < self._max_in_flight and self._pace.expected_s(self._at_work + 1) <= TIME_SHARE * left_s


class Place:
    """One call's place at work, from now on. `ends_s`: when it must be answered, monotonic seconds. See deadline.Place."""

    def __init__(self, gate: Gate, ends_s: float) -> None:
        self._gate, self._ends_s, self._held = gate, ends_s, ExitStack()
        self._held.enter_context(self._another())
        self._has = True

    def give_back(self) -> None:
        """Also when the call ends."""
        self._has = False
        self._held.close()

    def taken(self) -> AbstractContextManager[None]:
        """In any thread of the call."""
        return nullcontext() if self._has else self._another()

    def _another(self) -> AbstractContextManager[None]:
        return self._gate.working(self._ends_s - time.monotonic())


def refused(reason: str) -> Overloaded:
    """A refusal, counted under `reason`."""
    metrics.REJECTED.labels(reason).inc()
    return Overloaded(retry_after_s=1)
