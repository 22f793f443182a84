"""The steps of docs/pages/adding-a-model.md and adding-a-vendor.md, done in a copy of the repository."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import served as serving
from tests.docs.test_site import FENCE, PAGES
from tests.served import FREE_PORTS, ROOT

Steps = list[tuple[str, str, str]]


def steps(page: str) -> Steps:
    """Kind, title and content of every titled block, in the page's order."""
    return [step for step in FENCE.findall((PAGES / page).read_text()) if step[1]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("gateway", "model_repository", "scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def insert(file: Path, change: str) -> None:
    """Put the lines with + before the line that follows them."""
    *added, context = change.splitlines()
    wanted = "\n".join(line[1:] for line in added)
    text = file.read_text()
    assert all(line.startswith("+") for line in added)
    assert text.count(f"\n{context[1:]}\n") == 1, f"{file} has not this line once: {context[1:]}"
    file.write_text(text.replace(f"\n{context[1:]}\n", f"\n{wanted}\n{context[1:]}\n"))


def write(folder: Path, all_steps: Steps) -> None:
    for kind, title, content in all_steps:
        file = folder / title
        if kind == "diff":
            insert(file, content)
        elif file.suffix:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(file.read_text() + "\n" + content if file.exists() else content)


@pytest.mark.integration
def test_adding_a_model(copy: Path) -> None:
    all_steps = steps("adding-a-model.md")
    write(copy, all_steps)
    commands = {title: content for kind, title, content in all_steps if kind == "sh"}
    for line in commands["generate"].splitlines():
        python, *arguments = shlex.split(line)
        assert python == "python"
        if "scripts.model_cards" in line:
            state_the_sum(copy / "model_repository" / "face_brightness")
        run(copy, *arguments)
    assert "lit" in (copy / "model_repository" / "face_brightness" / "CARD.md").read_text()
    running = serving.start(*FREE_PORTS, folder=copy)
    try:
        running.wait_for("curl -F", timeout_s=120)
        base = re.findall(r"gateway +(\S+)", "".join(running.lines))[0]
        ask = shlex.split(commands["ask"].replace("http://127.0.0.1:8080", base))
        answer = subprocess.run(ask, cwd=copy, capture_output=True, text=True, check=True).stdout
    finally:
        serving.stop(running)
    assert 0.3 < float(re.findall(r'"brightness":([\d.]+)', answer)[0]) < 0.9
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/repository/test_repository.py")


def state_the_sum(folder: Path) -> None:
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
    facts = folder / "model.toml"
    facts.write_text(facts.read_text().replace("SHA256", digest))


def test_adding_a_vendor(copy: Path) -> None:
    write(copy, steps("adding-a-vendor.md"))
    said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/vendors/test_contract.py", "-k", "acme or every_vendor")
    passed = re.findall(r"(\d+) passed", said)
    assert passed
    assert int(passed[0]) > 20
    assert "acme" in run(copy, "-m", "gateway.commands.main", "keys", "create", "--help")
