"""Starts Triton and the gateway, watches both, stops both.

Ready when both answer; ends on Ctrl-C or SIGTERM. Triton is restarted when it dies or hangs, with a growing pause. When this process is
killed, the kernel kills both (scripts/embedded_triton/launch.py).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from gateway.callers.exposure import only_here, refusal
from gateway.settings import COMPOSED, Settings
from scripts.embedded_triton import pools
from scripts.embedded_triton.alive import WITHOUT_PROXY
from scripts.embedded_triton.allocation import MALLOC
from scripts.embedded_triton.concealed import LAUNCH
from scripts.embedded_triton.layout import Unusable, build
from scripts.embedded_triton.scratch import linked, scratch
from scripts.embedded_triton.server import DidNotStart, EmbeddedTriton, Ports, tracing
from scripts.succession import SECOND_SIGNAL_S, Failure, Succession, analyse_once

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "pictures" / "astronaut.jpg"
TRITON_START_S, GATEWAY_START_S, DRAIN_S = 120.0, 120.0, 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, STABLE_S = 0.5, 30.0, 60.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with scratch() as folder:
            return _serve(options, folder, stop)
    except (Failure, DidNotStart, Unusable, ValidationError) as problem:
        _say(str(problem))
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/serve", description="Serve face analysis: Triton and the HTTP gateway.")
    parser.add_argument("--host", default="127.0.0.1", help="address of the gateway (default %(default)s)")
    parser.add_argument("--port", type=_port, default=8080, help="port of the gateway (default %(default)s; 0 picks a free one)")
    parser.add_argument("--workers", type=_at_least_one, default=2, help="gateway processes (default %(default)s)")
    parser.add_argument("--triton", metavar="HOST:PORT", help="gRPC address of a running Triton, in place of the embedded one")
    parser.add_argument("--triton-host", default="127.0.0.1", help="address of the embedded Triton (default %(default)s)")
    for name, port in (("grpc", 8001), ("metrics", 8002)):
        parser.add_argument(
            f"--{name}-port", type=_port, default=port, help=f"embedded Triton's {name} port (default %(default)s; 0 picks a free one)"
        )
    parser.add_argument("--insecure-open", action="store_true", help="serve others than this machine although nobody needs a key")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto", help="where models run; gpu fails rather than fall back"
    )
    parser.add_argument("--threads", type=_at_least_one, help="threads per model (default: each model's config)")
    parser.add_argument("--trace-endpoint", metavar="URL", help="OTLP/HTTP address that traces of both tiers go to (extra `tracing`)")
    parser.add_argument("--keep-models", action="store_true", help="go on with the models of the start when others are chosen")
    parser.add_argument("--model-repository", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--listener", type=int, action="append", default=[], help=argparse.SUPPRESS)  # of a successor (succession.py)
    parser.add_argument("--verbose", action="store_true", help="show Triton's own log")
    return parser


def _serve(options: argparse.Namespace, folder: Path, stop: threading.Event) -> int:
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        raise Failure("Python 3.11 to 3.13 is needed.")
    _check_open(options)
    options.keep_models |= bool(options.triton or options.model_repository) or "model_repository" in Settings().model_fields_set
    options.model_repository = options.model_repository or _repository()
    listeners = [socket.socket(fileno=file) for file in options.listener] or [_bound(options.host, options.port, "--port")]
    heirs = Succession(options, listeners[0], stop, partial(_await_gateway, timeout_s=TRITON_START_S + GATEWAY_START_S), _say)
    embedded, address = (None, options.triton) if options.triton else _embedded(options, folder)
    if embedded:
        if shortage := pools.shortage():
            _say(shortage)
        _say("starting Triton")
        embedded.start(TRITON_START_S, stop)
    gateway: subprocess.Popen[bytes] | None = None
    try:
        if embedded and options.listener and not stop.is_set():
            analyse_once(address, embedded.secret, options.model_repository)
        if not stop.is_set():
            gateway = _start_gateway(options, listeners, address, embedded.secret if embedded else "", folder)
            _await_gateway(_address(listeners[-1]), gateway, stop)
        if gateway and not stop.is_set():
            _announce(_address(listeners[0]), address, embedded)
            _watch(gateway, embedded, heirs, stop)
    finally:
        _say("ending the former models" if heirs.replaced else "stopping")
        for listener in listeners if not heirs.running else ():
            listener.close()
        if gateway:
            _end(gateway, announced=not heirs.replaced)
        if embedded:
            embedded.stop(DRAIN_S)
    if heirs.running:
        heirs.go_on()
    return 0


def _check_open(options: argparse.Namespace) -> None:
    """What the gateway itself refuses, said before Triton starts; and Triton, which knows no keys, is for this machine."""
    if options.insecure_open:
        os.environ["VULTUS_INSECURE_OPEN"] = "true"
    elif not options.triton and not only_here(options.triton_host):
        raise Failure(
            f"Triton needs no key, and {options.triton_host} can be reached by others: leave out --triton-host, or give --insecure-open."
        )
    problem = refusal([options.host], Settings())
    if problem:
        raise Failure(f"{problem[:-1]}, or give --insecure-open.")


def _repository() -> Path:
    """The built-in models, or what `vultus models use` composed of them and of others, brought up to date."""
    settings = Settings()
    if (settings.data / COMPOSED).is_symlink():
        from scripts.slots.contract import Refused
        from scripts.slots.store import Store

        try:
            if Store(settings.data).refresh():
                _say("the built-in models have changed: composed the repository of models again")
        except Refused as problem:
            raise Failure(f"The models that were chosen cannot be served ({problem}): vultus models rollback.") from None
    return Settings().model_repository


def _embedded(options: argparse.Namespace, folder: Path) -> tuple[EmbeddedTriton, str]:
    host = options.triton_host
    ports = Ports(host, *(_claim(host, getattr(options, f"{name}_port"), f"--{name}-port") for name in ("grpc", "metrics")))
    os.environ["VULTUS_DEVICE"] = options.device
    if options.threads:
        os.environ["VULTUS_ORT_THREADS"] = str(options.threads)
    arguments: tuple[str, ...] = ("--model-config-name=gpu",) if options.device == "gpu" else ()
    if options.trace_endpoint:
        arguments += tracing(options.trace_endpoint)
    repository = linked(folder, options.model_repository)
    return EmbeddedTriton(build(folder), repository, ports, arguments, options.verbose), f"{_reachable(host)}:{ports.grpc}"


def _start_gateway(
    options: argparse.Namespace, listeners: Sequence[socket.socket], triton: str, secret: str, folder: Path
) -> subprocess.Popen[bytes]:
    metrics = folder / "metrics"
    metrics.mkdir()
    environment = {
        **MALLOC,
        **os.environ,
        "VULTUS_TRITON": triton,
        "VULTUS_MODEL_REPOSITORY": str(options.model_repository),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
    }
    if secret:
        environment["VULTUS_TRITON_SECRET"] = secret
    if options.trace_endpoint:
        environment["VULTUS_TRACE_ENDPOINT"] = options.trace_endpoint
    for mine in ("VULTUS_DEVICE", "VULTUS_ORT_THREADS", "VULTUS_VENV"):
        environment.pop(mine, None)
    files = [listener.fileno() for listener in listeners]
    command = [
        *(sys.executable, "-I", "-S", str(LAUNCH), str(os.getpid())),
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:gateway.server.gunicorn_config",
        *(f"--bind=fd://{file}" for file in files),
        "--workers",
        str(options.workers),
        "gateway.app:create_app()",
    ]
    return subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True, pass_fds=files)


def _await_gateway(base: str, gateway: subprocess.Popen[bytes], stop: threading.Event, timeout_s: float = GATEWAY_START_S) -> None:
    deadline, state = time.monotonic() + timeout_s, "the gateway does not answer"
    while not stop.is_set():
        if gateway.poll() is not None:
            raise Failure("The gateway ended at start; its messages are above.")
        try:
            WITHOUT_PROXY.open(f"{base}/readyz", timeout=3).close()
            return
        except urllib.error.HTTPError as problem:
            state = problem.read().decode(errors="replace").strip()
        except (urllib.error.URLError, OSError):
            pass
        if time.monotonic() > deadline:
            raise Failure(f"Not ready after {timeout_s:.0f} s: {state}")
        stop.wait(0.1)


def _announce(base: str, triton: str, embedded: EmbeddedTriton | None) -> None:
    own = f"   (metrics {embedded.ports.metrics})" if embedded else ""
    sys.stdout.write(f"""Vultus is ready.
  gateway       {base}   (open it in a browser; API: {base}/docs)
  Triton gRPC   {triton}{own}
