from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psutil
import pytest
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from gateway import errors as e
from gateway.apis.services import KEY
from gateway.pictures import decoding, pool
from gateway.pictures.buffers import KEPT_BUFFERS, KEPT_BYTES, Buffer, Buffers
from gateway.pictures.picture import Picture
from gateway.pictures.pool import Decoders
from gateway.settings import Settings
from tests.gateway.pictures import hostile
from tests.gateway.pictures.hostile import MAGIC
from tests.gateway.pictures.test_decoding import save
from tests.vendors.conftest import FakeAnalyzer
from tests.vendors.conftest import analyzer as analyzer
from tests.vendors.conftest import app as app
from tests.vendors.conftest import client as client
from tests.vendors.conftest import keys_url as keys_url
from tests.vendors.routes import ROUTES, Route

RULES = decoding.rules_of(Settings())
# What loading the picture does to its decoder, and what the caller is told.
ENDS: dict[bytes, type[e.GatewayError]] = {
    b"abort": e.UndecodableImage,
    b"segfault": e.UndecodableImage,
    b"spin": e.ImageTooComplex,
    b"grow": e.ImageTooComplex,
    b"killed": e.UpstreamUnavailable,
    b"stopped": e.UpstreamTimeout,
}


@pytest.fixture(scope="module")
def decoders() -> Decoders:
    made = Decoders(Settings(decode_processes=2, decode_cpu_s=0.3, deadline_s=2.0), hostile.decode)
    made.start()  # which a busy machine may need longer for than the deadline
    return made


def ask(decoders: Decoders, data: bytes) -> Picture:
    return decoders.decode(data, RULES, 1600)


def same(picture: Picture, other: Picture) -> bool:
    sizes = (picture.width_px, picture.height_px) == (other.width_px, other.height_px)
    return sizes and picture.pixels.shape == other.pixels.shape and bool((picture.pixels == other.pixels).all())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_isolated_pixels_are_the_same(decoders: Decoders, kind: str) -> None:
    data = save(Image.effect_noise((300, 200), 90).convert("RGB"), kind)
    assert same(ask(decoders, data), decoding.decode(data, RULES, 1600))


def test_a_picture_keeps_its_pixels_while_others_are_decoded(decoders: Decoders) -> None:
    """More than there are buffers, of changing sizes, and a part of one that outlives the rest of it."""
    sides = [40 + 60 * i for i in range(KEPT_BUFFERS + 3)]
    sent = [save(Image.effect_noise((side, 700 - side), 90).convert("RGB"), "PNG") for side in sides]
    for _ in range(3):
        held = [ask(decoders, data) for data in sent]
        corner = ask(decoders, sent[-1]).pixels[:20, :20]
        assert all(same(picture, decoding.decode(data, RULES, 1600)) for picture, data in zip(held, sent, strict=True))
        assert (corner == held[-1].pixels[:20, :20]).all()


def test_a_buffer_is_wiped_and_used_again() -> None:
    buffers = Buffers()
    first = buffers.take()
    os.pwrite(first.file, b"picture", 0)
    pixels = buffers.lend(first, 7)
    middle = pixels[2:4]
    del pixels
    assert buffers.take() is not first
    assert middle.tobytes() == b"ct"
    del middle
    again = buffers.take()
    assert again is first
    assert os.pread(again.file, 7, 0) == bytes(7)


def test_at_rest_no_buffer_is_kept_but_those_that_are_lent() -> None:
    buffers = Buffers()
    kept, lent = buffers.take(), buffers.take()
    for buffer in (kept, lent):
        os.ftruncate(buffer.file, 100)
    buffers.lend(kept, 50)
    pixels = buffers.lend(lent, 50)
    buffers.release()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(kept.file)
    assert pixels.sum() == 0
    del pixels
    assert buffers.take() is lent


def test_few_buffers_and_no_large_ones_are_kept() -> None:
    buffers = Buffers()

    def used(size: int) -> Buffer:
        buffer = Buffer()
        os.ftruncate(buffer.file, size)
        return buffer

    lent = [used(size) for size in (KEPT_BYTES + 1, *[100] * (KEPT_BUFFERS + 2))]
    pictures = [buffers.lend(buffer, 50) for buffer in lent]
    pictures.clear()
    kept = list(buffers._free)
    assert len(kept) == KEPT_BUFFERS
    assert lent[0] not in kept
    for buffer in set(lent) - set(kept):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(buffer.file)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", e.EmptyImage), (b"text", e.UnrecognisedImage), (b"%PDF-1.7", e.UnsupportedImage), (bytes(RULES.max_bytes + 1), e.BodyTooLarge)],
    ids=["empty", "text", "pdf", "too many bytes"],
)
def test_refusals_come_through(decoders: Decoders, data: bytes, error: type[e.GatewayError]) -> None:
    with pytest.raises(error):
        ask(decoders, data)


def test_the_words_of_a_refusal_come_through(decoders: Decoders) -> None:
    with pytest.raises(e.ImageTooSmall, match="at least 16 pixels"):
        ask(decoders, save(Image.new("RGB", (4, 4)), "PNG"))


