"""When a request is sent again, against a server that really answers so."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import vultus
from tests.client.conftest import Asking, Script
from tests.conftest import PICTURES
from vultus.answer import retry_after_s

PHOTO = PICTURES / "astronaut.jpg"
GOOD = json.dumps(
    {
        "request_id": "r",
        "image": {"width": 2, "height": 3},
        "faces": [],
        "models": {},
        "timings_ms": {"decode": 1, "inference": 2, "render": 3},
        "something new": True,
    }
).encode()


def problem(status: int, code: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    body = {"type": "t", "title": "A title.", "status": status, "code": code, "request_id": "r1", "hint": "a field of tomorrow"}
    return status, headers, json.dumps(body).encode()


def test_busy_then_answered(ask: Asking, script: Script) -> None:
    script.answers = [problem(503, "upstream_overloaded", **{"Retry-After": "1"}), (200, {}, GOOD)]
    assert ask(script.url, "analyze", PHOTO).image.height == 3
    assert script.bodies == [PHOTO.read_bytes()] * 2
    assert script.moments_s[1] - script.moments_s[0] >= 1


def test_a_proxy_without_service_is_tried_again(ask: Asking, script: Script) -> None:
    script.answers = [(503, {"Content-Type": "text/html"}, b"<html>"), (200, {}, GOOD)]
    assert ask(script.url, "analyze", PHOTO).faces == []
    assert len(script.bodies) == 2


def test_a_file_is_sent_again_from_where_it_stood(ask: Asking, script: Script, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    script.answers = [problem(503, "upstream_overloaded"), (200, {}, GOOD)]
    with (tmp_path / "a").open("rb") as file:
        file.seek(4)
        ask(script.url, "analyze", file)
    assert script.bodies == [b"456789"] * 2


def test_giving_up(ask: Asking, script: Script) -> None:
    script.answers = [problem(503, "upstream_unavailable")]
    with pytest.raises(vultus.ServiceUnavailable):
        ask(script.url, "analyze", PHOTO, options={"retries": 2})
    assert len(script.bodies) == 3


@pytest.mark.parametrize(
    "answer",
    [
        problem(429, "rate_limited", **{"Retry-After": "0"}),
        problem(400, "missing_image"),
        problem(401, "key_missing"),
        problem(500, "internal_error"),
        problem(504, "upstream_timeout"),
        problem(503, "upstream_unavailable", **{"Retry-After": "3600"}),
        (502, {}, b"bad gateway"),
        (301, {"Location": "https://elsewhere.example/"}, b""),
        None,
    ],
    ids=lambda answer: str(answer[0]) if answer else "closed",
)
def test_what_is_not_tried_again(ask: Asking, script: Script, answer: Any) -> None:
    script.answers = [answer]
    with pytest.raises(vultus.VultusError) as failed:
        ask(script.url, "analyze", PHOTO)
    assert len(script.bodies) == 1
    assert isinstance(failed.value, vultus.ConnectionBroken) == (answer is None)


def test_attributes_are_asked_for_again_but_readiness_is_not(ask: Asking, script: Script) -> None:
    script.answers = [problem(503, "upstream_unavailable"), (200, {}, b'{"attributes": []}')]
    assert ask(script.url, "attributes") == []
    script.answers = [(503, {}, b'{"status": "unavailable"}')]
    assert ask(script.url, "ready") is False
    assert len(script.bodies) == 3


def test_nothing_listens(ask: Asking) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(vultus.Unreachable, match=url):
            ask(url, "analyze", PHOTO, options={"retries": 1})


def test_connections_are_tried_again(script: Script) -> None:
    tried = []

    def refuse(request: httpx.Request) -> httpx.Response:
        tried.append(request)
        if len(tried) < 3:
            raise httpx.ConnectError("refused", request=request)
        return httpx.Response(200, content=GOOD)

    with vultus.Client("http://vultus.example", transport=httpx.MockTransport(refuse)) as client:
        assert client.analyze(PHOTO).faces == []
    assert len(tried) == 3


def test_too_slow(ask: Asking, script: Script) -> None:
    script.answers = [(200, {}, GOOD)]
    script.pause.clear()
    with pytest.raises(vultus.TimedOut):
        ask(script.url, "analyze", PHOTO, options={"timeout_s": 0.3})
    assert len(script.moments_s) == 1


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b'{"faces": []}', b"\xff\xfe"])
def test_another_program_answers(ask: Asking, script: Script, body: bytes) -> None:
    for status in (200, 404):
        script.answers = [(status, {}, body)]
        with pytest.raises(vultus.UnexpectedAnswer) as failed:
            ask(script.url, "analyze", PHOTO)
        assert failed.value.status == status


def test_a_service_under_a_path(ask: Asking, script: Script) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.raw_path)
        return httpx.Response(200, content=GOOD)

    ask("http://vultus.example/face", "analyze", b"x", attributes=["age"], options={"transport": httpx.MockTransport(answer)})
    assert asked == [b"/face/v1/analyze?attributes=age"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("7", 7), ("Wed, 21 Oct 2026 07:28:10 GMT", 10), ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("soon", None), ("-3", None), ("", None)],
)
def test_both_forms_of_retry_after(text: str, seconds: float | None) -> None:
    response = httpx.Response(503, headers={"Retry-After": text} if text else {})
    assert retry_after_s(response, datetime(2026, 10, 21, 7, 28, tzinfo=UTC)) == seconds
