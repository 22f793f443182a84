"""A tritonserver that crashes while it starts is started again; one that says what is wrong is not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from scripts.embedded_triton import alive, concealed, pools, server
from scripts.embedded_triton.layout import Layout
from scripts.embedded_triton.server import STARTS, Crashed, DidNotStart, EmbeddedTriton, Ports, crash

# Writes down each start, then does what it was told for that start; `serve` answers as a ready Triton does, `hang` as one with a model
# that works no more, `lose` as one whose model's process has ended.
BINARY = """#!{python}
import http.server, os, pathlib, signal, subprocess, sys
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
if act == "lose":
    stub = pathlib.Path(sys.argv[0]).with_name("triton_python_backend_stub")
    stub.symlink_to("/bin/true")
    kept = subprocess.Popen([stub])

class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        waiting = 3 if act == "hang" else 0
        self.wfile.write(b'nv_inference_pending_request_count{{model="face_expression",version="1"}} %d\\n' % waiting)
        self.wfile.write(b'nv_inference_request_success{{model="face_expression",version="1"}} 7\\n')

    def log_message(self, *_):
        pass

port = next(int(option.split("=")[1]) for option in sys.argv if option.startswith("--metrics-port="))
http.server.HTTPServer(("127.0.0.1", port), Ready).serve_forever()
"""


class Fake:
    """A server whose starts go as `plan` says, the last one for all that follow."""

    def __init__(self, folder: Path, plan: str) -> None:
        binary, self._starts = folder / "tritonserver", folder / "starts"
        binary.write_text(BINARY.format(python=sys.executable))
        binary.chmod(0o700)
        layout = Layout(binary, folder, {"PLAN": plan, "STARTS_FILE": str(self._starts)})
        self.triton = EmbeddedTriton(layout, folder, Ports("127.0.0.1", *(free_port() for _ in range(2))))

    @property
    def starts(self) -> int:
        return len(self._starts.read_text().splitlines()) if self._starts.exists() else 0

    def wait_until_ended(self) -> None:
        deadline = time.monotonic() + 20
        while self.triton.running:
            assert time.monotonic() < deadline
            time.sleep(0.01)


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
        assert fake.triton.running, "it ends with the thread that started it"
        fake.triton.stop(5)
    assert not fake.triton.running


def test_a_server_whose_model_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(server, "LOOK_EVERY_S", 0.05)
    fake = Fake(tmp_path, "hang serve")
    try:
        fake.triton.start(20, threading.Event())
        fake.wait_until_ended()
        assert capsys.readouterr().err == "vultus: Triton does not work (requests are not answered by face_expression): ending it\n"
        assert fake.triton.crashed_by == ""
        fake.triton.start(20, threading.Event())
        time.sleep(1)
        assert fake.triton.running, "one that only idles is left alone"
    finally:
        fake.triton.stop(5)


def test_a_server_that_lost_a_process_of_a_model_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server, "LOOK_EVERY_S", 0.05)
    fake = Fake(tmp_path, "lose")
    try:
        fake.triton.start(20, threading.Event())
        fake.wait_until_ended()
        assert "(a process of a model has ended)" in capsys.readouterr().err
    finally:
        fake.triton.stop(5)


def test_a_server_that_says_nothing_any_more_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(alive, "TIMEOUT_S", 0.05)
    fake = Fake(tmp_path, "serve")
    try:
        fake.triton.start(20, threading.Event())
        (process,) = [child for child in psutil.Process().children() if child.cmdline()[1:2] == [str(tmp_path / "tritonserver")]]
        process.suspend()
        process.wait(20)
    finally:
        fake.triton.stop(5)


PARENT = """import os, subprocess, sys, time
print(subprocess.Popen([*sys.argv[1:], str(os.getpid()), "sleep", "600"]).pid, flush=True)
time.sleep(600)
"""
LOOK = """import os, sys
print(sys.argv[1:], open("/proc/self/cmdline").read().split(chr(0))[3:-1])
os.fchmod(os.open(sys.argv[3], os.O_CREAT), 0o644)
"""


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    """Also when that is killed, which leaves it no time to say so."""
    command = [sys.executable, "-c", PARENT, sys.executable, str(concealed.LAUNCH)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = psutil.Process(int(parent.stdout.readline()))
        while child.name() != "sleep":
            time.sleep(0.01)
        parent.kill()
        psutil.wait_procs([child], 10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_one_whose_parent_is_gone_does_not_start() -> None:
    assert subprocess.run([sys.executable, concealed.LAUNCH, "1", "true"], check=False).returncode == 1


@pytest.mark.parametrize("placeholder", ["--secret=none", "--secret=of the very same length as the true one"])
def test_an_argument_is_concealed_and_files_are_closed(tmp_path: Path, placeholder: str) -> None:
    true = "--secret=of the very same length as the true 0ne"
    command = [sys.executable, "-c", LOOK, "--first", placeholder, str(tmp_path / "file")]
    with concealed.start(command, placeholder, true, dict(os.environ)) as process:
        assert process.stdout
        first, *more = process.stdout.read().splitlines()
    assert first == f"{['--first', true, str(tmp_path / 'file')]} {['--first', placeholder, str(tmp_path / 'file')]}"
    assert "PermissionError" in more[-1]
    assert (tmp_path / "file").stat().st_mode & 0o077 == 0


def test_where_nothing_can_be_concealed_the_placeholder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch = tmp_path / "launch.py"
    launch.write_text(concealed.LAUNCH.read_text().replace("PTRACE_TRACEME = 0", "PTRACE_TRACEME = 999"))
    monkeypatch.setattr(concealed, "LAUNCH", launch)
    command = [sys.executable, "-c", "import sys; print(sys.argv[1:])", "--secret=none"]
    with concealed.start(command, "--secret=none", "--secret=true", dict(os.environ)) as process:
        assert process.stdout
        assert process.stdout.read() == "['--secret=none']\n"
    assert process.returncode == 0


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
