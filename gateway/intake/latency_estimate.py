"""How long an analysis that begins now will take, learned from those before it.

The models share one machine: n pictures under way take about n times as long as one. So each picture's time at Triton, divided by how many
of this process were there meanwhile, is what one more picture costs; other processes' pictures make it dearer. Sixteen pictures
with forty faces each are ten seconds of work on two cores, sixteen portraits less than one: no fixed number of places is right for both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import UpstreamTimeout

# Of each new cost in the mean. Small: pictures of many sizes come mixed.
WEIGHT = 0.1
# Number of samples in a mean. The first requests are slow because caches are cold.
FEWEST = 10


class Pace:
    """The mean cost of a picture, from those that were answered and those that were given up. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way, self._changed_s = 0, 0.0
        self._waited_s = 0.0  # by all pictures together
        self._seen, self._cost_s = 0, 0.0

    def expected_s(self, pictures: int) -> float:
        """Seconds until the last of so many is done when all begin now; 0 while too little is known."""
        return pictures * self._cost_s if self._seen >= FEWEST else 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around one picture's time at Triton. Failures cost nothing, but for UpstreamTimeout."""
        began_s, waited_s = self._change(1)
        worked = False
        try:
            yield
            worked = True
        except UpstreamTimeout:
            worked = True
            raise
        finally:
            now_s, waited_later_s = self._change(-1)
            if worked and waited_later_s > waited_s:
                self._learn((now_s - began_s) ** 2 / (waited_later_s - waited_s))  # its time by how many there were on average

    def _change(self, pictures: int) -> tuple[float, float]:
        """That so many more are under way. Returns the time, and how long all have waited until now."""
        with self._lock:
            now_s = time.monotonic()
            self._waited_s += self._under_way * (now_s - self._changed_s)
            self._under_way, self._changed_s = self._under_way + pictures, now_s
            return now_s, self._waited_s

    def _learn(self, cost_s: float) -> None:
        with self._lock:
            self._seen += 1
            self._cost_s += (cost_s - self._cost_s) * max(WEIGHT, 1 / self._seen)
