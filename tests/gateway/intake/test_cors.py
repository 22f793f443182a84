from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient

from gateway.app import create_app
from gateway.settings import Settings
from tests.conftest import FakeTriton

ORIGIN = "https://page.example"
ALLOWED = "Access-Control-Allow-Origin"


def client_of(tmp_path: Path, origins: str) -> FlaskClient:
    where = {"keys_url": f"sqlite:///{tmp_path / 'keys.sqlite'}", "pictures_url": str(tmp_path / "pictures")}
    return create_app(Settings(cors_origins=origins, decode_processes=0, **where), FakeTriton()).test_client()  # type: ignore[arg-type]


def preflight(client: FlaskClient, path: str = "/v1/analyze", origin: str = ORIGIN) -> dict[str, str]:
    answer = client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
    return dict(answer.headers)


def test_off_by_default(tmp_path: Path) -> None:
    client = client_of(tmp_path, "")
    assert ALLOWED not in preflight(client)
    assert ALLOWED not in client.get("/v1/attributes", headers={"Origin": ORIGIN}).headers


@pytest.mark.parametrize(("origins", "said"), [(f"https://other.example, {ORIGIN}/", ORIGIN), ("*", "*")])
def test_a_page_that_may_call(tmp_path: Path, astronaut: bytes, origins: str, said: str) -> None:
    client = client_of(tmp_path, origins)
    asked = preflight(client)
    assert asked[ALLOWED] == said
    assert "POST" in asked["Access-Control-Allow-Methods"]
    assert {"Content-Type", "X-API-Key"} <= set(asked["Access-Control-Allow-Headers"].split(", "))
    for body in (astronaut, b"no image"):  # errors are readable as well
        answer = client.post("/v1/analyze", data=body, content_type="image/jpeg", headers={"Origin": ORIGIN})
        assert answer.headers[ALLOWED] == said
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert ("Origin" in answer.headers.get("Vary", "")) == (said != "*")


def test_others_may_not(tmp_path: Path) -> None:
    client = client_of(tmp_path, ORIGIN)
    assert ALLOWED not in preflight(client, origin="https://evil.example")
    assert ALLOWED not in preflight(client, "/images/face-analysis")
    assert ALLOWED not in client.get("/metrics", headers={"Origin": ORIGIN}).headers
