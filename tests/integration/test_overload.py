"""Faults of real processes: full queues, callers that hang up, a gateway told to stop, one of two Tritons killed, traces of both tiers."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gateway.errors import UpstreamOverloaded, UpstreamTimeout
from gateway.inference.triton import as_gateway_error
from tests.collector import collecting
from tests.gateway.server.test_stopping import plain_get, supervised, upload
from tests.integration.test_serving import children, command_of
from tests.served import FREE_PORTS, Served, start, stop


def flood(address: str, pixels: NDArray[np.uint8], count: int, timeout_us: int | None = None) -> list[InferenceServerException | None]:
    """`count` requests at once without the gateway. The error of each, None for an answer."""
    tensor = triton.InferInput("IMAGE", [1, *pixels.shape], "UINT8")
    tensor.set_data_from_numpy(pixels[None])
    outcomes: list[InferenceServerException | None] = []
    done = threading.Semaphore(0)

    def settle(result: object, error: InferenceServerException | None) -> None:
        outcomes.append(error)
        done.release()

    with triton.InferenceServerClient(address) as client:
        for _ in range(count):
            outputs = [triton.InferRequestedOutput("NUM_FACES")]
            client.async_infer("face_analysis", [tensor], settle, outputs=outputs, client_timeout=60, timeout=timeout_us)
        for _ in range(count):
            assert done.acquire(timeout=60)
    return outcomes


def test_triton_refuses_what_its_queues_do_not_hold(served: Served) -> None:
    outcomes = flood(served.triton, np.zeros((64, 64, 3), np.uint8), 600)
    refused = [as_gateway_error(error) for error in outcomes if error]
    assert {type(error) for error in refused} == {UpstreamOverloaded}
    assert 0 < len(refused) < 600
    assert served.post(b"", "")[0] == 400
    assert flood(served.triton, np.zeros((64, 64, 3), np.uint8), 1) == [None]


def test_triton_drops_what_waited_for_longer_than_its_deadline(served: Served) -> None:
    outcomes = flood(served.triton, np.zeros((64, 64, 3), np.uint8), 40, timeout_us=1)
    kinds = Counter(type(as_gateway_error(error)) for error in outcomes if error)
    assert kinds[UpstreamTimeout] >= 30


def value_of(served: Served, name: str) -> float:
    status, text = plain_get(served, "/metrics")
    assert status == 200
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_callers_that_hang_up_harm_nobody(served: Served, astronaut: bytes) -> None:
    """They send a picture and leave, at every moment of an analysis: Triton finishes what it began, and the next caller is answered."""
    before, gone = served.statistics(), value_of(served, 'vultus_rejected_total{reason="caller_gone"}')
    triton = [child for child in children(served.process.pid) if "bin/tritonserver" in command_of(child)]
    for round_ in range(4):
        callers = [upload(served, len(astronaut), "age") for _ in range(8)]
        for caller in callers:
            caller.sendall(astronaut)
        while served.statistics()["face_prepare"][0] == before["face_prepare"][0]:
            time.sleep(0.005)
        time.sleep(0.1 * round_)
        for caller in callers:
            caller.close()
    deadline = time.monotonic() + 30
    while value_of(served, "vultus_in_flight_requests"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert value_of(served, 'vultus_rejected_total{reason="caller_gone"}') > gone
    after = served.statistics()
    begun, finished = (after[model][0] - before[model][0] for model in ("face_prepare", "face_demographics"))
    assert begun == finished > 0
    assert served.post(astronaut, "?attributes=age")[0] == 200
    assert [child for child in children(served.process.pid) if "bin/tritonserver" in command_of(child)] == triton


def test_one_of_two_tritons_is_killed_under_load(served: Served, astronaut: bytes, tmp_path: Path) -> None:
    """Not one of the requests fails, not even those that the killed server was working on."""
    other = start(*FREE_PORTS)
    other.wait_for("curl -F")
    address = re.findall(r"Triton gRPC +(\S+)", "".join(other.lines))[0]
    with supervised(f"ipv4:{served.triton},{address}", tmp_path) as gateway:
        statuses: list[int] = []
        stopping = threading.Event()

        def ask() -> None:
            while not stopping.is_set():
                statuses.append(gateway.post(astronaut, "?attributes=age")[0])

        clients = [threading.Thread(target=ask) for _ in range(4)]
        for client in clients:
            client.start()
        while len(statuses) < 10:
            time.sleep(0.02)
        (victim,) = [p for p in children(other.process.pid) if "bin/tritonserver" in command_of(p) and "stub" not in command_of(p)]
        os.kill(victim, signal.SIGKILL)
        killed_at = len(statuses)
        while len(statuses) < killed_at + 20:
            time.sleep(0.02)
        stopping.set()
        for client in clients:
            client.join()
        assert Counter(statuses) == {200: len(statuses)}
    stop(other)


def test_a_trace_goes_through_both_tiers(astronaut: bytes) -> None:
    with collecting() as collector:
        traced = start(*FREE_PORTS, "--trace-endpoint", collector.url)
        traced.wait_for("curl -F")
        traced.base = re.findall(r"gateway +(\S+)", "".join(traced.lines))[0]
        assert traced.post(astronaut, "?attributes=age")[0] == 200
        collector.wait_for("vultus-gateway", "triton")
        assert stop(traced) == 0
        line = next(line for line in traced.lines if '"route": "/v1/analyze"' in line)
        trace = re.findall(r'"trace_id": "([0-9a-f]{32})"', line)[0]
        spans = {span.name: span for span in collector.spans if span.trace == trace}
        client = spans["face_analysis/ModelInfer"]
        (request,) = [span for span in spans.values() if span.id == client.parent]
        assert (request.service, request.parent) == ("vultus-gateway", "")
        ours = [span for span in collector.spans if span.trace == trace and span.service == "triton"]
        assert any(span.parent == client.id for span in ours), collector.spans
        assert any("face_detector" in span.name for span in ours)
        assert not any("healthz" in span.name or "readyz" in span.name for span in collector.spans)
