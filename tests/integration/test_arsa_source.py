"""The client programs printed in ARSA's source document, run as they are but for host and key; skipped where it is not at hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from gateway.callers.keys import KeyStore
from tests.conftest import encode
from tests.integration.test_analysis import composite
from tests.served import ROOT, Served, start, stop

SOURCE = ROOT.parent / "shared" / "sources" / "arsa.txt"
pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="the vendor's document is not at hand")
HOST = "https://faceapi.arsa.technology"


def program(first: str, depths: str, base: str, key: str = "none", nth: int = 0) -> str:
    """The `nth` program that begins with the line `first`; the document lost its indentation, which `depths` gives back, a digit a line."""
    lines = SOURCE.read_text().splitlines()
    start = [i for i, line in enumerate(lines) if line == first][nth]
    code = lines[start : start + len(depths)]
    text = "\n".join("    " * int(depth) + line for depth, line in zip(depths, code, strict=True))
    names = f'import requests\nAPI_KEY, API_URL = "your-api-key", "{HOST}/api/v1/face_analytics"\n'  # set earlier in the document
    return (names + text).replace(HOST, base).replace("your-api-key", key)


def run(code: str, folder: Path) -> str:
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path, astronaut: bytes, astronaut_pixels: NDArray[np.uint8]) -> Path:
    """photo.jpg, and img1 to img5 with 1, 2, 0, 1 and 1 faces; img5 is no image."""
    two = encode(composite(astronaut_pixels, 2, 140, 160)[0])
    none = encode(cv2.resize(np.full((8, 8, 3), 120, np.uint8), (300, 300)).astype(np.uint8))
    pictures = {"photo": astronaut, "img1": astronaut, "img2": two, "img3": none, "img4": astronaut, "img5": b"no image"}
    for name, data in pictures.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
    return tmp_path


def test_the_single_call(served: Served, folder: Path) -> None:
    printed = run(program("import requests", "00000000", served.base), folder)
    assert re.search(r"'status': 'success', 'faces': \[\{'age': [\d.]+, 'gender': 'female'", printed)
    assert "'passive_liveness': {'is_real_face': " in printed


def test_the_batch(served: Served, folder: Path) -> None:
    printed = run(program("import requests", "0000012222222120001012122233", served.base, nth=1), folder)
    assert [re.findall(rf"img{n}.jpg: (\d) face", printed) for n in range(1, 6)] == [["1"], ["2"], ["0"], ["1"], ["0"]]
    assert len(re.findall(r"^ *Age: \d+, Gender: (?:fe)?male, Expression: (?:neutral|happy|sad|surprise|anger)$", printed, re.M)) == 4


def test_the_error_handling(served: Served, folder: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'keys.sqlite'}"
    issued = KeyStore(url).create("arsa", "two calls", monthly_quota=2)
    gateway = start("--port=0", "--triton", served.triton, environment={"VULTUS_KEYS_URL": url})
    gateway.wait_for("curl -F")
    gateway.base = re.findall(r"gateway +(\S+)", "".join(gateway.lines))[0]

    def printed(key: str) -> str:
        return run(program("response = requests.post(", "000000112332312010101", gateway.base, key, nth=2), folder).strip()

    assert printed("wrong") == "Invalid API key"
    assert printed(issued.secret) == ""
    (folder / "photo.jpg").write_bytes((folder / "img3.jpg").read_bytes())
    assert printed(issued.secret) == "No faces detected in the image"
    assert printed(issued.secret) == "Rate limit exceeded - wait and retry"
    stop(gateway)
