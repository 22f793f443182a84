from __future__ import annotations

import tomllib

from tests.served import ROOT


def test_every_package_is_installed() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    moved = {folder: name for name, folder in told["package-dir"].items()}
    folders = [path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("gateway/**/__init__.py")]
    assert sorted(told["packages"]) == sorted(moved.get(folder, folder.replace("/", ".")) for folder in folders)


def test_migrations_are_installed() -> None:
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["gateway"]
    installed = {file for pattern in patterns for file in (ROOT / "gateway").glob(pattern)}
    assert set((ROOT / "gateway" / "callers" / "migrations").rglob("*.py")) <= installed
