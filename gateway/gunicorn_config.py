"""Gunicorn's own settings: what no command line option of scripts/serve decides."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import multiprocess

from gateway import draining
from gateway.settings import Settings

_settings = Settings()

worker_class = "gthread"
# Those that the gate lets in, and some for probes and refusals.
threads = _settings.max_present + 4
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 64


def when_ready(server: Any) -> None:
    """On SIGTERM readiness drops first, the port closes later."""
    draining.announce_before_stopping(server, _settings.drain_notice_s)


def post_worker_init(worker: Any) -> None:
    """A stopping worker closes the port before it finishes its requests."""
    draining.close_port_when_stopping(worker)


def child_exit(server: Any, worker: Any) -> None:
    """Fold a dead worker's gauges, where workers share metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
