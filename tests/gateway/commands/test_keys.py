"""Keys that the command issues are those that the service asks for, wherever either was started."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway import settings
from gateway.callers.keys import KeyStore
from gateway.commands.main import main
from gateway.settings import CLONE, Settings


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VULTUS_KEYS_URL", "VULTUS_PICTURES_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VULTUS_DATA", str(tmp_path / "deep" / "data"))
    return tmp_path / "deep" / "data"


def test_one_database_from_every_folder(data: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two"), 1):
        (folder := tmp_path / name).mkdir()
        command = [sys.executable, "-m", "gateway.commands.main", "keys", "create", "vultus", name]
        said = subprocess.run(
            command, cwd=folder, env={**os.environ, "PYTHONPATH": str(CLONE)}, capture_output=True, text=True, check=True
        ).stdout
        assert f"database   sqlite:///{data}/keys.sqlite\n" in said
        assert list(folder.iterdir()) == []
        assert len(KeyStore(Settings().keys_url).keys()) == number


def test_the_list_has_a_head_and_says_that_it_is_empty(data: Path) -> None:
    assert CliRunner().invoke(main, ["keys", "list"]).stdout == (
        f"There is no key in sqlite:///{data}/keys.sqlite. `vultus keys create vultus LABEL` makes one.\n"
    )
    CliRunner().invoke(main, ["keys", "create", "vultus", "web shop", "--rate", "5"])
    head, line = CliRunner().invoke(main, ["keys", "list"]).stdout.splitlines()
    assert head.split() == ["number", "api", "state", "quota", "rate", "identifier", "label"]
    assert [line[head.index(name) :].split("  ")[0] for name in ("api", "state", "quota", "rate", "label")] == [
        "vultus", "active", "unlimited", "5/s", "web shop",
    ]  # fmt: skip
    assert line.split()[0] == "1"


def test_keys_are_for_their_owner_only(data: Path) -> None:
    before = os.umask(0)
    try:
        assert CliRunner().invoke(main, ["keys", "create", "vultus", "me"]).exit_code == 0
    finally:
        os.umask(before)
    assert mode(data) == mode(data.parent) == 0o700
    assert {path.name: mode(path) for path in data.glob("keys.sqlite*")}.items() >= {("keys.sqlite", 0o600)}
    assert {mode(path) for path in data.iterdir()} == {0o600}


def test_the_default_is_no_matter_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VULTUS_KEYS_URL", "VULTUS_PICTURES_URL", "VULTUS_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(settings, "OLD_KEYS", tmp_path / "none")
    here = Settings()
    monkeypatch.chdir(tmp_path)
    assert Settings() == here
    assert here.keys_url == f"sqlite:///{CLONE}/vultus-data/keys.sqlite"
    assert here.pictures_url == f"{CLONE}/vultus-data/pictures"


def test_keys_from_before_stay_needed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an earlier version lie in the clone itself."""
    old = tmp_path / "vultus-keys.sqlite"
    monkeypatch.setattr(settings, "OLD_KEYS", old)
    KeyStore(f"sqlite:///{old}").create("vultus", "somebody")
    assert KeyStore(Settings().keys_url).any()


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///mine.sqlite", "sqlite:///{data}/mine.sqlite"),
        ("sqlite+pysqlite:///a/b.sqlite", "sqlite+pysqlite:///{data}/a/b.sqlite"),
        ("sqlite:////var/lib/x.sqlite", "sqlite:////var/lib/x.sqlite"),
        ("sqlite://", "sqlite://"),
        ("postgresql+psycopg://u:p@db/vultus", "postgresql+psycopg://u:p@db/vultus"),
    ],
)
def test_relative_places_are_in_the_data_folder(data: Path, url: str, path: str) -> None:
    assert Settings(keys_url=url).keys_url == path.format(data=data)


def test_a_password_is_not_printed() -> None:
    assert KeyStore("postgresql+psycopg://u:secret@db/vultus").place == "postgresql+psycopg://u:***@db/vultus"


def test_a_folder_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_DATA", "/proc/none")
    monkeypatch.delenv("VULTUS_KEYS_URL", raising=False)
    result = CliRunner().invoke(main, ["keys", "create", "vultus", "me"])
    assert result.exit_code == 1
    assert "/proc/none/keys.sqlite cannot be written" in result.stderr
