"""The faults. Each is a function that breaks something and returns what mends it."""

from __future__ import annotations

import http.client
import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import psutil

from scripts.faults.place import Place, set_clock
from scripts.faults.slow_callers import PATIENCE_S, Crowd, Prober
from scripts.serving import ROOT, SAMPLE
from scripts.traffic.questions import SMALL, questions

Mend = Callable[[], None]
Break = Callable[[Place], Mend]


HANGING_UP, HANG_UP_AFTER_S = 4, (0.02, 0.4)
SLOW_CALLERS, PROBE_WITHIN_S = 60, 1.0


class Impossible(Exception):
    """A fault that cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`hold_s`: how long it stays broken before it is mended. `away`: nobody is there meanwhile, so connections are refused."""

    name: str
    hold_s: float
    act: Break
    away: bool = False


def kill(wanted: str) -> Break:
    """SIGKILL to one process of a role; the service mends itself."""

    def act(place: Place) -> Mend:
        place.processes(wanted)[0].kill()
        return _nothing

    return act


def kill_serve(place: Place) -> Mend:
    """SIGKILL to the supervisor, as when the system is out of memory; a service manager starts it again."""
    place.server.process.kill()
    return place.server.start_again


def freeze_triton(place: Place) -> Mend:
    """SIGSTOP, later SIGCONT."""
    triton = place.processes("triton")[0]
    triton.suspend()
    return triton.resume


def slow_triton(place: Place) -> Mend:
    """Stopped for four fifths of the time."""
    triton, ended = place.processes("triton")[0], threading.Event()

    def stutter() -> None:
        while not ended.is_set():
            triton.suspend()
            time.sleep(0.08)
            triton.resume()
            time.sleep(0.02)

    thread = threading.Thread(target=stutter)
    thread.start()

    def mend() -> None:
        ended.set()
        thread.join()
        with suppress(psutil.NoSuchProcess):
            triton.resume()

    return mend


def hang_up(place: Place) -> Mend:
    """Other callers close their connections before the answer is there, at every moment of an analysis."""
    where, ended = urlsplit(place.server.base), threading.Event()
    asked = next(question for question in questions(SMALL[:1], place.keys) if question.name.startswith("vultus "))

    def call(chance: random.Random) -> None:
        while not ended.is_set():
            with (
                suppress(OSError, http.client.HTTPException),
                closing(http.client.HTTPConnection(where.hostname or "", where.port)) as connection,
            ):
                connection.request("POST", asked.path, asked.body, dict(asked.headers))
                time.sleep(chance.uniform(*HANG_UP_AFTER_S))

    callers = [threading.Thread(target=call, args=(random.Random(number),)) for number in range(HANGING_UP)]  # noqa: S311
    for caller in callers:
        caller.start()

    def mend() -> None:
        ended.set()
        for caller in callers:
            caller.join()

    return mend


def freeze_model(place: Place) -> Mend:
    """SIGSTOP to every process of one model, for good: as a model that hangs, of which Triton's health says nothing."""
    for process in place.processes("model face_expression"):
        process.suspend()
    return _nothing


def freeze_one(place: Place) -> Mend:
    """SIGSTOP to one of two processes of a model, for good: the other goes on, and half of what is asked fails."""
    place.processes("model face_expression")[0].suspend()
    return _nothing


def slow_callers(place: Place) -> Mend:
    """More callers without a key than the gateway has threads, none of whom sends, reads or closes as he should."""
    where = urlsplit(place.server.base)

    def connect() -> socket.socket:
        return socket.create_connection((where.hostname or "", where.port or 0), timeout=PATIENCE_S)

    slow, prober = Crowd(connect, SLOW_CALLERS), Prober(connect)

    def mend() -> None:
        prober.stop()
        slow.stop()
        for path, took_s in prober.took_s.items():
            place.notes.append(f"{len(took_s)} x {path} answered after {median(took_s):.2f} s (median), {max(took_s):.2f} s at most")
        if prober.failed or max(map(max, prober.took_s.values())) > PROBE_WITHIN_S:
            place.broken.append(f"probes: {prober.failed} failed, all are to be answered within {PROBE_WITHIN_S:g} s")

    return mend


def kill_clients(place: Place) -> Mend:
    """Programs that ask Triton themselves are killed one after the other, with calls under way."""
    ended = threading.Event()

    def live_and_die() -> None:
        chance = random.Random(0)  # noqa: S311
        command = [sys.executable, "-m", "scripts.faults.doomed", place.server.grpc, str(SAMPLE)]
        while not ended.is_set():
            with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as client:
                if client.stdout:
                    client.stdout.readline()
                time.sleep(chance.uniform(*HANG_UP_AFTER_S))
                client.kill()

    thread = threading.Thread(target=live_and_die)
    thread.start()

    def mend() -> None:
        ended.set()
        thread.join()

    return mend


def fill(folder: str) -> Break:
    """No byte left on the file system of a folder of the place."""

    def act(place: Place) -> Mend:
        if not place.small:
            raise Impossible("mounting a small file system is not allowed here")
        filler = getattr(place, folder) / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        return lambda: filler.unlink(missing_ok=True)

    return act


def drop_keys(place: Place) -> Mend:
    """The database file and what SQLite keeps beside it are deleted; later the file is there again, from a backup."""
    backup = place.keys_file.with_name("backup.sqlite")
    with closing(sqlite3.connect(place.keys_file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    for path in place.keys_file.parent.glob(f"{place.keys_file.name}*"):
        path.unlink(missing_ok=True)

    def mend() -> None:
        backup.replace(place.keys_file)

    return mend


def lock_keys(place: Place) -> Mend:
    """Somebody else holds a write transaction open."""
    other = sqlite3.connect(place.keys_file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    def mend() -> None:
        other.execute("ROLLBACK")
        other.close()

    return mend


def jump_clock(offset_s: int) -> Break:
    """Real time, not the monotonic clock, of the gateway's processes jumps, later back. Triton measures monotonic time only."""

    def act(place: Place) -> Mend:
        clock = place.clock
        if clock is None:
            raise Impossible("there is no C compiler (Debian, Ubuntu: apt install gcc)")
        set_clock(clock, offset_s)
        return lambda: set_clock(clock, 0)

    return act


def _nothing() -> None:
    pass


FAULTS = (
    Fault("kill -9 Triton", 0, kill("triton")),
    Fault("kill -9 serve, start it 1 s later", 1, kill_serve, away=True),
    Fault("kill -9 a gateway worker", 0, kill("gateway worker")),
    Fault("kill -9 a decoder", 0, kill("decoder")),
    Fault("kill -9 the server of decoders", 0, kill("decoder server")),
    Fault("freeze Triton for 12 s", 12, freeze_triton),
    Fault("slow Triton for 12 s", 12, slow_triton),
    Fault("kill -9 a process of a model", 0, kill("model face_expression")),
    Fault("freeze a model for good", 0, freeze_model),
    Fault("freeze one process of a model's two", 0, freeze_one),
    Fault("callers hang up for 30 s", 30, hang_up),
    Fault("slow connections for 30 s", 30, slow_callers),
    Fault("gRPC clients are killed for 30 s", 30, kill_clients),
    Fault("picture storage full for 8 s", 8, fill("pictures")),
    Fault("full /tmp for 12 s", 12, fill("temporary")),
    Fault("key database gone for 8 s", 8, drop_keys),
    Fault("key database locked for 14 s", 14, lock_keys),
    Fault("clock 1 day ahead for 8 s", 8, jump_clock(86400)),
    Fault("clock 1 hour behind for 8 s", 8, jump_clock(-3600)),
)
