"""Gunicorn's own settings: what no command line option of scripts/serve decides."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from gateway.exposure import refusal
from gateway.settings import Settings

worker_class = "gthread"
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 64
control_socket_disable = True  # nobody steers a running gateway, and its folder may be read-only


def on_starting(server: Any) -> None:
    """Refuse to serve strangers by accident; start without the counts of an earlier life (a restarted container keeps its volumes)."""
    problem = refusal([address[0] for address in server.cfg.address if isinstance(address, tuple)], Settings())
    if problem:
        server.log.error(problem)
        sys.exit(1)
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for old in Path(folder).glob("*.db"):
            old.unlink()


def child_exit(server: Any, worker: Any) -> None:
    """Fold a dead worker's gauges."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
