"""Gunicorn's own settings: what no command line option of scripts/serve decides."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from prometheus_client import multiprocess

from gateway import draining
from gateway.callers.exposure import refusal
from gateway.callers.keys import KeyStore
from gateway.errors import GatewayError
from gateway.log_lines import FORMAT
from gateway.server import standard_error
from gateway.settings import Settings

PR_SET_PDEATHSIG = 1  # prctl(2)

_settings = Settings()

worker_class = "gateway.server.gunicorn_worker.Worker"
# Those that the gate lets in, and some for probes and refusals.
threads = _settings.max_present + 4
timeout = 60
graceful_timeout = 30
keepalive = 15
accesslog = None
loglevel = "warning"
limit_request_line = 8190
limit_request_fields = 64
# Nobody who calls says where the application lies (SCRIPT_NAME, PATH_INFO): an operator does, by the environment's SCRIPT_NAME.
forwarder_headers = ""
# Also what gunicorn says is one JSON object a line.
logconfig_dict = {
    "formatters": {"json": {"()": "pythonjsonlogger.json.JsonFormatter", **FORMAT}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stderr"}},
    "loggers": {"gunicorn.error": {"handlers": ["stderr"], "propagate": False}},
    "root": {"level": "WARNING", "handlers": ["stderr"]},
}
control_socket_disable = True  # nobody steers a running gateway, and its folder may be read-only


def on_starting(server: Any) -> None:
    """Refuse to serve strangers by accident; keys that exist stay needed; no counts of an earlier life."""
    settings = Settings()
    problem = refusal([address[0] for address in server.cfg.address if isinstance(address, tuple)], settings)
    if problem:
        server.log.error(problem)
        sys.exit(1)
    _keep_asking_for_keys(settings)
    _forget_old_counts()


def _keep_asking_for_keys(settings: Settings) -> None:
    """Once keys exist they stay needed: a worker that starts while their database is away must not serve everybody."""
    with suppress(GatewayError):
        if settings.require_keys is None and KeyStore(settings.keys_url).any():
            os.environ["VULTUS_REQUIRE_KEYS"] = "true"


def _forget_old_counts() -> None:
    """A restarted container keeps its volumes."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for old in Path(folder).glob("*.db"):
            old.unlink()


def when_ready(server: Any) -> None:
    """On SIGTERM readiness drops first, the port closes later."""
    draining.announce_before_stopping(server, _settings.drain_notice_s)


def post_fork(server: Any, worker: Any) -> None:
    """A worker ends with its parent, however that ends, or it would keep the port. It writes for its own user only.

    What libraries print is taken over before the application, whose log goes beside it, is loaded.
    """
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != worker.ppid:
            os._exit(1)
    standard_error.take_over()


def post_worker_init(worker: Any) -> None:
    """Start the decoders before the first request needs them, and what deletes old pictures.

    A stopping worker closes the port before it finishes its requests.
    """
    from gateway.apis.services import KEY  # not above: metrics, which it brings along, open their files when they are imported

    worker.wsgi.extensions[KEY].decoders.start()
    worker.wsgi.extensions[KEY].pictures.start()
    draining.close_port_when_stopping(worker)


def worker_exit(server: Any, worker: Any) -> None:
    """Leave no picture in Triton's memory."""
    from gateway.apis.services import KEY

    application = getattr(worker, "wsgi", None)
    if application is not None:
        application.extensions[KEY].triton.close()


def child_exit(server: Any, worker: Any) -> None:
    """Fold a dead worker's gauges, where workers share metrics."""
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
