from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands import serve
from gateway.commands.main import main
from scripts.serving import _parser


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """From another folder, with an environment in which only installed packages are found."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["VULTUS_KEYS_URL"] = f"sqlite:///{cwd / 'none.sqlite'}"
    command = [sys.executable, "-m", "gateway.commands.main", "serve", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_it_is_scripts_serve(tmp_path: Path) -> None:
    done = run("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert all(option in done.stdout for action in _parser()._actions if action.help != "==SUPPRESS==" for option in action.option_strings)


def test_its_failures_are_those_of_scripts_serve(tmp_path: Path) -> None:
    done = run("--host=0.0.0.0", "--port=0", cwd=tmp_path)
    assert done.returncode == 1
    assert "--insecure-open" in done.stderr
    assert run("--port=many", cwd=tmp_path).returncode == 2


def test_without_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "CHECKOUT", tmp_path)
    result = CliRunner().invoke(main, ["serve", "--port", "0"])
    assert result.exit_code == 1
    assert "scripts/serve" in result.stderr
