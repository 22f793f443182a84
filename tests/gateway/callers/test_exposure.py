from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.callers.exposure import only_here, refusal
from gateway.callers.keys import KeyStore
from gateway.server import gunicorn_config
from gateway.settings import Settings


def settings(folder: Path, **more: bool) -> Settings:
    return Settings(keys_url=f"sqlite:///{folder / 'keys.sqlite'}", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_may_go_without_keys(host: str, tmp_path: Path) -> None:
    assert only_here(host)
    assert refusal([host], settings(tmp_path)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])  # noqa: S104
def test_others_may_not(host: str, tmp_path: Path) -> None:
    assert not only_here(host)
    said = refusal(["127.0.0.1", host], settings(tmp_path))
    assert said is not None
    assert host in said
    assert not (tmp_path / "keys.sqlite").exists(), "asking makes no database"


def test_unless_they_need_a_key_or_it_is_wanted(tmp_path: Path) -> None:
    assert refusal(["10.0.0.7"], settings(tmp_path, require_keys=True)) is None
    assert refusal(["10.0.0.7"], settings(tmp_path, insecure_open=True)) is None
    assert refusal(["10.0.0.7"], settings(tmp_path, require_keys=False)) is not None
    KeyStore(settings(tmp_path).keys_url).create("vultus", "somebody")
    assert refusal(["10.0.0.7"], settings(tmp_path)) is None
    assert refusal(["10.0.0.7"], settings(tmp_path, require_keys=False)) is not None


def test_a_database_that_does_not_answer_refuses(tmp_path: Path) -> None:
    (tmp_path / "keys.sqlite").write_bytes(b"no database, but a file of that name" * 100)
    said = refusal(["10.0.0.7"], settings(tmp_path))
    assert said is not None
    assert "cannot be told" in said


@pytest.mark.parametrize(("address", "starts"), [(("127.0.0.1", 8080), True), (("0.0.0.0", 8080), False), ("/run/vultus.sock", True)])  # noqa: S104
def test_gunicorn_itself_refuses(
    address: object, starts: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("VULTUS_KEYS_URL", f"sqlite:///{tmp_path / 'keys.sqlite'}")
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)
    server = SimpleNamespace(cfg=SimpleNamespace(address=[address]), log=logging.getLogger("server"))
    if starts:
        gunicorn_config.on_starting(server)
        return
    with pytest.raises(SystemExit):
        gunicorn_config.on_starting(server)
    assert "VULTUS_INSECURE_OPEN" in caplog.text


def test_counts_of_an_earlier_life_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "metrics"
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(folder))
    server = SimpleNamespace(cfg=SimpleNamespace(address=[("127.0.0.1", 1)]), log=logging.getLogger("server"))
    gunicorn_config.on_starting(server)
    (folder / "counter_7.db").write_bytes(b"old")
    (folder / "README").write_text("not ours")
    gunicorn_config.on_starting(server)
    assert [path.name for path in folder.iterdir()] == ["README"]
