"""What libraries print on standard error (libjpeg about damaged pictures, for one) as lines of the log."""

from __future__ import annotations

import logging
import os
import sys
import threading

log = logging.getLogger("vultus.stderr")

STANDARD_ERROR = 2
MAX_LINE_CHARACTERS = 500


def take_over() -> None:
    """From now on what this process and those that it starts print there passes through a thread. Python's own handlers write beside it."""
    ours = os.dup(STANDARD_ERROR)
    sys.stderr = os.fdopen(ours, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    reading, writing = os.pipe()
    os.dup2(writing, STANDARD_ERROR)
    os.close(writing)
    threading.Thread(target=_relay, args=(reading,), daemon=True, name="stderr").start()


def _relay(reading: int) -> None:
    with os.fdopen(reading, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            _pass_on(line.strip())


def _pass_on(line: str) -> None:
    """Lines of the log, from handlers that were made before, stay as they are."""
    if line.startswith("{"):
        sys.stderr.write(line + "\n")
    elif line:
        log.warning(line[:MAX_LINE_CHARACTERS])
