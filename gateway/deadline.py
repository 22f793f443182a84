"""One HTTP call as the layers below see it: how long it may still take, and whether its caller is still there.

Known through a context variable, so that nothing between the view and gRPC has to hand it on. A view that uses threads runs
them in `contextvars.copy_context()`.
"""

from __future__ import annotations

import math
import select
import socket
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from gateway import metrics
from gateway.errors import CallerGone, UpstreamTimeout

T = TypeVar("T")

TIMEOUT_HEADER = "X-Timeout-Seconds"  # how long a caller waits for the answer
LOOK_S = 0.05  # how often a waiting call checks whether its client disconnected
# Half-closed counts as gone, as with most proxies: a caller that has sent FIN and one that has died look the same.
HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL


@dataclass(slots=True)
class Call:
    """`ends_s` and `analysed_s` on the monotonic clock; `connection` is the caller's socket where the server shows it."""

    ends_s: float
    connection: socket.socket | None = None
    analysed_s: float | None = None  # when the last analysis of this call was there; noted by the analyzer

    @property
    def left_s(self) -> float:
        """Seconds until the deadline, negative after it."""
        return self.ends_s - time.monotonic()

    def abandoned(self) -> bool:
        """Whether the caller has closed the connection."""
        if self.connection is None:
            return False
        poll = select.poll()
        try:
            poll.register(self.connection, HUNG_UP)
        except ValueError:  # closed on our side
            return True
        return bool(poll.poll(0))

    def check(self) -> None:
        """Before something costly begins. Raises UpstreamTimeout after the deadline, CallerGone when the client disconnected."""
        if self.left_s <= 0:
            metrics.REJECTED.labels("deadline").inc()
            raise UpstreamTimeout
        self._check_caller()

    def wait(self, answer: Future[T], cancel: Callable[[], object] | None = None) -> T:
        """The answer, or what it raises. Raises TimeoutError at the deadline, CallerGone when the client disconnected meanwhile.

        With `cancel` both are noticed at once and the work is cancelled. Without it hanging up is noticed when the answer is there: what
        goes on costs what it costs, and counts as under way.
        """
        look_s = LOOK_S if cancel else math.inf
        while not answer.done() and self.left_s > 0 and not (cancel and self.abandoned()):
            futures.wait([answer], min(max(self.left_s, 0), look_s))
        ended = answer.done()  # what cancelling makes of it is no answer
        if cancel and not ended:
            cancel()
        self._check_caller()
        if not ended:
            raise TimeoutError
        return answer.result()

    def _check_caller(self) -> None:
        if self.abandoned():
            metrics.REJECTED.labels("caller_gone").inc()
            raise CallerGone


CURRENT: ContextVar[Call | None] = ContextVar("vultus_call", default=None)


def current(longest_s: float) -> Call:
    """The call that is being answered, or a new one of `longest_s` outside HTTP."""
    return CURRENT.get() or Call(time.monotonic() + longest_s)


def note_analysed() -> None:
    """Remember when the current call's tensors were read, so that what follows counts as rendering."""
    call = CURRENT.get()
    if call:
        call.analysed_s = time.monotonic()
