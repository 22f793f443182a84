"""`vultus analyze` against the real gateway over HTTP; only Triton is a fake."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import socket
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from flask import Flask

from gateway.apis.services import KEY
from gateway.callers.keys import KeyStore
from gateway.errors import GatewayError, UpstreamOverloaded, UpstreamUnavailable
from tests.conftest import PICTURES, FakeTriton, encode
from tests.gateway.test_errors import leaves
from tests.served import ROOT
from vultus.table import COLUMNS

Vultus = Callable[..., Result]
PHOTO = PICTURES / "astronaut.jpg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures, told apart by their widths, and one that is cut off; what no picture is lies between them."""
    photos = tmp_path / "photos"
    for index, name in enumerate(("a.jpg", "b/c.png", "b/d.JPG", "e.webp")):
        path = photos / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(np.full((200, 300 + index, 3), 90, np.uint8), path.suffix.lower()))
    (photos / "b" / "cut.jpg").write_bytes(PHOTO.read_bytes()[:5000])
    (photos / "notes.txt").write_text("no picture")
    (photos / ".hidden.jpg").write_bytes(b"a thumbnail")
    return photos


def rows(result: Result) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_csv_of_a_folder(vultus: Vultus, folder: Path) -> None:
    result = vultus("analyze", folder, "--csv")
    assert result.exit_code == 1
    read = rows(result)
    assert tuple(read[0]) == COLUMNS
    seen = [(Path(row["picture"]).relative_to(folder).as_posix(), row["width"], row["face"], row["error"]) for row in read]
    assert seen == [
        ("a.jpg", "300", "0", ""),
        ("a.jpg", "300", "1", ""),
        ("e.webp", "303", "0", ""),
        ("e.webp", "303", "1", ""),
        ("b/c.png", "301", "0", ""),
        ("b/c.png", "301", "1", ""),
        ("b/cut.jpg", "", "", "undecodable_image"),
        ("b/d.JPG", "302", "0", ""),
        ("b/d.JPG", "302", "1", ""),
    ]
    assert f"{folder}/b/cut.jpg: The image is damaged or incomplete. (request " in result.stderr
    assert "pictures: 5, faces: 8, failed: 1" in result.stderr


def test_every_cell_is_what_the_service_said(vultus: Vultus) -> None:
    (row, _) = rows(vultus("analyze", PHOTO, "--csv", "--attributes", ",".join(ATTRIBUTES)))
    expected = {
        "picture": str(PHOTO), "width": "512", "height": "512", "faces": "2", "face": "0", "x1": "10.2", "y1": "20.5", "x2": "110.8",
        "y2": "160.0", "confidence": "0.9", "age": "31.5", "gender": "female", "gender_probability": "0.75", "emotion": "happy",
        "emotion_probability": "0.6", "race": "black", "race_probability": "0.4", "liveness": "0.625", "is_real": "true",
        "glasses": "regular", "glasses_probability": "0.7", "mask": "worn wrongly", "mask_probability": "0.6", "hat": "hat",
        "hat_probability": "0.65", "beauty": "55.5", "quality": "81.0", "yaw": "-12.5", "pitch": "7.2", "roll": "3.5", "error": "",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


ATTRIBUTES = ("age", "gender", "emotion", "race", "liveness", "glasses", "mask", "hat", "beauty", "quality", "pose")


def test_a_picture_without_a_face_has_one_row(vultus: Vultus, triton: FakeTriton) -> None:
    triton.faces = 0
    result = vultus("analyze", PHOTO, "--csv")
    assert result.exit_code == 0
    (row,) = rows(result)
    assert {name: cell for name, cell in row.items() if cell} == {
        "picture": str(PHOTO), "width": "512", "height": "512", "faces": "0",
    }  # fmt: skip


def test_json_lines(vultus: Vultus, folder: Path) -> None:
    result = vultus("analyze", folder / "b", PHOTO, "--json", "--attributes", "age, Emotion", "--max-faces", 1)
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(answer["picture"]).name for answer in answers] == ["c.png", "cut.jpg", "d.JPG", "astronaut.jpg"]
    assert answers[1]["error"]["code"] == "undecodable_image"
    assert list(answers[3])[:2] == ["picture", "request_id"]
    (face,) = answers[3]["faces"]
    assert set(face) == {"box", "confidence", "keypoints", "age", "emotion"}
    assert face["emotion"]["probabilities"]["neutral"] == 0.11


def test_the_table_is_the_default_and_not_cut(vultus: Vultus, folder: Path) -> None:
    long = folder / f"{'long ' * 30}[red].jpg"
    long.write_bytes(PHOTO.read_bytes())
    text = vultus("analyze", folder).stdout
    assert str(long) in text
    assert "female 0.75" in text
    assert "undecodable_image" in text


