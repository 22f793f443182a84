"""The ports of scripts/serve: free, in use by Vultus, or taken by another program."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

import httpx

import vultus
from gateway.commands.diagnosis.finding import Finding, State

HOST = "127.0.0.1"
PATIENCE_S = 3.0


@dataclass(frozen=True, slots=True)
class Port:
    """A port, the option that chooses another, and a question that only the right program answers well."""

    number: int
    purpose: str
    option: str
    ours: Callable[[str], bool]


def _is_gateway(address: str) -> bool:
    try:
        with vultus.Client(f"http://{address}", timeout_s=PATIENCE_S, retries=0) as client:
            client.readiness()
            return True
    except vultus.VultusError:
        return False


def _is_triton(address: str) -> bool:
    from gateway.inference.triton import TritonClient

    return TritonClient(address, PATIENCE_S).is_ready()


def _says(path: str, text: str) -> Callable[[str], bool]:
    def says(address: str) -> bool:
        try:
            answer = httpx.get(f"http://{address}{path}", timeout=PATIENCE_S, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success and text in answer.text

    return says


PORTS = (
    Port(8080, "gateway", "--port", _is_gateway),
    Port(8001, "Triton gRPC", "--grpc-port", _is_triton),
    Port(8002, "Triton metrics", "--metrics-port", _says("/metrics", "nv_inference")),
)


def check(port: Port, host: str = HOST) -> Finding:
    """Who has the port."""
    subject = f"port {port.number}"
    if _is_free(host, port.number):
        return Finding(subject, State.OK, f"free ({port.purpose})")
    if port.ours(f"{host}:{port.number}"):
        return Finding(subject, State.OK, f"served by Vultus ({port.purpose})")
    advice = f"scripts/serve {port.option} 0 picks a free one; or stop the other program (ss -ltnp shows it)."
    return Finding(subject, State.FAILED, f"taken by another program ({port.purpose})", advice)


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
