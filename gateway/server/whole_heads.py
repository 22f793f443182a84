"""Gunicorn's threaded worker, in which connections cost no thread while nothing of them can be answered.

Gunicorn gives every connection to a thread, which waits there for the head of a request, and its main loop waits 2 s for a caller who does
not close a connection that is over: a few dozen slow or idle callers keep all others waiting. Here heads are read in the main loop's
poller, HEAD_S at most, a connection that is over waits there too, and what operators ask has threads that no caller can hold.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.http.errors import LimitRequestHeaders
from gunicorn.workers.gthread import ThreadWorker

# How long a head may take to arrive, how long the caller of a connection that is over has to close it, and how long a thread waits
# for the rest of a body that nobody reads.
HEAD_S, LINGER_S, UNREAD_S = 5.0, 2.0, 0.005
# How often the main loop looks for connections whose time is over.
LOOK_S = 0.25
MAX_HEAD_BYTES, READ_BYTES = 2**16, 2**16
# Threads for GET requests by path; all other GETs, which nobody needs to be healthy, share the last ones.
PAGES = b""
LANES = {b"/healthz": 2, b"/readyz": 4, b"/metrics": 4, PAGES: 4}


class WholeHeads(ThreadWorker):  # type: ignore[misc]
    """All methods but `_keepalive_after` run in the main loop. TLS, which operators end before the service, is left to gunicorn."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting: dict[Any, float] = {}  # connections in the poller, and when their time is over
        self._looked_s = 0.0

    def init_process(self) -> None:
        """After the fork."""
        self._lanes = {path: ThreadPoolExecutor(threads) for path, threads in LANES.items()}
        super().init_process()

    def enqueue_req(self, conn: Any) -> None:
        """A connection that is new, was quiet, or has sent more than one request: to a thread, once there is a whole head."""
        if self.cfg.is_ssl:
            super().enqueue_req(conn)
            return
        conn.init()
        if not self._start(conn):
            self._wait(conn, HEAD_S, self._read_head)
            self._read_head(conn)

    def _start(self, conn: Any, ended: bool = False) -> bool:
        """Whether a thread has it: when its head is whole, or nothing more will come and the parser shall say what that is."""
        head = conn.parser.unreader.buf.getvalue().lstrip(b"\r\n")
        if not ended and b"\r\n\r\n" not in head:
            return False
        self._leave(conn)
        conn.lane = _lane(head)
        pool = self.tpool if conn.lane is None else self._lanes[conn.lane]
        pool.submit(self.handle, conn).add_done_callback(lambda done: self.method_queue.defer(self.finish_request, conn, done))
        return True

    def _read_head(self, conn: Any, _: object = None) -> None:
        try:
            data = conn.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._drop(conn)
            return
        unreader = conn.parser.unreader
        unreader.unread(unreader.take_buffered() + data)
        if not self._start(conn, ended=not data) and unreader.buf.getbuffer().nbytes > MAX_HEAD_BYTES:
            self._leave(conn)
            self.handle_error(None, conn.sock, conn.client, LimitRequestHeaders("the head is too large"))
            self._close(conn)

    def finish_request(self, conn: Any, fs: Future[Any]) -> None:
        """A thread is done with the connection."""
        if self.cfg.is_ssl or fs.cancelled() or fs.exception() or fs.result():
            super().finish_request(conn, fs)
        else:
            self._close(conn)

    def _close(self, conn: Any) -> None:
        """As RFC 9112, 9.6 says: our side first, and what the caller still sends is read, or it would take the answer with it."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self._wait(conn, LINGER_S, self._drain)
        except (OSError, ValueError):
            self._drop(conn)

    def _drain(self, conn: Any, _: object = None) -> None:
        with suppress(BlockingIOError):
            try:
                over = not conn.sock.recv(READ_BYTES)
            except ConnectionError:
                over = True
            if over:
                self._drop(conn)

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """In a thread: whether the connection may have another request."""
        return bool(keepalive and conn.parser.finish_body(deadline=time.monotonic() + UNREAD_S))

    def _wait(self, conn: Any, longest_s: float, then: Callable[..., None]) -> None:
        conn.sock.setblocking(False)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(then, conn))
        self._waiting[conn] = time.monotonic() + longest_s

    def _leave(self, conn: Any) -> None:
        if self._waiting.pop(conn, None):
            self.poller.unregister(conn.sock)

    def _drop(self, conn: Any) -> None:
        self._leave(conn)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """After every turn of the loop."""
        super().murder_pending()
        now = time.monotonic()
        if now > self._looked_s + LOOK_S:
            self._looked_s = now
            for conn in [conn for conn, due_s in self._waiting.items() if now > due_s]:
                self._drop(conn)


def _lane(head: bytes) -> bytes | None:
    """Which of LANES, None for what is no GET."""
    method, _, rest = head.partition(b" ")
    path = rest[:200].split(b" ", 1)[0].split(b"?", 1)[0]
    return (path if path in LANES else PAGES) if method == b"GET" else None
