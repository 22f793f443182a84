"""A new Triton behind a name gets work: real gRPC servers behind a real DNS server, with the options of the images."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
from dnslib.server import DNSServer
from tritonclient.grpc import service_pb2_grpc

from gateway.inference.triton import TritonClient
from gateway.models import GEOMETRY
from scripts.faults.rollout import BUSY_WITHIN_S, NAME, HeadlessService, Rollout, report
from scripts.traffic.answers import Verdict
from scripts.traffic.load import Event
from tests.grpc_server import Scripted
from tests.served import ROOT

PICTURE = np.zeros((48, 64, 3), np.uint8)
START = (ROOT / "docker" / "triton" / "start").read_text()


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@contextmanager
def triton_at(address: str, port: int) -> Iterator[Scripted]:
    """Ends connections as Triton does with the images' options."""
    found = re.findall(r"--grpc-(max-connection-age(?:-grace)?)=(\d+)", START)
    options = [(f"grpc.{name.replace('-', '_')}_ms", int(value)) for name, value in found]
    servicer, server = Scripted(), grpc.server(ThreadPoolExecutor(4), options=options)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    assert server.add_insecure_port(f"{address}:{port}")
    server.start()
    try:
        yield servicer
    finally:
        server.stop(0).wait()


def test_a_new_one_gets_work_in_time_and_nothing_is_lost() -> None:
    service, port, names = HeadlessService(["127.0.0.2"]), free_port(), free_port(socket.SOCK_DGRAM)
    server = DNSServer(service, address="127.0.0.1", port=names)
    server.start_thread()
    try:
        with triton_at("127.0.0.2", port) as old, triton_at("127.0.0.3", port) as new:
            client = TritonClient(f"dns://127.0.0.1:{names}/{NAME.rstrip('.')}:{port}", 9, shared_memory=False)
            client.infer(PICTURE, GEOMETRY)
            assert (old.asked, new.asked) == (1, 0)
            service.addresses.append("127.0.0.3")
            published, asked = time.monotonic(), 1
            while not new.asked and time.monotonic() < published + 2 * BUSY_WITHIN_S:
                client.infer(PICTURE, GEOMETRY)
                asked += 1
                time.sleep(0.05)
            assert time.monotonic() - published < BUSY_WITHIN_S
            assert old.asked + new.asked == asked, "connections that end take no call with them"
    finally:
        server.stop()
        server.server.server_close()


def events(*verdicts: Verdict) -> list[Event]:
    return [Event(0, 0.1, "vultus", verdict, 200, 0) for verdict in verdicts]


@pytest.mark.parametrize(
    ("seen", "waited", "passed"),
    [
        ((Verdict.RIGHT,), [3.0, 9.0], True),
        ((Verdict.RIGHT, Verdict.LOST), [3.0, 9.0], False),
        ((Verdict.RIGHT, Verdict.REFUSED), [3.0, 9.0], False),
        ((Verdict.RIGHT, Verdict.WRONG), [3.0, 9.0], False),
        ((Verdict.RIGHT,), [3.0, None], False),
        ((Verdict.RIGHT,), [3.0, 15.1], False),
        ((), [3.0], False),
    ],
)
def test_what_passes(seen: tuple[Verdict, ...], waited: list[float | None], passed: bool) -> None:
    done = Rollout(events(*seen), waited)
    assert done.passed is passed
    said = report(done)
    assert said.startswith(f"{len(seen)} requests: ")
    assert said.count(" 200: 1\n") == sum(verdict is not Verdict.RIGHT for verdict in seen), "what failed is named"
