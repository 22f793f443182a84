from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.faults.place import _movable_clock, set_clock

PROGRAM = """
import datetime, sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), datetime.datetime.now().timestamp(), flush=True)
    time.sleep(0.01)
"""


@pytest.mark.parametrize(("environment", "moved"), [({"VULTUS_TRITON": "x"}, True), ({}, False)], ids=["gateway", "others"])
def test_the_clock_of_the_gateway_moves(tmp_path: Path, environment: dict[str, str], moved: bool) -> None:
    library, clock = _movable_clock(tmp_path), tmp_path / "clock"
    if library is None:
        pytest.skip("no C compiler")
    set_clock(clock, 0)
    preloaded = {**environment, "LD_PRELOAD": str(library), "VULTUS_CHAOS_CLOCK": str(clock)}
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, env=preloaded, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        rows = []
        for offset_s in (0, 86400, -3600, 0):
            set_clock(clock, offset_s)
            process.stdin.write("\n")
            process.stdin.flush()
            rows.append([float(text) for text in process.stdout.readline().split()])
        process.stdin.close()
    jumps = [[round((after - before) / 3600) for before, after in zip(one, two, strict=True)] for one, two in pairwise(rows)]
    assert jumps == ([[24, 0, 24], [-25, 0, -25], [1, 0, 1]] if moved else [[0, 0, 0]] * 3)
