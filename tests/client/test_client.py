"""Both clients against the real gateway over HTTP; only Triton is a fake."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from flask import Flask

import gateway
import vultus
from gateway.apis.services import KEY
from gateway.callers.keys import KeyStore
from gateway.errors import UpstreamUnavailable
from tests.client.conftest import Asking, Script
from tests.conftest import PICTURES, FakeTriton
from vultus.image import opened
from vultus.table import COLUMNS

PHOTO = PICTURES / "astronaut.jpg"


def test_every_kind_of_image_arrives_unchanged(ask: Asking, service: str, astronaut: bytes, tmp_path: Path) -> None:
    behind = tmp_path / "behind.bin"
    behind.write_bytes(b"a header of another format" + astronaut)
    with PHOTO.open("rb") as whole, behind.open("rb") as part:
        part.seek(26)
        for image in (PHOTO, str(PHOTO), astronaut, whole, io.BytesIO(astronaut), part):
            answer = ask(service, "analyze", image)
            assert (answer.image.width, answer.image.height, len(answer.faces)) == (512, 512, 2)
        assert not part.closed


def test_pictures_come_back_as_files(ask: Asking, service: str, triton: FakeTriton, script: Script) -> None:
    hidden = ask(service, "redact", PHOTO, method="cover", margin=0.5, min_confidence=0.3, min_face_px=3)
    drawn = ask(service, "draw", PHOTO, show=["landmarks"], attributes=["age"], max_faces=1)
    assert PIL.Image.open(io.BytesIO(hidden)).format == PIL.Image.open(io.BytesIO(drawn)).format == "JPEG"
    assert hidden != drawn
    assert {"LANDMARKS", "AGE"} <= set(triton.asked)
    with pytest.raises(vultus.ImageRefused):
        ask(service, "redact", b"no picture")
    script.answers = [(200, {"Content-Type": "text/html"}, b"a proxy")]
    with pytest.raises(vultus.UnexpectedAnswer):
        ask(script.url, "draw", PHOTO)


def test_many_images_each_with_its_answer_or_its_error(service: str, tmp_path: Path) -> None:
    images: list[vultus.Image] = [PHOTO, tmp_path / "none.jpg", b"no picture", str(PHOTO)]
    with vultus.Client(service) as client:
        together = list(client.analyze_many(images, concurrency=2, attributes=["age"]))

    async def awaited() -> list[Any]:
        async with vultus.AsyncClient(service) as twin:
            return [one async for one in twin.analyze_many(images, concurrency=2, attributes=["age"])]

    for outcomes in (together, asyncio.run(awaited())):
        assert [image for image, _ in outcomes] == images
        assert [type(outcome) for _, outcome in outcomes] == [vultus.Analysis, FileNotFoundError, vultus.ImageRefused, vultus.Analysis]
    frame = vultus.to_dataframe(together)
    assert tuple(frame.columns) == COLUMNS
    assert frame["picture"].tolist() == [str(PHOTO)] * 2 + [str(tmp_path / "none.jpg"), ""] + [str(PHOTO)] * 2
    assert frame["age"].tolist()[:2] == [31.5, 32.5]
    assert frame["error"].notna().tolist() == [False, False, True, True, False, False]


def test_progress_is_shown_when_asked_for(service: str, capfd: pytest.CaptureFixture[str]) -> None:
    with vultus.Client(service) as client:
        list(client.analyze_many([PHOTO]))
        assert "picture" not in capfd.readouterr().err
        list(client.analyze_many([PHOTO], progress=True))
    assert "1/1" in capfd.readouterr().err


def test_an_answer_is_a_table_in_a_notebook(service: str, triton: FakeTriton) -> None:
    with vultus.Client(service) as client:
        answer = client.analyze(PHOTO, attributes=["age", "glasses"])
        triton.faces = 0
        nobody = client.analyze(PHOTO)
    shown = answer._repr_html_()
    assert shown.count("<tr>") == 3
    assert "<th>age</th>" in shown
    assert "<td>31.5</td>" in shown
    assert "<td>regular</td>" in shown
    assert "emotion" not in shown
    assert len(answer.to_dataframe()) == 2
    assert "no face" in nobody._repr_html_()
    assert nobody.to_dataframe().empty


def test_the_version_is_that_of_the_package() -> None:
    assert vultus.__version__ == gateway.__version__


def test_a_stream_that_cannot_seek(ask: Asking, service: str) -> None:
    with subprocess.Popen(["cat", str(PHOTO)], stdout=subprocess.PIPE) as program:
        assert program.stdout
        assert len(ask(service, "analyze", program.stdout).faces) == 2


def test_a_file_is_sent_in_pieces_with_its_length(ask: Asking, script: Script, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    large.write_bytes(bytes(range(256)) * 4096 + b"end")
    script.answers = [(500, {}, b"")]
    with pytest.raises(vultus.UnexpectedAnswer):
        ask(script.url, "analyze", large)
    assert script.bodies == [large.read_bytes()]
    assert script.headers[0]["Content-Length"] == str(large.stat().st_size)


def test_a_text_file_is_a_mistake(ask: Asking, service: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with (tmp_path / "a.txt").open() as file, pytest.raises(TypeError):
        ask(service, "analyze", file)


def test_bytes_arrays_and_pillow_images(ask: Asking, service: str, triton: FakeTriton, astronaut: bytes) -> None:
    pixels = np.zeros((60, 80, 3), np.uint8)
    turned = PIL.Image.new("RGB", (60, 80))
    turned.getexif()[0x0112] = 6
    encoded = np.frombuffer(astronaut, np.uint8)
    for image, size in (
        (bytearray(astronaut), (512, 512)),
        (memoryview(astronaut), (512, 512)),
        (encoded, (512, 512)),
        (pixels, (80, 60)),
        (pixels[:, ::-1], (80, 60)),
        (pixels[..., 0], (80, 60)),
        (PIL.Image.new("RGB", (80, 60)), (80, 60)),
        (PIL.Image.new("CMYK", (80, 60)), (80, 60)),
        (turned, (80, 60)),
        (PIL.Image.open(PHOTO).reduce(4), (128, 128)),
    ):
        answer = ask(service, "analyze", image)
        assert (answer.image.width, answer.image.height) == size


def test_an_array_is_rgb() -> None:
    with opened(np.full((4, 5, 3), (1, 2, 3), np.uint8)) as file:
        assert PIL.Image.open(file).getpixel((0, 0)) == (1, 2, 3)


def test_an_address_is_fetched_by_the_service(ask: Asking, service: str, script: Script) -> None:
    with pytest.raises(vultus.RequestRefused) as refused:
        ask(service, "analyze", "https://pictures.example/a.jpg")
    assert refused.value.code == "download_failed"
    script.answers = [(500, {}, b"")]
    with pytest.raises(vultus.UnexpectedAnswer):
        ask(script.url, "analyze", "HTTPS://pictures.example/a.jpg")
    assert script.bodies == [b'{"url": "HTTPS://pictures.example/a.jpg"}']
    assert script.headers[0]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "image", [None, 5, ["a.jpg"], np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8)]
)
def test_what_is_no_image_is_told_what_is(ask: Asking, service: str, image: object) -> None:
    with pytest.raises(TypeError, match="it may be a path, an http or https address, bytes"):
        ask(service, "analyze", image)


def test_which_faces(ask: Asking, service: str) -> None:
    def confidences(**options: Any) -> list[float]:
        answer = ask(service, "analyze", PHOTO, **options)
        assert answer.faces_found == 2
        return [face.confidence for face in answer.faces]

    assert confidences(min_confidence=0.8) == [0.9]
    assert confidences(min_confidence=1e-7) == [0.9, 0.775]
    assert confidences(min_face_px=200) == []
    assert confidences(order="size", max_faces=1) == [0.9]
    assert ask(service, "analyze", PHOTO, attributes="all").faces[0].beauty


@pytest.mark.parametrize("proxies", [{"no_proxy": "[::1]"}, {"ALL_PROXY": "socks5://127.0.0.1:1"}])
def test_proxies_do_not_matter_on_the_way_to_ones_own_machine(
    ask: Asking, service: str, monkeypatch: pytest.MonkeyPatch, proxies: dict[str, str]
) -> None:
    for name, value in proxies.items():
        monkeypatch.setenv(name, value)
    assert ask(service, "analyze", PHOTO).faces
    with pytest.raises(ValueError, match="proxy variables of the environment"):
        vultus.Client("http://vultus.example")


def test_addresses_without_a_scheme(ask: Asking, service: str) -> None:
    assert ask(service.removeprefix("http://"), "ready") is True
    for url in ("localhost", "localhost:9090", "[::1]:80", "vultus.example:8080/below"):
        vultus.Client(url).close()


def test_a_missing_file_is_an_os_error(ask: Asking, service: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ask(service, "analyze", tmp_path / "none.jpg")


def test_results_are_typed(ask: Asking, service: str, triton: FakeTriton) -> None:
    answer = ask(service, "analyze", PHOTO, attributes=["age", "emotion"], max_faces=1)
    assert isinstance(answer, vultus.Analysis)
    (face,) = answer.faces
    assert isinstance(face, vultus.Face)
    assert face.emotion
    assert (face.age, face.emotion.dominant, face.gender) == (31.5, "happy", None)
    assert triton.asked[-2:] == ("AGE", "EMOTION")
    assert answer.request_id


@pytest.mark.parametrize("wanted", ["age,hat", ["age", "hat"], ("age", "hat")])
def test_attributes_by_name(service: str, triton: FakeTriton, wanted: str) -> None:
    with vultus.Client(service) as client:
        client.analyze(PHOTO, attributes=wanted)
    assert triton.asked[-2:] == ("AGE", "HAT")


def test_no_attributes_is_not_the_default(ask: Asking, service: str, triton: FakeTriton) -> None:
    assert ask(service, "analyze", PHOTO, attributes=[]).faces[0].age is None
    assert "AGE" not in triton.asked


def test_what_is_offered(ask: Asking, service: str, offered: tuple[str, ...]) -> None:
    rows = ask(service, "attributes")
    assert tuple(row.name for row in rows) == offered
    assert all(isinstance(row, vultus.Attribute) for row in rows)


def test_readiness(ask: Asking, service: str, triton: FakeTriton) -> None:
    assert ask(service, "ready") is True
    triton.ready = False
    assert ask(service, "ready") is False
    assert "Triton" in (ask(service, "readiness").detail or "")


def test_keys(ask: Asking, service: str, app: Flask) -> None:
    store = KeyStore(app.extensions[KEY].settings.keys_url)
    issued = store.create("vultus", "me")
    assert ask(service, "analyze", PHOTO, options={"key": issued.secret}).faces
    for options, code in (({}, "key_missing"), ({"key": "wrong"}, "key_invalid")):
        with pytest.raises(vultus.KeyRefused) as refused:
            ask(service, "analyze", PHOTO, options=options)
        assert (refused.value.code, refused.value.status) == (code, 401)


def test_a_refusal_says_what_and_which_request(ask: Asking, service: str, triton: FakeTriton) -> None:
    with pytest.raises(vultus.ImageRefused) as refused:
        ask(service, "analyze", b"not an image")
    assert (refused.value.code, refused.value.status) == ("unrecognised_image", 415)
    assert len(refused.value.request_id) == 32
    assert str(refused.value) == "The bytes are not an image."
    with pytest.raises(vultus.ImageRefused, match="no bytes"):
        ask(service, "analyze", b"")
    with pytest.raises(vultus.ImageRefused) as refused:
        ask(service, "analyze", b"\xff" * 2**19)
    assert refused.value.code == "body_too_large"
    with pytest.raises(vultus.RequestRefused, match="attributes names something unknown"):
        ask(service, "analyze", PHOTO, attributes=["shoe size"])


def test_a_lost_triton(ask: Asking, service: str, triton: FakeTriton) -> None:
    triton.failure = UpstreamUnavailable(retry_after_s=7)
    with pytest.raises(vultus.ServiceUnavailable) as refused:
        ask(service, "analyze", PHOTO, options={"retries": 0})
    assert (refused.value.code, refused.value.retry_after_s) == ("upstream_unavailable", 7)


@pytest.mark.parametrize("url", ["vultus.example", "ftp://vultus.example", "http://", "http://x:port", ""])
def test_an_address_that_is_none(url: str) -> None:
    for kind in (vultus.Client, vultus.AsyncClient):
        with pytest.raises(ValueError, match="is not an address"):
            kind(url)


def test_importing_is_light() -> None:
    program = (
        "import sys, vultus; print([name for name in ('flask', 'cv2', 'numpy', 'tritonclient', 'grpc', 'PIL') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[]"


def test_each_module_has_one_name() -> None:
    program = (
        "import importlib.util as i; print([i.find_spec(name) for name in ('gateway.client', 'gateway.python_client', 'gateway.vultus')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == "[None, None, None]"
