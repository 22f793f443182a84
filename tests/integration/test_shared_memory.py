"""Pixels in shared memory reach the real Triton, and nothing of it is left behind or mixed up."""

from __future__ import annotations

import os
import socket
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
from numpy.typing import NDArray
from pydantic import SecretStr

from gateway.inference import shared_pixels
from gateway.inference.shared_pixels import SharedPixels
from gateway.inference.triton import TritonClient, connect
from scripts.embedded_triton import pools
from tests.served import ROOT, Served

OUTPUTS = ("NUM_FACES", "BOXES", "SCORES", "KEYPOINTS", "AGE")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pixels, "REGISTER_TIMEOUT_S", 30.0)  # a busy machine must not look like one without shared memory


@pytest.fixture
def server(served: Served) -> Iterator[grpc.InferenceServerClient]:
    with connect(served.triton, secret(served)) as client:
        yield client


def secret(served: Served) -> SecretStr:
    return SecretStr(served.gateway_environment()["VULTUS_TRITON_SECRET"])


def regions(server: grpc.InferenceServerClient) -> set[str]:
    return {name for name in server.get_system_shared_memory_status().regions if f"-{os.getpid()}-" in name}


def test_same_answer_as_in_the_message(served: Served, server: grpc.InferenceServerClient, astronaut_pixels: NDArray[np.uint8]) -> None:
    before = regions(server)
    shared, plain = (
        TritonClient(served.triton, 30, shared_memory=on, secret=secret(served)).infer(astronaut_pixels, OUTPUTS) for on in (True, False)
    )
    assert len(regions(server) - before) == 1
    assert shared["NUM_FACES"][0] == 1
    for name in OUTPUTS:
        np.testing.assert_array_equal(shared[name], plain[name])


def test_the_name_is_taken_back_at_once(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    TritonClient(served.triton, 30, secret=secret(served)).infer(astronaut_pixels, OUTPUTS)
    assert not [file for file in Path("/dev/shm").iterdir() if f"-{os.getpid()}-" in file.name]  # noqa: S108


def test_threads_get_their_own_answers(served: Served, astronaut_pixels: NDArray[np.uint8]) -> None:
    """Pictures of different sizes, each with the face elsewhere, through one client and its few regions."""
    client = TritonClient(served.triton, 60, secret=secret(served))

    def found(shift: int) -> float:
        canvas = np.full((512, 512 + 300, 3), 128, np.uint8)[:, : 512 + shift]
        canvas[:, shift:] = astronaut_pixels
        return float(client.infer(canvas, OUTPUTS)["BOXES"][0, 0]) - shift

    shifts = [20 * (i % 15) for i in range(60)]
    with ThreadPoolExecutor(8) as pool:
        assert all(abs(x - 180) < 12 for x in pool.map(found, shifts))


def test_regions_that_the_server_forgot_are_made_anew(
    served: Served, server: grpc.InferenceServerClient, astronaut_pixels: NDArray[np.uint8]
) -> None:
    client = TritonClient(served.triton, 30, secret=secret(served))
    before = regions(server)
    client.infer(astronaut_pixels, OUTPUTS)
    (mine,) = regions(server) - before
    server.unregister_system_shared_memory(mine)  # what a restarted server looks like
    assert client.infer(astronaut_pixels, OUTPUTS)["NUM_FACES"][0] == 1
    assert mine not in regions(server)


def test_what_a_dead_process_left_is_forgotten(
    served: Served, server: grpc.InferenceServerClient, astronaut_pixels: NDArray[np.uint8]
) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    host = f"vultus-{zlib.crc32(socket.gethostname().encode()):08x}"
    namespace = Path("/proc/self/ns/pid").stat().st_ino
    of_before_a_restart = f"{host}-1-{os.getpid()}-abc"  # of a container: other namespace, perhaps the same number
    of_others = "vultus-01234567-1-1-abc"
    names = [f"{host}-{namespace}-{child}-abc", of_before_a_restart, of_others]
    for name in names:
        block = Path("/dev/shm") / name  # noqa: S108
        block.write_bytes(b"\0" * 4096)
        server.register_system_shared_memory(name, f"/{name}", 4096)
        block.unlink()
    TritonClient(served.triton, 30, secret=secret(served)).infer(astronaut_pixels, OUTPUTS)
    assert set(names) & set(server.get_system_shared_memory_status().regions) == {of_others}
    server.unregister_system_shared_memory(of_others)


def test_a_closed_client_leaves_no_region(served: Served, server: grpc.InferenceServerClient, astronaut_pixels: NDArray[np.uint8]) -> None:
    before = regions(server)
    client = TritonClient(served.triton, 30, secret=secret(served))
    client.infer(astronaut_pixels, OUTPUTS)
    assert regions(server) - before
    client.close()
    assert regions(server) == before


def test_a_failed_call_lets_its_region_rest(server: grpc.InferenceServerClient, served: Served) -> None:
    shared = SharedPixels(served.triton)
    pixels = np.zeros((8, 8, 3), np.uint8)
    first = shared.place(server, pixels)
    assert first
    shared.give_back(first, settled=False)
    second = shared.place(server, pixels)
    assert second
    assert second.name != first.name
    shared.give_back(second, settled=True)
    assert shared.place(server, pixels) is second


def test_attribute_models_yield_to_what_feeds_them(served: Served) -> None:
    niceness = {}
    for process in psutil.Process(served.process.pid).children(recursive=True):
        command = " ".join(process.cmdline())
        for model in ("face_detector", "face_align", "face_expression"):
            if "triton_python_backend_stub" in command and model in command:
                niceness[model] = process.nice()
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert niceness == {"face_detector": own, "face_align": own, "face_expression": min(19, own + 10)}


def test_shared_memory_for_whole_pictures_is_in_use_from_the_start(served: Served) -> None:
    """Not only when two large pictures meet one day: no picture of this suite is large enough for it."""
    if not any("growth" in option for option in pools.options()):
        pytest.skip("no room for large pools in /dev/shm")
    used = {}
    for process in psutil.Process(served.process.pid).children(recursive=True):
        model = next((name for name in ("face_prepare", "face_align") if name in " ".join(process.cmdline())), "")
        if model:
            used[process.pid] = sum(block.rss for block in process.memory_maps() if block.path.startswith(f"{pools.SHARED_MEMORY}/vultus"))
    assert len(used) == 4
    assert min(used.values()) > 0.9 * pools.STEP_BYTES


def test_triton_keeps_no_message_for_later(served: Served) -> None:
    """By default it keeps eight, each as large as the largest picture that came in it."""
    triton = next(child for child in psutil.Process(served.process.pid).children() if "tritonserver" in " ".join(child.cmdline()))
    option = "--grpc-infer-allocation-pool-size=0"
    assert option in triton.cmdline()
    assert option in (ROOT / "docker" / "triton" / "start").read_text()
