"""The gate in front of every analysis, by itself and in the application."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from numpy.typing import NDArray

from gateway import metrics
from gateway.apis.services import KEY
from gateway.app import create_app
from gateway.callers.keys import KeyStore
from gateway.deadline import CURRENT
from gateway.errors import Overloaded
from gateway.intake.gate import Gate
from gateway.pictures.fetch import Fetcher
from gateway.settings import Settings
from tests.conftest import FakeTriton
from tests.vendors.routes import ROUTES, Route


class SlowTriton(FakeTriton):
    """Works until `free` is set; says how many are inside."""

    def __init__(self) -> None:
        super().__init__()
        self.free, self.inside = threading.Event(), threading.Semaphore(0)
        self.left_s: list[float] = []

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        call = CURRENT.get()
        assert call is not None
        self.left_s.append(call.left_s)
        self.inside.release()
        assert self.free.wait(20)
        return super().infer(image, outputs)


@pytest.fixture
def slow() -> Iterator[SlowTriton]:
    triton = SlowTriton()
    yield triton
    triton.free.set()


@pytest.fixture
def full(slow: SlowTriton, tmp_path: Path, astronaut: bytes) -> Iterator[Flask]:
    """An application with one place at work, which is taken."""
    settings = Settings(
        keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"), max_in_flight=1, max_wait_s=0.05
    )
    app = create_app(settings, slow)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(app.test_client().post, "/v1/analyze", data=astronaut, content_type="image/jpeg")
        assert slow.inside.acquire(timeout=10)
        yield app
        slow.free.set()
        assert first.result(10).status_code == 200


def rejected(reason: str) -> float:
    return float(metrics.REJECTED.labels(reason)._value.get())


def test_no_more_are_present_than_allowed() -> None:
    gate, before = Gate(1, 2, 0), rejected("full")
    with gate.present(), gate.present(), pytest.raises(Overloaded) as refusal, gate.present():
        pass
    assert refusal.value.retry_after_s == 1
    assert rejected("full") == before + 1
    with gate.present(), gate.present():
        pass


def test_no_more_work_than_allowed_and_the_wait_is_short() -> None:
    gate, before = Gate(1, 9, 0.05), rejected("wait")
    with gate.working():
        assert metrics.IN_FLIGHT._value.get() == 1
        with pytest.raises(Overloaded), gate.working():
            pass
    assert rejected("wait") == before + 1
    assert metrics.IN_FLIGHT._value.get() == 0
    with gate.working():
        pass


def test_who_waits_gets_the_place_that_comes_free() -> None:
    gate = Gate(1, 9, 10)
    entered = threading.Event()

    def second() -> None:
        with gate.working():
            entered.set()

    with gate.working():
        thread = threading.Thread(target=second)
        thread.start()
        assert not entered.wait(0.1)
    assert entered.wait(5)
    thread.join()


@pytest.mark.parametrize("route", ROUTES, ids=str)
def test_every_api_refuses_in_its_own_words(full: Flask, route: Route) -> None:
    client = full.test_client()
    answer = route.send(client, b"any bytes: nobody looks at them", None)
    status, body = route.errors["triton busy"]
    assert answer.status_code == status
    assert answer.json is not None
    assert {key: answer.json[key] for key in body} == body
    assert int(answer.headers["Retry-After"]) >= 1


def test_v1_says_overloaded(full: Flask) -> None:
    answer = full.test_client().post("/v1/analyze", data=b"any", content_type="image/jpeg")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["code"] == "overloaded"
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/attributes", "/", "/openapi.json"])
def test_nothing_else_is_refused(full: Flask, path: str) -> None:
    with full.test_client().get(path) as answer:
        assert answer.status_code == 200
        if path == "/metrics":
            assert b"vultus_in_flight_requests 1.0" in answer.data


def test_all_that_is_posted_passes_the_gate(app: Flask) -> None:
    """An analysis under another method would pass by: there is none."""
    posting = {rule.rule for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    assert posting == {"/v1/analyze", "/v1/redact", "/v1/draw", *(route.path for route in ROUTES)}


def test_a_place_comes_free_after_every_kind_of_end(client: FlaskClient, triton: FakeTriton, astronaut: bytes) -> None:
    for _ in range(20):
        assert client.post("/v1/analyze", data=b"junk", content_type="image/jpeg").status_code == 415
        assert client.post("/v1/analyze", data=bytes(2**19), content_type="image/jpeg").status_code == 413
        assert client.post("/v1/analyze?x=1", data=b"").status_code == 400
    assert client.post("/v1/analyze", data=astronaut, content_type="image/jpeg").status_code == 200
    assert metrics.IN_FLIGHT._value.get() == 0
    assert CURRENT.get() is None


@pytest.mark.parametrize(("asked", "longest"), [(None, 9.0), ("2.5", 2.5), ("1000", 9.0), ("inf", 9.0)])
def test_a_caller_may_ask_for_less_time(slow: SlowTriton, tmp_path: Path, astronaut: bytes, asked: str | None, longest: float) -> None:
    slow.free.set()
    settings = Settings(keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"))
    app = create_app(settings, slow)  # type: ignore[arg-type]
    headers = {} if asked is None else {"X-Timeout-Seconds": asked}
    assert app.test_client().post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers=headers).status_code == 200
    (left,) = slow.left_s
    assert longest - 2 < left <= longest


@pytest.mark.parametrize("asked", ["0", "-1", "nan", "soon", ""])
def test_a_time_that_is_none_is_refused(client: FlaskClient, astronaut: bytes, asked: str) -> None:
    answer = client.post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers={"X-Timeout-Seconds": asked})
    assert (answer.status_code, answer.json and answer.json["code"]) == (400, "invalid_parameter")


def test_a_slow_upload_holds_no_place_at_work(tmp_path: Path, triton: FakeTriton, astronaut: bytes) -> None:
    settings = Settings(keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"), max_in_flight=1)
    app = create_app(settings, triton)  # type: ignore[arg-type]
    reading, go_on = threading.Event(), threading.Event()

    class SlowBody(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            reading.set()
            assert go_on.wait(10)
            return super().readinto(buffer)

    with ThreadPoolExecutor(1) as pool:
        upload = pool.submit(
            app.test_client().post,
            "/v1/analyze",
            input_stream=SlowBody(astronaut),
            content_length=len(astronaut),
            content_type="image/jpeg",
        )
        assert reading.wait(5)
        assert app.test_client().post("/v1/analyze", data=astronaut, content_type="image/jpeg").status_code == 200
        go_on.set()
        assert upload.result(10).status_code == 200


def test_what_is_refused_is_read(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that closes a connection with unread bytes resets it, and the caller never sees the 503."""

    def refuse(_: Gate) -> None:
        raise Overloaded(retry_after_s=1)

    monkeypatch.setattr(Gate, "present", refuse)
    body = io.BytesIO(bytes(50_000))
    answer = app.test_client().post("/v1/analyze", input_stream=body, content_length=50_000, content_type="image/jpeg")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert body.tell() == 50_000


