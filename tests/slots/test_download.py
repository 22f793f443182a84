from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts.slots.contract import Refused
from scripts.slots.download import fetch

CONTENT = bytes(range(256)) * 40


class Files(BaseHTTPRequestHandler):
    """CONTENT as /model.onnx, from the byte that is asked for."""

    def do_GET(self) -> None:
        if self.path != "/model.onnx":
            self.send_error(404)
            return
        start = int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or [0, 0])[1])
        self.server.asked.append(start)  # type: ignore[attr-defined]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        self.wfile.write(CONTENT[start:])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as running:
        running.asked = []  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def test_an_interrupted_download_is_continued(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "model.onnx.part").write_bytes(CONTENT[:1000])
    file = fetch(f"http://127.0.0.1:{server.server_port}/model.onnx", tmp_path)
    assert file.read_bytes() == CONTENT
    assert server.asked == [1000]  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_what_is_not_there_is_said(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"cannot be fetched: .*404"):
        fetch(f"http://127.0.0.1:{server.server_port}/none.onnx", tmp_path)


def test_only_https_leaves_the_machine(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="https only"):
        fetch("http://example.org/model.onnx", tmp_path)
