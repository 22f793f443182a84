from __future__ import annotations

import json
import subprocess
import sys

from tests.conftest import PICTURES
from tests.served import ROOT

# libjpeg says something about the damaged picture; so does a program that is started; a handler that was made before writes JSON.
PROGRAM = """
import logging, os, subprocess, sys, time
import cv2, numpy as np
from gateway.access_log import configure_logging
from gateway.server import standard_error

configure_logging("INFO")
logging.getLogger("vultus.early").info("made before")
standard_error.take_over()
logging.getLogger("vultus.early").info("written later")
time.sleep(0.2)
configure_logging("INFO")
data = bytearray(open(sys.argv[1], "rb").read())
data[20_000:20_200] = bytes(200)
cv2.imdecode(np.frombuffer(bytes(data), np.uint8), cv2.IMREAD_COLOR)
subprocess.run(["sh", "-c", "echo from a program >&2"])
logging.getLogger("vultus.late").info("made after")
time.sleep(1)
"""


def test_what_libraries_print_becomes_lines_of_the_log() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, PICTURES / "astronaut.jpg"], cwd=ROOT, stderr=subprocess.PIPE, check=True, timeout=120
    )
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    said = {line["name"]: line["message"] for line in lines}
    assert {"vultus.early", "vultus.late"} <= said.keys()
    assert any("JPEG" in line["message"] for line in lines if line["name"] == "vultus.stderr")
    assert said["vultus.stderr"] == "from a program"