@pytest.mark.parametrize("path", ["/v1/analyze", "/images/face-analysis"])
def test_downloads_take_no_place_at_work(path: str, tmp_path: Path, astronaut: bytes) -> None:
    """One key asks for more slow addresses than there are places: those beyond its share are refused, and others are answered at once."""
    keys = KeyStore(f"sqlite:///{tmp_path / 'keys.sqlite'}")
    slow, other = keys.create("vultus", "slow"), keys.create("vultus", "other")
    pair = keys.create("scaleflex", "slow", pair=True)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:  # accepts, never answers
        port = silent.getsockname()[1]
        settings = Settings(
            keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"), decode_processes=0,
            max_in_flight=2, max_wait_s=1, fetch_urls=True, fetch_ports=(port,), fetch_networks=("127.0.0.1/32",), fetch_timeout_s=3,
        )  # fmt: skip
        app = create_app(settings, FakeTriton())  # type: ignore[arg-type]
        headers = {"X-API-Key": slow.secret, "Filerobot-Key": pair.secret, "Filerobot-Token": pair.key.identifier}

        def fetch(_: int) -> int:
            return app.test_client().post(path, json={"url": f"http://127.0.0.1:{port}/a.jpg"}, headers=headers).status_code

        with ThreadPoolExecutor(10) as pool:
            slow_calls = [pool.submit(fetch, number) for number in range(10)]
            wait(slow_calls, 10, FIRST_COMPLETED)  # refused: its share is taken
            began_s = time.monotonic()
            answer = app.test_client().post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers={"X-API-Key": other.secret})
            took_s = time.monotonic() - began_s
            statuses = sorted(call.result() for call in slow_calls)
    assert answer.status_code == 200
    assert took_s < 2
    assert statuses == [400] * 4 + [429] * 6


def test_a_fetched_picture_needs_a_place_at_work(slow: SlowTriton, tmp_path: Path, astronaut: bytes) -> None:
    """The one that its call gave back has been taken meanwhile."""
    settings = Settings(
        keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"), max_in_flight=1, max_wait_s=0.05
    )
    app = create_app(settings, slow)  # type: ignore[arg-type]
    web = Web(settings, astronaut)
    app.extensions[KEY] = replace(app.extensions[KEY], fetcher=web)
    with ThreadPoolExecutor(2) as pool:
        by_url = pool.submit(app.test_client().post, "/v1/analyze", json={"url": "https://pictures.test/a.jpg"})
        assert web.asked.wait(10)
        upload = pool.submit(app.test_client().post, "/v1/analyze", data=astronaut, content_type="image/jpeg")
        assert slow.inside.acquire(timeout=10)
        web.answers.set()
        assert by_url.result(10).status_code == 503
        slow.free.set()
        assert upload.result(10).status_code == 200
    again = app.test_client().post("/v1/analyze", json={"url": "https://pictures.test/a.jpg"})
    assert again.status_code == 200


class Web(Fetcher):
    """Answers when it is told to."""

    def __init__(self, settings: Settings, picture: bytes) -> None:
        super().__init__(settings)
        self.asked, self.answers, self._picture = threading.Event(), threading.Event(), picture

    def fetch(self, url: str) -> bytes:
        self.asked.set()
        assert self.answers.wait(20)
        return self._picture
