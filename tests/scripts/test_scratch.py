"""The folder of a running server has a path that a shell takes as it stands, and does not outlive what runs in it for long."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from scripts.embedded_triton import scratch as module
from scripts.embedded_triton.layout import Unusable
from scripts.embedded_triton.scratch import PLAIN, linked, scratch

HOLD = """import sys, time
from pathlib import Path
from scripts.embedded_triton.scratch import scratch
with scratch() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def test_it_is_empty_closed_and_gone_afterwards() -> None:
    with scratch() as folder:
        assert [path.name for path in folder.iterdir()] == [module.LOCK]
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "full").mkdir()
    assert not folder.exists()


@pytest.mark.parametrize("name", ["a space", "it's", "a(b)", "$HOME", "a;b", "\u00fcber"])
def test_neither_folder_nor_models_need_quoting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (odd := tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(odd))
    (odd / "models").mkdir()
    with scratch() as folder:
        link = linked(folder, odd / "models")
        assert PLAIN.fullmatch(str(link))
        assert link.samefile(odd / "models")


def test_no_such_folder_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (odd := tmp_path / "a space").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(odd))
    monkeypatch.setattr(module, "PLACES", ())
    with pytest.raises(Unusable, match="TMPDIR"), scratch():
        pass


def test_what_a_killed_one_left_is_removed_and_what_runs_there_ends(tmp_path: Path) -> None:
    """Not what belongs to one that lives."""
    killed, living = (subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True) for _ in range(2))
    try:
        folders = [Path(process.stdout.readline().strip()) for process in (killed, living) if process.stdout]
        program = Path(shutil.copy("/bin/sleep", folders[0] / "triton_python_backend_stub"))
        with subprocess.Popen([program, "600"]) as orphan:
            orphan.send_signal(signal.SIGSTOP)
            killed.kill()
            killed.wait()
            with scratch():
                assert [folder.exists() for folder in folders] == [False, True]
                assert orphan.wait(10) == -signal.SIGKILL
    finally:
        for process in (killed, living):
            process.kill()
            process.communicate()
