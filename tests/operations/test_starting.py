"""A tritonserver that crashes while it starts is started again; one that says what is wrong is not."""

from __future__ import annotations

import os
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.embedded_triton import pools
from scripts.embedded_triton.layout import Layout
from scripts.embedded_triton.server import STARTS, Crashed, DidNotStart, EmbeddedTriton, Ports, crash

# Writes down each start, then does what it was told for that start; `serve` answers as a ready Triton does.
BINARY = """#!{python}
import http.server, os, pathlib, signal, sys
starts = pathlib.Path(os.environ["STARTS_FILE"])
with starts.open("a") as file:
    file.write("started\\n")
plan = os.environ["PLAN"].split()
act = plan[min(len(starts.read_text().splitlines()), len(plan)) - 1]
print("loading models", flush=True)
if act.startswith("SIG"):
    os.kill(os.getpid(), getattr(signal, act))
if act == "wait":
    signal.pause()
if act == "refuse":
    print("error: failed to load 'face_detector' version 1: it is damaged", flush=True)
    sys.exit(1)

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass

port = next(int(option.split("=")[1]) for option in sys.argv if option.startswith("--http-port="))
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


class Fake:
    """A server whose starts go as `plan` says, the last one for all that follow."""

    def __init__(self, folder: Path, plan: str) -> None:
        binary, self._starts = folder / "tritonserver", folder / "starts"
        binary.write_text(BINARY.format(python=sys.executable))
        binary.chmod(0o700)
        layout = Layout(binary, folder, {"PLAN": plan, "STARTS_FILE": str(self._starts)})
        self.triton = EmbeddedTriton(layout, folder, Ports("127.0.0.1", *(free_port() for _ in range(3))))

    @property
    def starts(self) -> int:
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", ["SIGSEGV", "SIGABRT"])
def test_a_crash_at_start_is_tried_again(tmp_path: Path, number: str, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(tmp_path, f"{number} {number} serve")
    try:
        fake.triton.start(20, threading.Event())
        assert fake.triton.running
        assert fake.starts == 3
    finally:
        fake.triton.stop(5)
    said = capsys.readouterr().err
    assert said.count(f"vultus: Triton crashed at start ({number}). Starting it again.\n") == 2
    assert said.count("triton: loading models\n") == 2, "what it wrote before is shown"


def test_no_more_than_so_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake(tmp_path, "SIGSEGV")
    with pytest.raises(Crashed, match="SIGSEGV"):
        fake.triton.start(20, threading.Event())
    assert fake.starts == STARTS
    assert not fake.triton.running
    assert capsys.readouterr().err.count("Starting it again.") == STARTS - 1


def test_an_error_is_not_tried_again(tmp_path: Path) -> None:
    fake = Fake(tmp_path, "refuse serve")
    with pytest.raises(DidNotStart, match="Model face_detector does not load: it is damaged") as failed:
        fake.triton.start(20, threading.Event())
    assert not isinstance(failed.value, Crashed)
    assert fake.starts == 1


@pytest.mark.parametrize("number", ["SIGKILL", "SIGTERM"])
def test_an_end_from_outside_is_no_crash(tmp_path: Path, number: str) -> None:
    fake = Fake(tmp_path, f"{number} serve")
    with pytest.raises(DidNotStart) as failed:
        fake.triton.start(20, threading.Event())
    assert not isinstance(failed.value, Crashed)
    assert fake.starts == 1


def test_who_stops_need_not_wait_for_the_start(tmp_path: Path) -> None:
    fake, stop = Fake(tmp_path, "wait"), threading.Event()
    with ThreadPoolExecutor(1) as other:
        start = other.submit(fake.triton.start, 600, stop)
        while not fake.triton.running or not fake.starts:
            assert not start.done()
        stop.set()
        start.result(60)
    assert fake.triton.running
    fake.triton.stop(5)
    assert not fake.triton.running


def test_what_dead_servers_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what others hold: this machine's living processes, other machines, the gateway, other programs."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    monkeypatch.setattr(pools, "SHARED_MEMORY", tmp_path)
    prefix = pools.options()[0].rpartition("=")[2]
    assert prefix.endswith(f"_{os.getpid()}_")
    machine = prefix.removesuffix(f"{os.getpid()}_")
    gone = {f"{prefix}abc", f"{machine}{child}_abc"}
    kept = {f"{machine}{os.getppid()}_abc", f"vultus_01234567_{child}_abc", "vultus-01234567-1-1-abc", "other", f"{machine}x"}
    for name in gone | kept:
        (tmp_path / name).touch()
    pools.sweep()
    assert {file.name for file in tmp_path.iterdir()} == kept


@pytest.mark.parametrize(("status", "name"), [(None, ""), (0, ""), (1, ""), (-9, ""), (-15, ""), (-11, "SIGSEGV"), (-6, "SIGABRT")])
def test_which_ends_are_crashes(status: int | None, name: str) -> None:
    assert crash(status) == name
