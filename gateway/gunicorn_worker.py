"""Gunicorn's threaded worker with a limit to how long a request may hold a thread."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import Any

from gunicorn.workers.gthread import ThreadWorker


class Worker(ThreadWorker):  # type: ignore[misc]
    """Gunicorn lets a client that has begun to send hold a thread for ever. Here its connection is read no longer than a request may last.

    This is for clients that never finish the head of a request: they are then as if they had hung up. gateway/body.py has the limit
    of bodies, which is shorter and has an answer.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._due_s: dict[Any, float] = {}

    def handle(self, conn: Any) -> Any:
        """In a thread: one request of a connection."""
        from gateway.services import KEY  # not above: see gunicorn_config.post_worker_init

        settings = self.wsgi.extensions[KEY].settings
        self._due_s[conn] = time.monotonic() + settings.upload_s + settings.deadline_s
        try:
            return super().handle(conn)
        finally:
            self._due_s.pop(conn, None)

    def murder_pending(self) -> None:
        """In the main loop, about once a second. Shutting down the reading side leaves the way open for the answer."""
        super().murder_pending()
        now = time.monotonic()
        for conn, due_s in list(self._due_s.items()):
            if now > due_s and self._due_s.pop(conn, 0):
                with suppress(OSError):
                    conn.sock.shutdown(socket.SHUT_RD)