@pytest.mark.parametrize("act", ENDS, ids=bytes.decode)
def test_what_kills_a_decoder_costs_one_request(decoders: Decoders, astronaut: bytes, act: bytes) -> None:
    expected = decoding.decode(astronaut, RULES, 1600)
    with ThreadPoolExecutor(6) as pool:
        others = [pool.submit(ask, decoders, astronaut) for _ in range(6)]
        bad = pool.submit(ask, decoders, MAGIC + act)
        others += [pool.submit(ask, decoders, astronaut) for _ in range(6)]
        assert type(bad.exception()) is ENDS[act]
        assert all(same(other.result(), expected) for other in others)
    assert same(ask(decoders, astronaut), expected)


def test_nothing_leaks_when_decoders_die(decoders: Decoders) -> None:
    def die() -> None:
        with pytest.raises(e.UndecodableImage):
            ask(decoders, MAGIC + b"abort")

    die()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        die()
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_callers_wait_for_a_free_decoder_only_so_long() -> None:
    few = Decoders(Settings(decode_processes=1, decode_cpu_s=60, deadline_s=0.5), hostile.decode)
    few.start()
    few.start()
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(ask, few, MAGIC + b"stopped") for _ in range(2)]
        kinds = {type(call.exception()) for call in calls}
    assert kinds <= {e.UpstreamOverloaded, e.UpstreamTimeout}


@pytest.mark.parametrize("problem", [OSError, EOFError, TimeoutError])
def test_decoders_that_cannot_be_started_are_started_later(
    problem: type[Exception], monkeypatch: pytest.MonkeyPatch, astronaut: bytes
) -> None:
    def fail(*_: object) -> None:
        raise problem

    made = Decoders(Settings(decode_processes=2, deadline_s=60))
    with monkeypatch.context() as patched:
        patched.setattr(pool, "_Decoder", fail)
        made.start()
        for _ in range(3):
            with pytest.raises(e.UpstreamUnavailable):
                ask(made, astronaut)
    assert same(ask(made, astronaut), decoding.decode(astronaut, RULES, 1600))


def test_no_decoder_outlives_the_gateway() -> None:
    program = """
import multiprocessing, time
from gateway.pictures.pool import Decoders
from gateway.settings import Settings
if __name__ == "__main__":
    decoders = Decoders(Settings(decode_processes=2))
    decoders.start()
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as gateway:
        assert gateway.stdout is not None
        numbers = [int(number) for number in gateway.stdout.readline().split()]
        children = [psutil.Process(number) for number in numbers]
        assert len(children) == 2
        for number in numbers:
            os.kill(number, signal.SIGTERM)  # to the whole group, while requests are still being answered
        time.sleep(0.1)
        assert all(child.is_running() for child in children)
        gateway.kill()
        assert psutil.wait_procs(children, timeout=20)[1] == []


def test_only_the_first_frame_is_looked_at() -> None:
    first, second = Image.new("RGB", (64, 48), "red"), Image.new("RGB", (64, 48), "blue")
    data = save(first, "GIF", save_all=True, append_images=[second] * 50)
    cut = data[: len(save(first, "GIF")) + 40]
    assert decoding.decode(cut, RULES, 1600).pixels[10, 10, 0] > 200


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_api_says_it_in_its_words(app: Flask, client: FlaskClient, analyzer: FakeAnalyzer, decoders: Decoders, route: Route) -> None:
    app.extensions[KEY] = replace(app.extensions[KEY], decoders=decoders)
    situations = {b"abort": "unreadable", b"spin": "unreadable", b"killed": "triton down"}
    for act, situation in situations.items():
        status, expected = route.errors[situation]
        answer = route.send(client, MAGIC + act, None)
        assert answer.status_code == status
        body = answer.get_json()
        assert {key: body[key] for key in expected} == expected


def test_v1_names_the_reason(app: Flask, client: FlaskClient, decoders: Decoders) -> None:
    app.extensions[KEY] = replace(app.extensions[KEY], decoders=decoders)
    said = {}
    for act in (b"abort", b"spin", b"killed"):
        answer = client.post("/v1/analyze", data=io.BytesIO(MAGIC + act), content_type="image/png")
        said[act] = (answer.status_code, answer.get_json()["code"])
    assert said == {b"abort": (422, "undecodable_image"), b"spin": (422, "image_too_complex"), b"killed": (503, "upstream_unavailable")}


def test_a_picture_with_thousands_of_scans_is_refused() -> None:
    """Before it costs anything: libjpeg passes over all 9 million pixels for each repetition of the last scan."""
    data = save(Image.new("RGB", (3000, 3000), "grey"), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    bomb = data[:last] + data[last:-2] * 2000 + data[-2:]
    assert len(bomb) < 20 * 2**20
    few = Decoders(Settings(decode_processes=1, decode_cpu_s=0.5, deadline_s=30.0))
    with pytest.raises(e.ImageTooComplex):
        ask(few, bomb)
    assert ask(few, data).width_px == 3000
