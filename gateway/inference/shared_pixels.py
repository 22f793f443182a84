"""Pixels for a Triton on the same machine: in shared memory instead of in the message, so that they are copied once.

A region is registered with Triton when it is made and its name is taken back at once, so nothing is left in /dev/shm whatever becomes
of this process. A Triton that cannot open a region (another machine, another container) says so once; from then on pixels go in
the message. A restarted Triton does not know the old regions: new ones are made. Whoever may call this Triton may name a region, so a
picture is wiped as soon as it has been answered.

Regions stay resident in both processes, so there are few: where all that a process may have are taken, a picture waits a little for the
next (Triton is busy then anyway), and unused ones that are too small make room for one that is large enough.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import math
import os
import socket
import threading
import time
import uuid
import zlib
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

log = logging.getLogger("vultus.shared_pixels")

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  where the system keeps it
SMALLEST_BYTES, LARGEST_BYTES = 2**20, 2**25
# A process keeps no more than this (8 pictures of 1920x1080); a picture that has waited this long for its turn goes in the message.
MOST_BYTES = 2**26
PATIENCE_S = 1.0
# After a failed call Triton may still be reading, until its deadline and a little more: the region rests before another picture is
# written into it.
REST_S = 5.0
# For all questions to Triton that one picture needs.
REGISTER_TIMEOUT_S = 2.0
# UNAVAILABLE is what a server says that is away, but also one that keeps this protocol to itself: it is asked again only so often.
ASK_AGAIN_S = 30.0
AWAY = frozenset({"StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED", "StatusCode.CANCELLED"})


class Region:
    """A block of memory that Triton reads under `name`."""

    def __init__(self, size: int) -> None:
        self.size, self.name = size, f"{_own_prefix()}{uuid.uuid4().hex[:12]}"
        self._memory = SharedMemory(self.name, create=True, size=size)
        self._named = True
        self._used = 0
        self.free_from_s = 0.0
        try:
            _reserve(self.name, size)
        except OSError:
            self.close()
            raise

    def offer(self, client: triton.InferenceServerClient, timeout_s: float) -> None:
        """Let Triton open it. Raises InferenceServerException."""
        try:
            client.register_system_shared_memory(self.name, f"/{self.name}", self.size, client_timeout=timeout_s)
        finally:
            self._take_name_back()

    def write(self, pixels: NDArray[np.uint8]) -> None:
        """Copy `pixels` to its start."""
        self._used = max(self._used, pixels.nbytes)  # what a call left that failed is to be wiped, too
        np.ndarray(pixels.shape, np.uint8, self._memory.buf)[:] = pixels

    def wipe(self) -> None:
        """Forget the picture."""
        np.ndarray(self._used, np.uint8, self._memory.buf)[:] = 0
        self._used = 0

    def withdraw(self, client: triton.InferenceServerClient, timeout_s: float) -> None:
        """Let Triton close it, if it can be asked, and give the memory back to the system."""
        with contextlib.suppress(InferenceServerException):
            client.unregister_system_shared_memory(self.name, client_timeout=timeout_s)
        self.wipe()
        self.close()

    def close(self) -> None:
        """Give the memory back to the system."""
        self._take_name_back()
        self._memory.close()

    def _take_name_back(self) -> None:
        if self._named:
            self._named = False
            self._memory.unlink()


class SharedPixels:
    """The regions of one process. Thread-safe; a region serves one call at a time."""

    def __init__(self, address: str, wanted: bool = True) -> None:
        self._usable = wanted and is_local(address)
        self._lock = threading.Condition()
        self._free: list[Region] = []
        self._busy: set[Region] = set()
        self._bytes = 0
        self._swept = False
        self._ask_from_s = 0.0

    def place(self, client: triton.InferenceServerClient, pixels: NDArray[np.uint8], left_s: float = math.inf) -> Region | None:
        """A region that holds `pixels` and that Triton knows, within `left_s`; None when they have to go in the message."""
        if not self._usable or pixels.nbytes > LARGEST_BYTES:
            return None
        until_s = time.monotonic() + min(left_s, REGISTER_TIMEOUT_S)
        region = self._taken(pixels.nbytes) or self._made(client, pixels.nbytes, until_s) or self._awaited(pixels.nbytes, until_s)
        if region:
            region.write(pixels)
        return region

    def give_back(self, region: Region, settled: bool, left_s: float = 0.0) -> None:
        """After the call. `settled`: Triton has answered, so it does not read any more; otherwise it may for `left_s`."""
        region.free_from_s = 0.0 if settled else time.monotonic() + max(left_s, 0.0) + REST_S
        if settled:
            region.wipe()
        with self._lock:
            self._busy.discard(region)
            self._free.append(region)
            self._lock.notify_all()

    def forgotten(self, client: triton.InferenceServerClient, region: Region) -> bool:
        """Whether Triton does not know the region (it was started anew); then all such are thrown away. Raises InferenceServerException."""
        known = client.get_system_shared_memory_status(client_timeout=REGISTER_TIMEOUT_S).regions
        if region.name in known:
            return False
        with self._lock:
            gone = [region, *(free for free in self._free if free.name not in known)]
            self._free = [free for free in self._free if free.name in known]
            self._busy.discard(region)
            self._bytes -= sum(lost.size for lost in gone)
            self._lock.notify_all()
        for lost in gone:
            lost.close()
        return True

    def close(self, client: triton.InferenceServerClient) -> None:
        """Let Triton close every region: no picture stays behind when this process ends."""
        with self._lock:
            regions, self._free, self._usable = [*self._free, *self._busy], [], False
        until_s = time.monotonic() + REGISTER_TIMEOUT_S
        for region in regions:
            region.withdraw(client, _left(until_s))

    def _taken(self, size: int) -> Region | None:
        with self._lock:
            fitting = [region for region in self._rested() if region.size >= size]
            if not fitting:
                return None
            smallest = min(fitting, key=lambda region: region.size)
            self._free.remove(smallest)
            self._busy.add(smallest)
            return smallest

    def _rested(self) -> list[Region]:
        now = time.monotonic()
        return [region for region in self._free if region.free_from_s <= now]

    def _awaited(self, size: int, until_s: float) -> Region | None:
        """The next large enough region that others give back, within PATIENCE_S; None at once when there is no such region."""
        until_s = min(until_s, time.monotonic() + PATIENCE_S)
        with self._lock:
            while any(region.size >= size for region in self._busy) and (left_s := until_s - time.monotonic()) > 0:
                self._lock.wait(left_s)
                if region := self._taken(size):
                    return region
        return None

    def _made(self, client: triton.InferenceServerClient, wanted: int, until_s: float) -> Region | None:
        size = 1 << (max(wanted, SMALLEST_BYTES) - 1).bit_length()
        with self._lock:
            if time.monotonic() < self._ask_from_s or (unused := self._to_go(self._bytes + size - MOST_BYTES)) is None:
                return None
            self._free = [region for region in self._free if region not in unused]
            self._bytes += size - sum(region.size for region in unused)
        for smaller in unused:
            smaller.withdraw(client, _left(until_s))
        region = self._offered(client, size, until_s)
        with self._lock:
            if region:
                self._busy.add(region)
            else:
                self._bytes -= size
        return region

    def _to_go(self, excess: int) -> list[Region] | None:
        """Unused regions of `excess` bytes and more together, the largest first; None when there are not so many."""
        chosen: list[Region] = []
        for region in sorted(self._rested(), key=lambda region: -region.size):
            if excess <= 0:
                break
            chosen.append(region)
            excess -= region.size
        return chosen if excess <= 0 else None

    def _offered(self, client: triton.InferenceServerClient, size: int, until_s: float) -> Region | None:
        try:
            region = Region(size)
        except OSError as problem:
            log.warning("no shared memory for pixels now: they go in the message", extra={"problem": str(problem)})
            self._later()
            return None
        try:
            if not self._swept:
                _forget_the_dead(client, until_s)
                self._swept = True
            region.offer(client, _left(until_s))
        except InferenceServerException as problem:
            region.close()
            self._later() if problem.status() in AWAY else self._never_again()
            return None
        return region

    def _later(self) -> None:
        self._ask_from_s = time.monotonic() + ASK_AGAIN_S

    def _never_again(self) -> None:
        self._usable = False
        log.warning("Triton and this process have no shared memory in common: pixels go in the message")


def is_local(address: str) -> bool:
    """Whether a gRPC address is this machine's loopback."""
    host = address.rsplit(":", 1)[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _left(until_s: float) -> float:
    """Seconds for one more question."""
    return max(until_s - time.monotonic(), 0.01)


def _reserve(name: str, size: int) -> None:
    """Take the memory now: a full /dev/shm is an OSError here, and the end of the process when a picture is written later."""
    file = os.open(SHARED_MEMORY / name, os.O_RDWR)
    try:
        os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


def _own_prefix(pid: int | None = None) -> str:
    """Names say whose they are: the machine or pod, the process namespace there, and the process in it."""
    return f"{_host_prefix()}{_namespace()}-{pid or os.getpid()}-"


def _host_prefix() -> str:
    return f"vultus-{zlib.crc32(socket.gethostname().encode()):08x}-"


def _namespace() -> int:
    try:
        return Path("/proc/self/ns/pid").stat().st_ino
    except OSError:
        return 0


def _forget_the_dead(client: triton.InferenceServerClient, until_s: float) -> None:
    """Regions that processes which were killed left mapped in Triton, also those of this container before it was started again."""
    for name in client.get_system_shared_memory_status(client_timeout=_left(until_s)).regions:
        if not name.startswith(_host_prefix()):
            continue
        namespace, pid, *_ = name.removeprefix(_host_prefix()).split("-")
        if namespace != str(_namespace()) or not Path(f"/proc/{pid}").exists():
            with contextlib.suppress(InferenceServerException):
                client.unregister_system_shared_memory(name, client_timeout=_left(until_s))
