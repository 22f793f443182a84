"""When pixels do not go through shared memory. The working case is in tests/integration."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gateway.inference import shared_pixels
from gateway.inference.shared_pixels import LARGEST_BYTES, MOST_BYTES, Region, SharedPixels, is_local

PIXELS = np.zeros((4, 4, 3), np.uint8)


class Server:
    """Answers registrations as told."""

    regions: tuple[str, ...] = ()

    def __init__(self, status: str | None = None) -> None:
        self.status, self.asked = status, 0
        self.withdrawn: list[str] = []

    def get_system_shared_memory_status(self, **_: float) -> Server:
        return self

    def register_system_shared_memory(self, *_: object, **__: float) -> None:
        self.asked += 1
        if self.status:
            raise InferenceServerException("no", self.status)

    def unregister_system_shared_memory(self, name: str, **_: float) -> None:
        self.withdrawn.append(name)


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:8001", True), ("localhost:8001", True), ("[::1]:8001", True), ("triton:8001", False), ("10.0.0.7:8001", False)],
)
def test_only_a_server_on_this_machine(address: str, local: bool) -> None:
    assert is_local(address) is local
    server = Server()
    assert bool(SharedPixels(address).place(server, PIXELS)) is local
    assert server.asked == local


def test_it_can_be_switched_off() -> None:
    server = Server()
    assert SharedPixels("127.0.0.1:1", wanted=False).place(server, PIXELS) is None
    assert server.asked == 0


def test_a_server_that_cannot_open_it_is_not_asked_again() -> None:
    server, shared = Server("StatusCode.INTERNAL"), SharedPixels("127.0.0.1:1")
    assert [shared.place(server, PIXELS) for _ in range(3)] == [None, None, None]
    assert server.asked == 1


@pytest.mark.parametrize("status", ["StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"])
def test_a_server_that_is_away_is_asked_again_later(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server, shared = Server(status), SharedPixels("127.0.0.1:1")
    assert [shared.place(server, PIXELS) for _ in range(3)] == [None, None, None]
    assert server.asked == 1
    server.status = None
    later = time.monotonic() + shared_pixels.ASK_AGAIN_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert shared.place(server, PIXELS)


def test_memory_is_bounded() -> None:
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    large = np.zeros((1, 1, LARGEST_BYTES), np.uint8)
    taken = [shared.place(server, large) for _ in range(MOST_BYTES // LARGEST_BYTES + 1)]
    assert [bool(region) for region in taken] == [True] * (MOST_BYTES // LARGEST_BYTES) + [False]
    assert SharedPixels("127.0.0.1:1").place(server, np.zeros((1, 1, LARGEST_BYTES + 1), np.uint8)) is None


def filled(shared: SharedPixels, server: Server, size: int) -> list[Region]:
    """All regions that may be, taken."""
    regions = [shared.place(server, np.zeros((1, 1, size), np.uint8)) for _ in range(MOST_BYTES // size)]
    assert all(regions)
    return [region for region in regions if region]


def test_a_picture_waits_for_a_region_that_others_give_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pixels, "PATIENCE_S", 60.0)
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    first, *_ = filled(shared, server, LARGEST_BYTES)
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(shared.place, server, PIXELS)
        with pytest.raises(TimeoutError):
            waiting.result(0.05)
        shared.give_back(first, settled=True)
        assert waiting.result(60) is first


def test_unused_regions_make_room_for_a_larger_one() -> None:
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    regions = filled(shared, server, LARGEST_BYTES // 4)
    for region in regions[:5]:
        shared.give_back(region, settled=True)
    assert shared.place(server, np.zeros((1, 1, LARGEST_BYTES), np.uint8))
    assert sorted(server.withdrawn) == sorted(region.name for region in regions[:4])
    assert shared.place(server, PIXELS) is regions[4]


def test_a_region_that_rests_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton may still be reading."""
    monkeypatch.setattr(shared_pixels, "PATIENCE_S", 60.0)
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    for region in filled(shared, server, LARGEST_BYTES):
        shared.give_back(region, settled=False)
    assert shared.place(server, PIXELS) is None


def test_what_a_failed_call_left_is_wiped_with_the_next_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_pixels, "REST_S", 0.0)
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    region = shared.place(server, np.full((40, 40, 3), 7, np.uint8))
    assert region
    shared.give_back(region, settled=False)
    assert shared.place(server, PIXELS) is region
    shared.give_back(region, settled=True)
    content: NDArray[np.uint8] = np.ndarray(4800, np.uint8, region._memory.buf)
    assert not content.any()


def test_a_region_rests_as_long_as_triton_may_read(monkeypatch: pytest.MonkeyPatch) -> None:
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    region = shared.place(server, PIXELS)
    assert region
    shared.give_back(region, settled=False, left_s=100)
    now = time.monotonic()
    for later, free in ((now + 99, False), (now + 106, True)):
        monkeypatch.setattr(time, "monotonic", lambda later=later: later)
        assert (shared._taken(1) is region) is free


def test_a_full_volume_is_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a reservation the first write beyond what is there would end this process."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = set(Path("/dev/shm").iterdir())  # noqa: S108
    monkeypatch.setattr(os, "posix_fallocate", full)
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    assert shared.place(server, PIXELS) is None
    assert not [file for file in set(Path("/dev/shm").iterdir()) - before if f"-{os.getpid()}-" in file.name]  # noqa: S108
    monkeypatch.undo()
    assert shared.place(server, PIXELS) is None
    later = time.monotonic() + shared_pixels.ASK_AGAIN_S
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert shared.place(server, PIXELS)


def test_triton_closes_all_regions_of_a_process_that_ends() -> None:
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    used, free = (shared.place(server, PIXELS) for _ in range(2))
    assert used
    assert free
    shared.give_back(free, settled=True)
    shared.close(server)
    assert sorted(server.withdrawn) == sorted((used.name, free.name))
    assert shared.place(server, PIXELS) is None


def test_a_restarted_triton_knows_no_region_of_before() -> None:
    """Neither the one that it was asked for nor those that lie unused or rest."""
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    asked, unused, resting = (shared.place(server, PIXELS) for _ in range(3))
    assert asked
    assert unused
    assert resting
    shared.give_back(unused, settled=True)
    shared.give_back(resting, settled=False)
    assert shared.forgotten(server, asked)
    assert (shared._free, shared._busy, shared._bytes) == ([], set(), 0)


@pytest.mark.parametrize("status", [None, "StatusCode.UNAVAILABLE", "StatusCode.INTERNAL"])
def test_no_name_stays(status: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever question the server refuses."""

    def refuse(*_: object, **__: object) -> None:
        raise InferenceServerException("no", status)

    before = set(Path("/dev/shm").iterdir())  # noqa: S108
    server = Server(status)
    if status:
        monkeypatch.setattr(server, "get_system_shared_memory_status", refuse)
    SharedPixels("127.0.0.1:1").place(server, PIXELS)
    assert not [file for file in set(Path("/dev/shm").iterdir()) - before if f"-{os.getpid()}-" in file.name]  # noqa: S108


def test_a_picture_is_wiped_after_its_answer() -> None:
    server, shared = Server(), SharedPixels("127.0.0.1:1")
    region = shared.place(server, np.full((4, 4, 3), 7, np.uint8))
    assert region
    content: NDArray[np.uint8] = np.ndarray(48, np.uint8, region._memory.buf)
    assert (content == 7).all()
    shared.give_back(region, settled=True)
    assert not content.any()
