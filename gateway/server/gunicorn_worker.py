"""Gunicorn's threaded worker with a limit to how long a request may hold a thread, and memory that is given back."""

from __future__ import annotations

import ctypes
import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker

# Freed memory is given back when nothing has been asked for so long, and on a busy worker so often.
TRIM_AFTER_S, TRIM_EVERY_S = 0.5, 10.0
# glibc's: what is free between blocks in use goes back to the system. Other C libraries do without.
malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn lets a client that has begun to send hold a thread for ever. Here its connection is read no longer than a request may last.

    This is for clients that never finish the head of a request: they are then as if they had hung up. intake/uploads.py has the limit
    of bodies, which is shorter and has an answer.

    Bodies and pictures of changing sizes leave holes in the heap, which glibc keeps for ever unless it is asked.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._due_s: dict[Any, float] = {}
        self._answered_s, self._trimmed_s = 0.0, 0.0

    @property
    def _services(self) -> Any:
        from gateway.apis.services import KEY  # not above: see gunicorn_config.post_worker_init

        return self.wsgi.extensions[KEY]

    def handle(self, conn: Any) -> Any:
        """In a thread: one request of a connection."""
        settings = self._services.settings
        self._due_s[conn] = time.monotonic() + settings.upload_s + settings.deadline_s
        try:
            return super().handle(conn)
        finally:
            self._due_s.pop(conn, None)
            self._answered_s = time.monotonic()

    def murder_pending(self) -> None:
        """In the main loop, about once a second. Shutting down the reading side leaves the way open for the answer."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due_s in list(self._due_s.items()):
            if now > due_s and self._due_s.pop(conn, 0):
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
        self._give_back(now)

    def _give_back(self, now: float) -> None:
        quiet = not self._due_s and now > self._answered_s + TRIM_AFTER_S
        if malloc_trim and self._answered_s > self._trimmed_s and (quiet or now > self._trimmed_s + TRIM_EVERY_S):
            self._trimmed_s = now
            if quiet:
                self._services.decoders.rest()
            malloc_trim(0)
