"""The steps of docs/pages/adding-a-model.md and adding-a-vendor.md, done in a copy of the repository."""

from __future__ import annotations

import csv
import hashlib
import io
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

CHOSEN = "brightness or agree or whole or documented or cell or in_full"
PHOTO = "tests/pictures/astronaut.jpg"
Steps = list[tuple[str, str, str]]


def steps(page: str) -> Steps:
    """Kind, title and content of every titled block, in the page's order."""
    return [step for step in FENCE.findall((PAGES / page).read_text()) if step[1]]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("docs", "gateway", "model_repository", "scripts", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "site"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def insert(file: Path, change: str) -> None:
    """Put the lines with + before the lines that follow them."""
    lines = change.splitlines()
    wanted, context = ("\n".join(line[1:] for line in lines if line.startswith("+") is new) for new in (True, False))
    text = file.read_text()
    assert text.count(f"\n{context}\n") == 1, f"{file} does not have this once: {context}"
    file.write_text(text.replace(f"\n{context}\n", f"\n{wanted}\n{context}\n"))


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
        running.find_addresses()
        command = ("-m", "gateway.commands.main", "analyze", PHOTO, "--grpc", running.triton, "--csv", "--attributes", "brightness")
        over_grpc = run(copy, *command)
    finally:
        serving.stop(running)
    value = float(re.findall(r'"brightness":([\d.]+)', answer)[0])
    assert 0.3 < value < 0.9
    (row,) = csv.DictReader(io.StringIO(over_grpc))
    assert float(row["brightness"]) == pytest.approx(value, abs=0.01)
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/repository/test_repository.py")


def test_a_new_attribute_is_everywhere(copy: Path) -> None:
    """What a new row of gateway/attributes.py brings, and that no test of the others minds. Triton is a fake one."""
    write(copy, steps("adding-a-model.md"))
    state_the_sum(copy / "model_repository" / "face_brightness", b"no graph: Triton is a fake")
    run(copy, "-m", "scripts.graphs")
    run(copy, "-m", "scripts.model_cards")
    assert "| `BRIGHTNESS` | FP32 [N, 1] | `brightness` | 0 to 1. Of the crop" in (copy / "model_repository" / "README.md").read_text()
    tests = ("tests/gateway/test_attributes.py", "tests/gateway/commands/test_analyze.py", "tests/gateway/apis/test_v1.py")
    said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", CHOSEN)
    assert int(re.findall(r"(\d+) passed", said)[0]) > 5


def state_the_sum(folder: Path, weights: bytes | None = None) -> None:
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes() if weights is None else weights).hexdigest()
    facts = folder / "model.toml"
    facts.write_text(facts.read_text().replace("SHA256", digest))


def test_adding_a_vendor(copy: Path) -> None:
    write(copy, steps("adding-a-vendor.md"))
    said = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/vendors/test_contract.py", "-k", "acme or every_vendor")
    passed = re.findall(r"(\d+) passed", said)
    assert passed
    assert int(passed[0]) > 20
    assert "acme" in run(copy, "-m", "gateway.commands.main", "keys", "create", "--help")
