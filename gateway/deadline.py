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
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gateway import metrics
from gateway.errors import CallerGone, UpstreamTimeout

T = TypeVar("T")

TIMEOUT_HEADER = "X-Timeout-Seconds"  # how long a caller waits for the answer
LOOK_S = 0.05  # how often a waiting call checks whether its client disconnected
# Half-closed counts as gone, as with most proxies: a caller that has sent FIN and one that has died look the same.
HUNG_UP = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR | select.POLLNVAL


class Place(Protocol):
    """A call's place among those that decode and analyse."""

    def give_back(self) -> None:
        """For good, because the call has to wait for others; nothing when it has been given back."""

    def taken(self) -> AbstractContextManager[None]:
        """Around work: a place, the call's own or, if that was given back, another. Raises Overloaded."""


@dataclass(slots=True)
class Call:
    """`ends_s` and `analysed_s` on the monotonic clock; `connection` is the caller's socket where the server shows it."""

    ends_s: float
    connection: socket.socket | None = None
    analysed_s: float | None = None  # when the last analysis of this call was there; noted by the analyzer
    place: Place | None = None

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


def wait_for_others() -> None:
    """Before the current call waits for what is no work of this service: its place at work is given back."""
    call = CURRENT.get()
    if call and call.place:
        call.place.give_back()


def at_work() -> AbstractContextManager[None]:
    """Around the current call's work. Raises Overloaded when it has waited for others and finds no place."""
    call = CURRENT.get()
    return call.place.taken() if call and call.place else nullcontext()


def note_analysed() -> None:
    """Remember when the current call's tensors were read, so that what follows counts as rendering."""
    call = CURRENT.get()
    if call:
        call.analysed_s = time.monotonic()