def test_drawn_pictures(vultus: Vultus, folder: Path) -> None:
    (folder / "a.png").write_bytes(encode(np.full((200, 310, 3), 90, np.uint8), ".png"))
    out = folder / "drawn"
    result = vultus("analyze", folder, "--draw", out, "--json")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == ["a-2.png", "a.png", "b/c.png", "b/d.png", "e.png"]
    drawn = cv2.imread(str(out / "a-2.png"))
    assert drawn is not None
    assert drawn.shape == (200, 310, 3)
    assert (drawn[80:130, 8:14] != 90).any()
    assert (drawn[:, 300:] == 90).all()
    assert len(vultus("analyze", folder, "--draw", out, "--json").stdout.splitlines()) == len(result.stdout.splitlines())


def test_drawn_pictures_that_cannot_be_written(vultus: Vultus, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert vultus("analyze", PHOTO, "--draw", tmp_path / "file" / "out").exit_code == 2
    (tmp_path / "out" / "astronaut.png").mkdir(parents=True)
    result = vultus("analyze", PHOTO, "--draw", tmp_path / "out", "--csv")
    assert result.exit_code == 1
    assert [row["error"] for row in rows(result)] == ["not_drawn"]


def test_files_that_cannot_be_read(vultus: Vultus, tmp_path: Path) -> None:
    result = vultus("analyze", tmp_path / "none.jpg", tmp_path / "*.png", PHOTO, "--csv")
    assert result.exit_code == 1
    assert [row["error"] for row in rows(result)] == ["unreadable_file", "unreadable_file", "", ""]
    assert result.stderr.count("No such file or directory") == 2


def test_names_in_any_bytes(vultus: Vultus, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/gr\xfc\xdfe.jpg"
    Path(os.fsdecode(odd)).write_bytes(PHOTO.read_bytes())
    result = vultus("analyze", tmp_path, "--csv")
    assert result.exit_code == 0
    assert rows(result)[0]["picture"].endswith("gr\ufffd\ufffde.jpg")


def test_a_name_like_a_formula(vultus: Vultus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("=cmd.jpg").write_bytes(PHOTO.read_bytes())
    assert rows(vultus("analyze", "=cmd.jpg", "--csv"))[0]["picture"] == "'=cmd.jpg"


def test_one_busy_moment_fails_one_picture(vultus: Vultus, triton: FakeTriton, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    real = triton.infer

    def infer(image: np.typing.NDArray[np.uint8], outputs: tuple[str, ...]) -> object:
        if image.shape[1] == 301:
            raise UpstreamOverloaded
        return real(image, outputs)

    monkeypatch.setattr(triton, "infer", infer)
    result = vultus("analyze", folder, "--csv")
    assert result.exit_code == 1
    assert [row["error"] for row in rows(result) if row["error"]] == ["upstream_overloaded", "undecodable_image"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--attributes", "age,shoes"], 2, "Unknown: shoes. This service offers age, age_range, gender"),
        (["--url", "localhost 8080"], 2, "is not an address"),
        (["--url", "http://a", "--grpc", "b:1"], 2, "--url or --grpc"),
        (["--max-faces", "0"], 2, "--max-faces"),
        (["--concurrency", "0"], 2, "--concurrency"),
    ],
)
def test_wrong_use(vultus: Vultus, arguments: list[str], status: int, said: str) -> None:
    result = vultus("analyze", PHOTO, *arguments)
    assert (result.exit_code, result.stdout) == (status, "")
    assert said in result.stderr


def test_http_needs_no_image_library() -> None:
    program = (
        "import sys, gateway.commands.analyze, gateway.commands.analysis.forms; print({'cv2', 'tritonclient', 'flask'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "set()"


def test_nothing_to_do_is_wrong_use(vultus: Vultus, tmp_path: Path) -> None:
    assert vultus("analyze", tmp_path).exit_code == 2
    assert vultus("analyze").exit_code == 2


def test_keys(vultus: Vultus, app: Flask) -> None:
    secret = KeyStore(app.extensions[KEY].settings.keys_url).create("vultus", "me").secret
    assert vultus("analyze", PHOTO, "--key", secret).exit_code == 0
    result = vultus("analyze", PHOTO, PHOTO.parent, "--csv")
    assert result.exit_code == 2
    assert "A key is needed." in result.stderr


def test_a_service_that_is_not_there(vultus: Vultus) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for way in (("--url", f"http://{address}"), ("--grpc", address)):
            result = vultus("analyze", PHOTO, *way)
            assert result.exit_code == 3
            assert address in result.stderr
            assert "vultus doctor" in result.stderr


def test_a_service_that_goes_away(vultus: Vultus, triton: FakeTriton, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = triton.infer

    def infer(image: np.typing.NDArray[np.uint8], outputs: tuple[str, ...]) -> object:
        if image.shape[1] >= 301:
            raise UpstreamUnavailable
        return real(image, outputs)

    monkeypatch.setattr(triton, "infer", infer)
    result = vultus("analyze", folder / "a.jpg", folder, "--csv", "--concurrency", 1)
    assert result.exit_code == 3
    assert "1 of 5 pictures were done" in result.stderr
    assert [row["width"] for row in rows(result)] == ["300", "300"]


def test_codes_need_no_quotes() -> None:
    assert all(kind.code.replace("_", "").isalpha() for kind in leaves(GatewayError))


def test_what_is_misspelt_is_named(vultus: Vultus, folder: Path) -> None:
    assert "No such command 'analyse'. Did you mean 'analyze'?" in vultus("analyse", folder).stderr
    assert "Did you mean" not in vultus("xyz").stderr
    assert "Unknown: emotoin. Did you mean 'emotion'?" in vultus("analyze", folder, "--attributes", "age,emotoin").stderr


@pytest.mark.parametrize("command", ["analyze", "redact", "keys"])
def test_help_has_examples(vultus: Vultus, command: str) -> None:
    assert f"  vultus {command} " in vultus(command, "--help").stdout.partition("Examples:")[2]


def test_the_columns_are_documented() -> None:
    text = (ROOT / "docs" / "pages" / "client.md").read_text()
    assert f"`{','.join(COLUMNS)}`" in "".join(text.split())


def start(service: str, *arguments: object, stderr: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gateway.commands.main", "analyze", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, "VULTUS_URL": service, "COLUMNS": "100"})


def test_as_a_program(service: str, folder: Path) -> None:
    process = start(service, folder, "--csv", stderr=subprocess.PIPE)
    out, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(list(csv.DictReader(io.StringIO(out.decode())))) == 9
    assert b"%|" not in told


def test_a_progress_bar_on_a_terminal(service: str, folder: Path) -> None:
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (30, 100))
    process = start(service, folder, "--csv", stderr=its)
    os.close(its)
    out = process.communicate(timeout=60)[0]
    told = b""
    try:
        while piece := os.read(ours, 65536):
            told += piece
    except OSError:  # the other side is closed
        pass
    os.close(ours)
    assert b"/5 [" in told
    assert b"%|" in told
    assert b"picture/s" in told or b"s/picture" in told
    assert len(list(csv.DictReader(io.StringIO(out.decode())))) == 9


def test_an_address_without_a_scheme(vultus: Vultus, service: str) -> None:
    assert vultus("analyze", PHOTO, "--json", "--url", service.removeprefix("http://")).exit_code == 0


def test_which_faces(vultus: Vultus) -> None:
    def confidences(*arguments: object) -> list[str]:
        return [row["confidence"] for row in rows(vultus("analyze", PHOTO, "--csv", *arguments))]

    assert confidences("--min-confidence", 0.8) == ["0.9"]
    assert confidences("--min-face-px", 200) == [""]
    assert confidences("--order", "size", "--max-faces", 1, "--attributes", "all") == ["0.9"]


def test_standard_input(service: str, astronaut: bytes, tmp_path: Path) -> None:
    for arguments in (("-",), ("/dev/stdin",)):
        command = [sys.executable, "-m", "gateway.commands.main", "analyze", *arguments, "--json", "--draw", str(tmp_path)]
        done = subprocess.run(command, input=astronaut, capture_output=True, env={**os.environ, "VULTUS_URL": service}, timeout=60)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["picture"] == arguments[0]
    assert {path.name for path in tmp_path.iterdir()} == {"stdin.png"}


def test_a_pipe_that_nobody_writes_to(vultus: Vultus, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    result = vultus("analyze", tmp_path / "pipe.jpg", PHOTO, "--csv")
    assert [row["error"] for row in rows(result)] == ["unreadable_file", "", ""]
    assert "vultus analyze -" in result.stderr


def test_an_address_is_fetched_by_the_service(vultus: Vultus) -> None:
    result = vultus("analyze", "https://pictures.example/a.jpg", PHOTO, "--csv")
    assert result.exit_code == 2
    assert "Fetching images by URL is switched off here." in result.stderr


@pytest.mark.parametrize("form", ["--json", "--csv", "--table"])
def test_output_in_another_encoding(service: str, tmp_path: Path, form: str) -> None:
    photo = tmp_path / "gr\u00fc\u00dfe.jpg"
    photo.write_bytes(PHOTO.read_bytes())
    environment = {**os.environ, "VULTUS_URL": service, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "gateway.commands.main", "analyze", str(photo), form]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    if form == "--json":
        assert json.loads(done.stdout)["picture"] == str(photo)
    else:
        assert b"gr??e.jpg" in done.stdout


@pytest.mark.parametrize("form", ["--json", "--csv", "--table"])
def test_output_that_cannot_be_written(service: str, form: str) -> None:
    command = [sys.executable, "-m", "gateway.commands.main", "analyze", str(PHOTO), form]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env={**os.environ, "VULTUS_URL": service}, timeout=60)
    assert done.returncode == 4
    assert b"Standard output cannot be written: No space left on device." in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
