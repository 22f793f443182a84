"""The client programs of gateway/apis/vendors/README.md run as printed, but for the port (and a stand-in that CompreFace's SDK needs)."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.served import ROOT, Served

README = (ROOT / "gateway" / "apis" / "vendors" / "README.md").read_text()
PROGRAMS = {title: code for title, code in re.findall(r"^## (\w+)\n.*?^```python\n(.*?)^```", README, re.S | re.M)}
# What the answer must hold, by vendor.
EXPECTED: dict[str, Any] = {
    "ARSA": lambda body: body["faces"][0]["gender"] == "female",
    "MachineSense": lambda body: body["result"] == "Ok" and 20 < body["data"]["age"] < 55,
    "AILabTools": lambda body: body["data"]["gender_list"] == [0],
    "Scaleflex": lambda body: body["faces"]["face_0"]["gender"] == "Female",
    "Coqnitics": lambda body: body["faces"][0]["gender"]["value"] == "Female",
    "CompreFace": lambda body: body["result"][0]["gender"]["value"] == "female" and len(body["result"][0]["landmarks"]) == 5,
}
# What must run before a program.
BEFORE = {"CompreFace": "import tests.compreface_sdk\n"}


@pytest.mark.integration
@pytest.mark.parametrize("vendor", EXPECTED)
def test_program(served: Served, vendor: str, tmp_path: Path, astronaut: bytes) -> None:
    (tmp_path / "photo.jpg").write_bytes(astronaut)
    code = PROGRAMS[vendor].replace("http://127.0.0.1:8080", served.base)
    assert served.base in code
    command = [sys.executable, "-W", "ignore", "-c", BEFORE.get(vendor, "") + code]
    environment = {**os.environ, "PYTHONPATH": _import_path()}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert EXPECTED[vendor](ast.literal_eval(result.stdout))


def _import_path() -> str:
    return os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))


def test_every_vendor_has_a_program() -> None:
    assert set(PROGRAMS) == set(EXPECTED)
