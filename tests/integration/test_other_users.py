"""What others on this machine see of a running service, and what they can do to it."""

from __future__ import annotations

import io
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from tritonclient.utils import InferenceServerException

from gateway.inference.triton import SECRET_HEADER
from scripts.embedded_triton import pools
from scripts.soaking.samples import role
from tests.served import FREE_PORTS, Served, start, stop

NOBODY = 65534


def as_nobody(act: Callable[[], str]) -> str:
    """What `act` returns in a process of another user, or the name of the error that it ends by."""
    if os.geteuid() != 0:
        pytest.skip("only root may become another user")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            said = act()
        except BaseException as problem:  # noqa: BLE001
            said = type(problem).__name__
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


@dataclass
class Watched:
    """What could be seen while a service started: modes of the pools, and the arguments of all processes."""

    served: Served
    modes: set[int] = field(default_factory=set)
    arguments: set[bytes] = field(default_factory=set)

    def look(self) -> None:
        for pool in pools.SHARED_MEMORY.glob("vultus[_-]*"):
            try:
                self.modes.add(pool.stat().st_mode & 0o777)
            except FileNotFoundError:
                continue
        for command in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.arguments.add(command.read_bytes())
            except OSError:
                continue

    def processes(self) -> list[psutil.Process]:
        return psutil.Process(self.served.process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    seen, ready = Watched(start(*FREE_PORTS)), threading.Event()

    def watch() -> None:
        while not ready.wait(0.02):
            seen.look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        seen.served.wait_for("curl -F", timeout_s=240)
    finally:
        ready.set()
        watching.join()
    seen.served.find_addresses()
    yield seen
    stop(seen.served)


def test_pools_are_closed_to_others_from_their_first_moment(watched: Watched) -> None:
    assert watched.modes == {0o600}


def test_a_pool_has_no_name_when_models_are_ready(watched: Watched) -> None:
    prefix = next(option.rpartition("=")[2] for option in pools.options() if "prefix" in option).removesuffix(f"{os.getpid()}_")
    (triton,) = [process.pid for process in watched.processes() if role(process) == "triton"]
    assert list(pools.SHARED_MEMORY.glob(f"{prefix}{triton}_*")) == []


@pytest.mark.parametrize("file", ["mem", "environ", "map_files"])
def test_others_do_not_look_into_its_processes(watched: Watched, file: str) -> None:
    for process in watched.processes():
        path = Path(f"/proc/{process.pid}/{file}")
        read = (lambda path=path: str(list(path.iterdir()))) if file == "map_files" else (lambda path=path: str(path.read_bytes()[:9]))
        assert as_nobody(read) == "PermissionError", role(process)


def test_a_picture_is_gone_from_shared_memory_after_its_answer(watched: Watched, astronaut: bytes) -> None:
    """As it came: what models make of it (the letterboxed picture, crops) stays until the next is put there (SECURITY.md)."""
    decoded = cv2.imdecode(np.frombuffer(astronaut, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    noise = np.random.default_rng(0).integers(0, 3, decoded.shape, np.uint8)
    done, picture = cv2.imencode(".png", decoded // 2 + noise)
    assert done
    rows = [row.tobytes() for row in cv2.cvtColor(decoded // 2 + noise, cv2.COLOR_BGR2RGB)[::50]]
    assert watched.served.post(picture.tobytes(), kind="image/png")[0] == 200
    found = {role(process): sum(row in memory for memory in shared_memory(process) for row in rows) for process in watched.processes()}
    assert {name for name, number in found.items() if number} == set()


def shared_memory(process: psutil.Process) -> Iterator[bytes]:
    """What is in the mappings of /dev/shm that a process has."""
    for line in Path(f"/proc/{process.pid}/maps").read_text().splitlines():
        if f"{pools.SHARED_MEMORY}/vultus" in line:
            begin, end = (int(number, 16) for number in line.split()[0].split("-"))
            with Path(f"/proc/{process.pid}/mem").open("rb", buffering=0) as memory:
                yield read(memory, begin, end)


def read(memory: io.FileIO, begin: int, end: int) -> bytes:
    """Less where the file behind it is shorter."""
    memory.seek(begin)
    parts: list[bytes] = []
    try:
        while (at := memory.tell()) < end and (part := memory.read(min(end - at, 2**20))):
            parts.append(part)
    except OSError:
        pass
    return b"".join(parts)


def test_the_secret_of_restricted_protocols_is_seen_by_nobody(watched: Watched) -> None:
    watched.look()
    secret = watched.served.gateway_environment()["VULTUS_TRITON_SECRET"]
    assert len(secret) == 32
    assert any(b"--grpc-restricted-protocol=" in arguments for arguments in watched.arguments)
    assert not [arguments for arguments in watched.arguments if secret.encode() in arguments]


@pytest.mark.parametrize(
    "call",
    [
        lambda client, headers: client.get_system_shared_memory_status(headers=headers),
        lambda client, headers: client.register_system_shared_memory("mine", "/somebody-s", 16, headers=headers),
        lambda client, headers: client.unregister_system_shared_memory(headers=headers),
        lambda client, headers: client.get_model_repository_index(headers=headers),
        lambda client, headers: client.update_log_settings({"log_verbose_level": 1}, headers=headers),
        lambda client, headers: client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"]}, headers=headers),
    ],
    ids=["status", "register", "unregister", "index", "log", "trace"],
)
@pytest.mark.parametrize("headers", [None, {SECRET_HEADER: "0" * 32}], ids=["none", "wrong"])
def test_nobody_without_the_secret_changes_triton_or_names_memory(
    watched: Watched, call: Callable[..., None], headers: dict[str, str] | None
) -> None:
    with grpc.InferenceServerClient(watched.served.triton) as client, pytest.raises(InferenceServerException, match="restricted"):
        call(client, headers)


def test_the_gateway_has_it(watched: Watched, astronaut: bytes) -> None:
    assert watched.served.post(astronaut)[0] == 200
    secret = watched.served.gateway_environment()["VULTUS_TRITON_SECRET"]
    with grpc.InferenceServerClient(watched.served.triton) as client:
        assert client.get_system_shared_memory_status(headers={SECRET_HEADER: secret}).regions


def test_triton_has_no_http_and_bears_many_chunks_where_it_gives_metrics(watched: Watched) -> None:
    """4.2 MB in chunks of one byte end the HTTP server of release 2.51 (CVE-2025-23310, CVE-2025-23311)."""
    (triton,) = [process for process in watched.processes() if role(process) == "triton"]
    ports = {connection.laddr.port for connection in triton.net_connections() if connection.status == psutil.CONN_LISTEN}
    assert ports == {int(watched.served.triton.rpartition(":")[2]), watched.served.triton_metrics}
    with socket.create_connection(("127.0.0.1", watched.served.triton_metrics), timeout=60) as connection:
        head = b"POST /metrics HTTP/1.1\r\nHost: triton\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(head + b"1\r\n1\r\n" * 700_000 + b"0\r\n\r\n")
        connection.recv(100)
    assert triton.is_running()
    assert watched.served.get("/readyz")[0] == 200
