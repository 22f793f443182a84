"""Models that do not work are told from busy and idle ones; also by the probe of the images."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from scripts.embedded_triton import alive
from scripts.embedded_triton.alive import Work, broken, read

TEXT = """# HELP nv_inference_pending_request_count Instantaneous number of pending requests
nv_inference_pending_request_count{{model="face_align",version="1"}} 0
nv_inference_pending_request_count{{model="face_expression",version="1"}} {waiting}
nv_inference_exec_count{{model="face_expression",version="1"}} 5
nv_inference_request_success{{model="face_expression",version="1"}} {answered}
nv_inference_request_failure{{model="face_expression",reason="BACKEND",version="1"}} {failed}
nv_inference_request_failure{{model="face_expression",reason="REJECTED",version="1"}} {rejected}
nv_inference_request_failure{{model="face_expression",reason="CANCELED",version="1"}} 9
nv_gpu_utilization{{gpu_uuid="x"}} 0.5
"""


def text(waiting: int, answered: int = 7, failed: int = 0, rejected: int = 0) -> str:
    return TEXT.format(waiting=waiting, answered=answered, failed=failed, rejected=rejected)


def test_what_metrics_say() -> None:
    assert read(text(3, failed=1)) == {"face_align": Work(0, 0, 0), "face_expression": Work(3, 7, 1)}
    assert read("") == {}


@pytest.mark.parametrize(
    ("before", "after", "bad"),
    [
        (text(3), text(3), True),
        (text(3), text(9, rejected=4), True),  # refusing is no work
        (text(3), text(3, answered=8), False),
        (text(0), text(0, failed=1), True),
        (text(3), text(3, failed=1, answered=8), True),  # of two processes one fails
        (text(3), text(3, failed=1, answered=57), False),
        (text(0), text(3), False),
        (text(3), text(0), False),
        ("", text(3), False),
    ],
)
def test_only_who_has_work_and_does_none_is_broken(before: str, after: str, bad: bool) -> None:
    assert broken(read(before), read(after)) == (["face_expression"] if bad else [])


def test_a_process_of_a_model_that_has_ended(tmp_path: Path) -> None:
    stub = tmp_path / "triton_python_backend_stub"
    stub.symlink_to(shutil.which("sleep") or "")
    with subprocess.Popen([stub, "600"]) as process:
        assert alive.lost(os.getpid()) == 0
        process.kill()
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        assert (alive.lost(os.getpid()), alive.lost(os.getppid())) == (1, 0)
        assert alive.lost() == 0, "its parent is no Triton"
    assert alive.lost(os.getpid()) == 0


@contextmanager
def triton(*answers: str) -> Iterator[tuple[str, list[str]]]:
    """Metrics that are these in turn; the address, and the paths that were asked for."""
    asked: list[str] = []

    class Metrics(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[min(len(asked), len(answers) - 1)].encode())
            asked.append(self.path)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/metrics", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("answers", "status"),
    [((text(0),), 0), ((text(3), text(3, answered=8)), 0), ((text(3), text(2)), 1)],
)
def test_the_probe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answers: tuple[str, ...], status: int) -> None:
    monkeypatch.setattr(alive, "LOOKS_APART_S", 0)
    with triton(*answers) as (url, asked):
        assert alive.main([url]) == status
        assert asked == ["/metrics"] * 2
    assert ("face_expression" in capsys.readouterr().err) is bool(status)


@pytest.mark.parametrize(("name", "ended"), [("tritonserver", [(1, signal.SIGTERM)]), ("init", [])])
@pytest.mark.parametrize("recovers", [True, False])
def test_a_container_is_ended_only_after_several_looks(
    monkeypatch: pytest.MonkeyPatch, name: str, ended: list[tuple[int, int]], recovers: bool
) -> None:
    """And only where Triton is its first process."""
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *told_: told.append(told_))
    monkeypatch.setattr(alive, "_process", lambda path: (1, alive.Process(name, "S", 0)) if path == Path("/proc/1/stat") else None)
    monkeypatch.setattr(alive, "LOOKS_APART_S", 0)
    bad = [text(3)] * (2 * alive.LOOKS - 1)
    with triton(*bad, text(3, answered=8) if recovers else text(3)) as (url, asked):
        assert alive.main(["--end", url]) == (not recovers)
    assert len(asked) == 2 * alive.LOOKS
    assert told == ([] if recovers else ended)


def test_nobody_there_is_not_alive(capsys: pytest.CaptureFixture[str]) -> None:
    with triton(text(0)) as (url, _):
        pass
    assert alive.main([url]) == 1
    assert capsys.readouterr().err.startswith("no metrics: ")
