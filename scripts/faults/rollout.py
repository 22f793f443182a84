"""A rolling restart of Tritons behind a gateway, as Kubernetes does it with the chart's numbers: scripts/chaos.py --rollout.

Two Tritons, started with the options of the images (docker/triton/start), each on a loopback address of its own, as pods have. A DNS
server stands in for the headless Service: its name resolves to every ready Triton, and the gateway balances over them (VULTUS_TRITON is
dns://...). Under load each old one is replaced: a new one starts (maxSurge 1), is published when it is ready, and takes part; then the
old one is taken from the name, waits as its preStop hook does, gets SIGTERM and finishes. Counted: requests lost, refused or answered
wrong, and how long each new Triton waits for its first request. Exits 1 when there was one, or a new Triton waited too long. The load must
be one that a single Triton beside a starting one can serve, or refusals say nothing about the rollout: --clients.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dnslib import QTYPE, RR, A, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

from scripts.embedded_triton.alive import WITHOUT_PROXY
from scripts.serving import ROOT
from scripts.traffic.answers import Verdict
from scripts.traffic.load import Event, Load
from scripts.traffic.questions import SMALL, questions

NAME, TTL_S = "triton.test.", 5  # CoreDNS answers for Services with this TTL
BUSY_WITHIN_S, START_S = 15.0, 900.0
PAUSE_S, END_S = 5.0, 35.0  # of the chart: triton.ending
BEFORE_S, AFTER_S, TIMEOUT_S = 5.0, 10.0, 20.0
COUNT = re.compile(r'^nv_inference_request_success\{model="face_analysis",version="1"\} (\d+)', re.M)


@dataclass
class HeadlessService(BaseResolver):  # type: ignore[misc]
    """Answers with the addresses that are published now."""

    addresses: list[str] = field(default_factory=list)

    def resolve(self, request: DNSRecord, handler: DNSHandler) -> DNSRecord:
        """A records of NAME, nothing for the rest."""
        reply = request.reply()
        if request.q.qname == NAME and request.q.qtype == QTYPE.A:
            for address in self.addresses:
                reply.add_answer(RR(NAME, QTYPE.A, rdata=A(address), ttl=TTL_S))
        return reply


@dataclass
class Pod:
    """One Triton at an address of its own."""

    address: str
    process: subprocess.Popen[bytes]
    metrics: str

    def ready(self) -> bool:
        """Whether all its models are loaded. Raises RuntimeError when it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the Triton at {self.address} ended while it started")
        return self.served() is not None

    def served(self) -> int | None:
        """Pictures analysed so far; None while nobody answers."""
        try:
            with WITHOUT_PROXY.open(self.metrics, timeout=5) as answer:
                found = COUNT.search(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return None
        return int(found[1]) if found else 0

    def end(self) -> None:
        """As the kubelet: SIGTERM, after the grace SIGKILL."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Rollout:
    """What the callers saw, and seconds from publishing each new Triton to its first request (None: none came in time)."""

    events: list[Event]
    busy_after_s: list[float | None]

    @property
    def counts(self) -> Counter[Verdict]:
        """Requests by verdict."""
        return Counter(event.verdict for event in self.events)

    @property
    def passed(self) -> bool:
        """Every request was answered, rightly and not with a refusal, and every new Triton took part in time."""
        in_time = all(waited is not None and waited <= BUSY_WITHIN_S for waited in self.busy_after_s)
        return bool(self.events) and in_time and self.counts[Verdict.RIGHT] == len(self.events)


def main(clients: int, retry: bool) -> int:
    """Run it and report. Returns the exit status."""
    with cluster() as (base, service, pods, start):
        load = Load(base, [question for question in questions(SMALL) if question.name.startswith("vultus ")], clients, TIMEOUT_S, retry)
        load.learn()
        load.start()
        try:
            time.sleep(BEFORE_S)
            waited = [_replace(service, old, start) for old in pods]
            time.sleep(AFTER_S)
        finally:
            load.stop()
    done = Rollout(load.events, waited)
    sys.stdout.write(report(done))
    return 0 if done.passed else 1


def report(done: Rollout) -> str:
    """Two lines, and one for each status of requests that failed."""
    counts, busy = done.counts, ", ".join("not in time" if waited is None else f"{waited:.1f} s" for waited in done.busy_after_s)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    closed = sum(event.closed for event in done.events)
    failed = Counter(f"{event.verdict} {event.status}" for event in done.events if event.verdict is not Verdict.RIGHT)
    why = "".join(f"{what}: {count}\n" for what, count in failed.most_common())
    return f"{len(done.events)} requests: {said}; {closed} connections closed unanswered\nnew Tritons got work after {busy}\n{why}"


def _replace(service: HeadlessService, old: Pod, start: Callable[[], Pod]) -> float | None:
    new = start()
    _await_ready(new)
    before = new.served() or 0  # warm-up
    service.addresses.append(new.address)
    published = time.monotonic()
    busy = _await(lambda: (new.served() or 0) > before, BUSY_WITHIN_S * 2)
    waited = time.monotonic() - published if busy else None
    service.addresses.remove(old.address)
    time.sleep(PAUSE_S)
    old.end()
    return waited


def _await_ready(pod: Pod) -> None:
    if not _await(pod.ready, START_S):
        raise RuntimeError(f"the Triton at {pod.address} was not ready after {START_S:.0f} s")


def _await(true: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


@contextmanager
def cluster() -> Iterator[tuple[str, HeadlessService, list[Pod], Callable[[], Pod]]]:
    """A gateway over two ready Tritons: its address, the name's addresses, the Tritons, and what starts another one."""
    service, grpc, metrics = HeadlessService(), _free_port(), _free_port()
    started: list[Pod] = []

    def start() -> Pod:
        pod = _start(f"127.0.0.{len(started) + 2}", grpc, metrics)
        started.append(pod)
        return pod

    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vultus-rollout-"))
        stack.callback(_end, started)
        server = DNSServer(service, address="127.0.0.1", port=(port := _free_port(socket.SOCK_DGRAM)), logger=DNSLogger("error"))
        server.start_thread()
        stack.callback(server.server.server_close)
        stack.callback(server.stop)
        pods = [start(), start()]
        for pod in pods:
            _await_ready(pod)
            service.addresses.append(pod.address)
        target = f"dns://127.0.0.1:{port}/{NAME.rstrip('.')}:{grpc}"
        base = _gateway(stack, {"VULTUS_DATA": folder, "VULTUS_LOG_LEVEL": "ERROR", "VULTUS_TRITON": target, "WEB_CONCURRENCY": "1"})
        yield base, service, pods, start


def _gateway(stack: ExitStack, environment: dict[str, str]) -> str:
    """The gateway image's own command, ready; its address."""
    port = _free_port()
    command = [sys.executable, "-m", "gunicorn", "--config", "python:gateway.server.gunicorn_config", "--bind", f"127.0.0.1:{port}"]
    process = subprocess.Popen([*command, "gateway.app:create_app()"], cwd=ROOT, env={**os.environ, **environment})
    stack.callback(process.wait)
    stack.callback(process.terminate)
    base = f"http://127.0.0.1:{port}"
    if not _await(lambda: process.poll() is not None or _answers(f"{base}/readyz"), START_S) or process.poll() is not None:
        raise RuntimeError("the gateway did not become ready")
    return base


def _end(pods: list[Pod]) -> None:
    for pod in pods:
        if pod.process.poll() is None:
            pod.end()


def _answers(url: str) -> bool:
    try:
        with WITHOUT_PROXY.open(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _start(address: str, grpc: int, metrics: int) -> Pod:
    """The images' own start script and CMD of the CPU image, on one loopback address."""
    ports = {"grpc": grpc, "http": _free_port(), "metrics": metrics}
    options = [f"--{name}-{key}" for name, port in ports.items() for key in (f"port={port}", f"address={address}")]
    command = [sys.executable, "-m", "scripts.embedded_triton", str(ROOT / "docker" / "triton" / "start"), "--allow-gpu-metrics=false"]
    environment = {**os.environ, "TRITON_MODELS": str(ROOT / "model_repository"), "VULTUS_DEVICE": "cpu", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, *options], cwd=Path("/"), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Pod(address, process, f"http://{address}:{metrics}/metrics")


def _free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """On every loopback address, as nearly as that can be known."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
