"""The embedded tritonserver as a supervised process."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from scripts.embedded_triton import alive, concealed, pools
from scripts.embedded_triton.layout import Layout

FAILED_MODEL = re.compile(r"failed to load '([^']+)' version \d+: (.*)")
ERROR_LINE = re.compile(r"^(?:\[?E|error)[^\]]*\]?\s*(.*)", re.IGNORECASE)
TRACED_AS = "service.name=triton"
# tritonserver 2.51 was seen to crash while it loads models, in one start of several hundred on busy machines.
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
STARTS, CRASH_LINES = 3, 25
# The protocols over gRPC that change a running server or name memory of this machine.
RESTRICTED, KEY = "shared-memory,model-repository,trace,logging", "vultus"
# How often it is looked whether models work, and how many looks in a row without that end the server. No batch takes that long.
LOOK_EVERY_S, LOOKS = 5.0, 5


def crash(status: int | None) -> str:
    """Name of the signal of a program error that a process with this exit status ended by, or nothing."""
    return next((number.name for number in CRASHES if status == -number), "")


class DidNotStart(Exception):
    """tritonserver ended or never became ready. The message is one line for the operator."""


class Crashed(DidNotStart):
    """It ended by a signal of a program error."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports of Triton's services on `host`.

    HTTP is not among them: nothing here needs it, and the server of release 2.51 ends on one chunked request (CVE-2025-23310, 23311).
    """

    host: str
    grpc: int
    metrics: int


def tracing(endpoint: str) -> tuple[str, ...]:
    """Arguments that make Triton send the spans of every request to a collector, as children of its caller's."""
    settings = ("mode=opentelemetry", "rate=1", "level=TIMESTAMPS", f"opentelemetry,url={endpoint}", f"opentelemetry,resource={TRACED_AS}")
    return tuple(f"--trace-config={setting}" for setting in settings)


class EmbeddedTriton:
    """Starts, watches and stops one tritonserver and everything it started."""

    def __init__(self, layout: Layout, repository: Path, ports: Ports, arguments: tuple[str, ...] = (), verbose: bool = False) -> None:
        self._layout, self._repository, self.ports = layout, repository, ports
        self._arguments, self._verbose = arguments, verbose
        self.secret = secrets.token_hex(16)  # opens the restricted protocols; the gateway is told
        self._process: subprocess.Popen[str] | None = None
        self._stopping = threading.Event()
        self._tail: collections.deque[str] = collections.deque(maxlen=400)

    def start(self, timeout_s: float, stop: threading.Event) -> None:
        """Start and wait until every model is ready or `stop` is set, again when it crashes meanwhile, STARTS times in all.

        Raises DidNotStart.
        """
        for left in reversed(range(STARTS)):
            try:
                self._start(timeout_s, stop)
            except Crashed as problem:
                sys.stderr.write(f"vultus: {problem}{' Starting it again.' if left else ''}\n")
                sys.stderr.writelines(f"triton: {line}\n" for line in list(self._tail)[-CRASH_LINES:])
                if not left:
                    raise
            else:
                return

    def _start(self, timeout_s: float, stop: threading.Event) -> None:
        pools.sweep()
        self._tail.clear()
        # Where the true option cannot be concealed, its place is held by one that opens nothing: no header can have such a name.
        shut, open_ = (
            f"--grpc-restricted-protocol={RESTRICTED}:{pair}" for pair in (f"no one={secrets.token_hex(16)}", f"{KEY}={self.secret}")
        )
        self._process = concealed.start([*self._command(), shut], shut, open_, self._layout.environment)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()
        deadline = time.monotonic() + timeout_s
        while not stop.is_set() and not self._is_ready():
            if self._process.poll() is not None:
                time.sleep(0.2)  # let the reader finish
                signalled = crash(self._process.returncode)
                self.stop(0)
                if signalled and not self._failed_model():  # after one that does not load, it may crash while it ends
                    raise Crashed(f"Triton crashed at start ({signalled}).")
                raise DidNotStart(self._reason())
            if time.monotonic() > deadline:
                self.stop(0)
                raise DidNotStart(f"Triton was not ready after {timeout_s:.0f} s.")
            stop.wait(0.05)
        self._stopping = threading.Event()
        threading.Thread(target=self._attend, args=(self._process, self._stopping), daemon=True).start()

    def _attend(self, process: subprocess.Popen[str], stopping: threading.Event) -> None:
        """While it lives: end it when its models do not work, so that whoever watches starts it again. See alive.py."""
        before, looks, why = alive.Look(), 0, ""
        while looks < LOOKS:
            if stopping.wait(LOOK_EVERY_S) or process.poll() is not None:
                return
            if alive.lost(process.pid):
                why = "a process of a model has ended"
                break
            try:
                now = alive.look(self._metrics_url)
                models, before = alive.broken(before, now), now
                why = f"requests are not answered by {', '.join(models)}" if models else ""
                if alive.lost(process.pid, alive.STOPPED):
                    why = "a process of a model is stopped"
            except (OSError, ValueError):
                why = "it says nothing"
            looks = looks + 1 if why else 0
        if not stopping.is_set():
            sys.stderr.write(f"vultus: Triton does not work ({why}): ending it\n")
            process.kill()

    @property
    def _metrics_url(self) -> str:
        return f"http://{self.ports.host}:{self.ports.metrics}/metrics"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def crashed_by(self) -> str:
        """Name of the signal of a program error that ended the process, or nothing."""
        return crash(self._process.poll()) if self._process else ""

    def stop(self, grace_s: float) -> None:
        """End the server politely within `grace_s`, then whatever is left of its process group, then its shared memory."""
        self._stopping.set()
        if self._process is None:
            return
        if self.running and grace_s:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        pools.sweep()

    def _command(self) -> list[str]:
        ports = self.ports
        return [
            str(self._layout.binary),
            f"--model-repository={self._repository}",
            f"--backend-directory={self._layout.backends}",
            f"--grpc-address={ports.host}",
            f"--grpc-port={ports.grpc}",
            "--allow-http=false",
            f"--metrics-address={ports.host}",
            f"--metrics-port={ports.metrics}",
            # Messages that Triton keeps for the next request keep their memory, and so the pictures of earlier ones.
            "--grpc-infer-allocation-pool-size=0",
            "--exit-on-error=true",
            "--exit-timeout-secs=10",
            "--model-control-mode=none",
            "--disable-auto-complete-config",
            "--allow-gpu-metrics=true",
            *pools.options(self._arguments),
            *self._arguments,
        ]

    def _is_ready(self) -> bool:
        """Metrics are the last that Triton offers: all models are loaded then, and gRPC is there."""
        try:
            with alive.WITHOUT_PROXY.open(self._metrics_url, timeout=1) as answer:
                return bool(answer.status == 200) and self.running
        except (urllib.error.URLError, OSError):
            return False

    def _read(self, process: subprocess.Popen[str]) -> None:
        if process.stdout:
            with process.stdout as lines:
                for line in lines:
                    self._tail.append(line.rstrip())
                    if self._verbose:
                        sys.stderr.write(f"triton: {line}")

    def _failed_model(self) -> str:
        found = next((found for line in list(self._tail) if (found := FAILED_MODEL.search(line))), None)
        return f"Model {found[1]} does not load: {found[2].strip()}" if found else ""

    def _reason(self) -> str:
        if failed := self._failed_model():
            return failed
        lines = list(self._tail)
        errors = [found[1] for line in lines if (found := ERROR_LINE.match(line)) and found[1]]
        return f"Triton ended at start: {errors[-1] if errors else (lines[-1] if lines else 'no output')}"
