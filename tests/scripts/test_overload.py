"""The measuring command against a gateway whose Triton takes a known time."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from werkzeug.serving import make_server

from gateway.app import create_app
from gateway.settings import Settings
from scripts.benchmarking import overload
from tests.conftest import FakeTriton


class SteadyTriton(FakeTriton):
    """One picture at a time, 50 ms each: 20 a second."""

    def __init__(self) -> None:
        super().__init__(0)
        self._one = threading.Lock()

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        with self._one:
            time.sleep(0.05)
            return super().infer(image, outputs)


def test_overload_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(
        keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"), max_in_flight=3, log_level="ERROR"
    )
    server = make_server("127.0.0.1", 0, create_app(settings, SteadyTriton()), threaded=True)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        base = f"http://127.0.0.1:{server.server_port}"
        assert overload.main([base, "--measure=1", "--seconds=2", "--clients=2"]) == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    said = capsys.readouterr().out
    sustainable = float(re.findall(r"^sustainable +([\d.]+) right/s", said, re.M)[0])
    assert 2 < sustainable <= 21
    (refused,) = re.findall(r"^4 times .* (\d+) refused", said, re.M)
    assert int(refused) > 0
    assert re.search(r"^goodput +\d+%", said, re.M)
    assert re.search(r"^recovery +[\d.]+ s$", said, re.M)
