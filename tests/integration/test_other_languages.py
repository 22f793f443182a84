"""The commands of model_repository/README.md that generate stubs, run as printed; what they print is what the Python client prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.served import ROOT, Served

PHOTO = ROOT / "tests" / "pictures" / "astronaut.jpg"


def run(command: str, folder: Path) -> str:
    done = subprocess.run(["bash", "-ec", command], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not (shutil.which("node") and shutil.which("npm")), reason="no Node.js on this machine")
def test_javascript_with_generated_stubs(served: Served, tmp_path: Path) -> None:
    if subprocess.run(["npm", "ping"], capture_output=True, check=False, timeout=60).returncode != 0:
        pytest.skip("no registry of Node.js packages can be reached")
    for name in ("scripts", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (block,) = re.findall(r"^```\n(mkdir build.*?)^```", (ROOT / "model_repository" / "README.md").read_text(), re.M | re.S)
    said = run(block.replace("127.0.0.1:8001", served.triton), tmp_path).splitlines()
    expected = run(f"{sys.executable} {ROOT}/scripts/grpc_client.py {PHOTO} --host {served.triton}", tmp_path).splitlines()
    assert said[-len(expected) :] == expected
    assert expected[0] == "1 face"
