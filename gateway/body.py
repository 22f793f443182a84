"""Reading the body of a request, which must not take for ever: nothing in gunicorn's threads limits it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from flask import request

from gateway.errors import UploadTooSlow


def read(longest_s: float) -> None:
    """Read it; the request keeps it, so that views and form parsing find it. Raises UploadTooSlow after `longest_s`, MalformedBody."""
    connection: socket.socket | None = request.environ.get("gunicorn.socket")
    late = threading.Event()

    def cut() -> None:
        late.set()
        if connection:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RD)  # the reading thread sees the end of the stream

    timer = threading.Timer(longest_s, cut)
    timer.daemon = True
    timer.start()
    try:
        request.get_data()
    except Exception:
        if late.is_set():
            raise UploadTooSlow from None
        raise
    finally:
        timer.cancel()
    if late.is_set():  # gunicorn may also give what there is
        raise UploadTooSlow
