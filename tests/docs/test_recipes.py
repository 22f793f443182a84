"""Every program of docs/pages/recipes.md and redact.md runs, against the real gateway over HTTP; only Triton is a fake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from tests.in_process import listening
from tests.served import ROOT

PAGES = ROOT / "docs" / "pages"
PROGRAMS = [
    program
    for page in ("recipes.md", "redact.md")
    for program in re.findall(r"^```python\n(.*?)^```$", (PAGES / page).read_text(), re.S | re.M)
]
# What each prints, in their order.
PRINTED = ("astronaut.jpg", "[False]", "", "'dominant_gender': 'Woman'", "")


@pytest.fixture
def service(app: Flask) -> Iterator[str]:
    with listening(app) as base:
        yield base


@pytest.mark.parametrize(("program", "printed"), list(zip(PROGRAMS, PRINTED, strict=True)))
def test_a_program_runs(service: str, tmp_path: Path, program: str, printed: str) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    program = program.replace("vultus.Client()", f"vultus.Client({service!r})")
    paths = os.pathsep.join([str(ROOT), str(ROOT / "gateway" / "python-client")])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
