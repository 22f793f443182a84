"""`vultus redact` against the real gateway over HTTP; only Triton is a fake."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from PIL import Image

from gateway.errors import UpstreamUnavailable
from tests.conftest import FakeTriton, encode

Vultus = Callable[..., Result]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    for name in ("a.jpg", "b/c.png", "b/d.gif", "b/d.bmp"):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((200, 300, 3), 90, np.uint8)).quantize(4).convert("RGB").save(path)
    (photos / "b" / "bad.jpg").write_bytes(b"no picture")
    (photos / "notes.txt").write_text("no picture")
    return photos


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_folder_is_copied_with_its_tree_and_originals_stay(vultus: Vultus, folder: Path) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    result = vultus("redact", folder, "--method", "cover")
    assert result.exit_code == 1
    assert f"{folder / 'b' / 'bad.jpg'}: " in result.stderr
    assert "pictures: 4, done before: 0, failed: 1" in result.stderr
    copies = folder.parent / "photos-redacted"
    assert files(copies) == ["a.jpg", "b/c.png", "b/d.bmp.png", "b/d.gif.png"]
    assert all(path.read_bytes() == data for path, data in before.items())
    for name in files(copies):
        picture = np.asarray(Image.open(copies / name).convert("RGB"))
        assert picture[90, 60].max() < 60  # covered
        assert abs(int(picture[190, 290, 0]) - 90) < 4


def test_what_is_done_is_left_out_until_the_original_changes(vultus: Vultus, folder: Path, triton: FakeTriton) -> None:
    (folder / "b" / "bad.jpg").unlink()
    copies = folder.parent / "out"
    assert vultus("redact", folder, "--to", copies).exit_code == 0
    second = vultus("redact", folder, "--to", copies)
    assert "pictures: 0, done before: 4" in second.stderr
    later = (folder / "a.jpg").stat().st_mtime + 100
    os.utime(folder / "a.jpg", (later, later))
    assert "pictures: 1, done before: 3" in vultus("redact", folder, "--to", copies).stderr
    assert "pictures: 4, done before: 0" in vultus("redact", folder, "--to", copies, "--again").stderr


def test_copies_inside_the_folder_are_no_originals(vultus: Vultus, folder: Path) -> None:
    (folder / "b" / "bad.jpg").unlink()
    for _ in range(2):
        assert vultus("redact", folder, "--to", folder / "hidden", "--again").exit_code == 0
    assert files(folder / "hidden") == ["a.jpg", "b/c.png", "b/d.bmp.png", "b/d.gif.png"]


def test_a_single_file(vultus: Vultus, folder: Path) -> None:
    assert vultus("redact", folder / "a.jpg", "--to", folder.parent / "one").exit_code == 0
    assert files(folder.parent / "one") == ["a.jpg"]


def test_originals_cannot_be_overwritten(vultus: Vultus, folder: Path) -> None:
    result = vultus("redact", folder, "--to", folder / "b" / "..")
    assert (result.exit_code, "cannot go where the originals are" in result.stderr) == (2, True)


def test_the_folder_of_a_single_file_neither(vultus: Vultus, folder: Path) -> None:
    before = (folder / "a.jpg").read_bytes()
    result = vultus("redact", folder / "a.jpg", "--to", folder)
    assert (result.exit_code, (folder / "a.jpg").read_bytes()) == (2, before)


def test_without_a_service(vultus: Vultus, folder: Path, triton: FakeTriton) -> None:
    assert vultus("redact", folder, "--url", "http://127.0.0.1:9").exit_code == 3
    triton.failure = UpstreamUnavailable()
    assert vultus("redact", folder).exit_code == 3


def test_a_redacted_picture_reads_back(vultus: Vultus, folder: Path) -> None:
    (folder / "large.webp").write_bytes(encode(np.full((200, 300, 3), 90, np.uint8), ".webp"))
    vultus("redact", folder)
    copy = (folder.parent / "photos-redacted" / "large.webp").read_bytes()
    assert Image.open(io.BytesIO(copy)).format == "WEBP"
