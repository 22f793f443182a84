"""Gunicorn's own settings: what no command line option of scripts/serve decides."""

from __future__ import annotations

from typing import Any

from prometheus_client import multiprocess

from gateway.services import KEY

worker_class = "gateway.gunicorn_worker.Worker"
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 64


def post_worker_init(worker: Any) -> None:
    """Start the decoders before the first request needs them."""
    worker.wsgi.extensions[KEY].decoders.start()


def child_exit(server: Any, worker: Any) -> None:
    """Fold a dead worker's gauges."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
