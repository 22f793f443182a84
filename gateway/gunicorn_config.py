"""Gunicorn's own settings: what no command line option of scripts/serve decides."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from prometheus_client import multiprocess

from gateway.errors import GatewayError
from gateway.keys import KeyStore
from gateway.services import KEY
from gateway.settings import Settings

worker_class = "gateway.gunicorn_worker.Worker"
threads = 16
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 64


def on_starting(server: Any) -> None:
    """Once keys exist they stay needed: a worker that starts while their database is away must not serve everybody."""
    settings = Settings()
    with suppress(GatewayError):
        if settings.require_keys is None and KeyStore(settings.keys_url).any():
            os.environ["VULTUS_REQUIRE_KEYS"] = "true"


def post_worker_init(worker: Any) -> None:
    """Start the decoders before the first request needs them."""
    worker.wsgi.extensions[KEY].decoders.start()


def child_exit(server: Any, worker: Any) -> None:
    """Fold a dead worker's gauges."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