Try it:
  curl -F image=@{shlex.quote(str(SAMPLE))} {base}/v1/analyze
""")
    sys.stdout.flush()


def _watch(gateway: subprocess.Popen[bytes], embedded: EmbeddedTriton | None, heirs: Succession, stop: threading.Event) -> None:
    """Until told to stop, or until a successor serves. A dead gateway is an error; a dead Triton is started again."""
    pause, started = FIRST_PAUSE_S, time.monotonic()
    while not stop.wait(0.2):
        if gateway.poll() is not None:
            raise Failure("The gateway ended unexpectedly.")
        if heirs.took_over():
            return
        if embedded is None or embedded.running:
            continue
        if time.monotonic() - started > STABLE_S:
            pause = FIRST_PAUSE_S
        crashed = f" ({embedded.crashed_by})" if embedded.crashed_by else ""
        _say(f"Triton ended{crashed}; starting it again in {pause:g} s")
        embedded.stop(0)
        stop.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)
        if not stop.is_set():
            try:
                embedded.start(TRITON_START_S, stop)
                if not stop.is_set():
                    _say("Triton is ready again")
            except DidNotStart as problem:
                _say(str(problem))
            started = time.monotonic()


def _end(process: subprocess.Popen[bytes], announced: bool) -> None:
    """Let it announce its end, unless another one answers already, and finish its requests; then end what is left of the process group."""
    process.terminate()
    if not announced:
        time.sleep(SECOND_SIGNAL_S)
        process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(DRAIN_S + Settings().drain_notice_s + 5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _bound(host: str, port: int, option: str) -> socket.socket:
    """A socket at the port, or at a free one for 0, not listening yet. Raises Failure when it is taken or the address is not ours."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except PermissionError:
        found.close()
        raise Failure(f"Port {port} needs more rights: choose another with {option}.") from None
    except OSError as problem:
        found.close()
        raise Failure(
            f"Port {port} on {host} cannot be used ({problem.strerror}): choose another with {option}, 0 picks a free one."
        ) from None
    return found


def _claim(host: str, port: int, option: str) -> int:
    """The port, or a free one for 0. Raises Failure when it is taken or the address is not ours."""
    with _bound(host, port, option) as probe:
        return int(probe.getsockname()[1])


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{_reachable(host)}:{port}"


def _reachable(host: str) -> str:
    """An address at which this machine reaches a service that listens on `host`."""
    return _bracketed({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host))  # noqa: S104


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _port(text: str) -> int:
    if not (text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError("a port is a whole number from 0 to 65535")
    return int(text)


def _at_least_one(text: str) -> int:
    if not (text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError("a whole number of at least 1 is needed")
    return int(text)


def _say(text: str) -> None:
    sys.stderr.write(f"vultus: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
