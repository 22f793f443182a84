"""One command clones what a recipe reads, and leaves alone what is there."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from scripts.train import clones
from scripts.train.repositories import Sources


def published(server: Path, repository: str) -> None:
    """A repository with one file on a "server", which is a folder."""
    place = server / repository
    place.mkdir(parents=True)
    (place / "face.txt").write_text(repository)
    git = ["git", "-C", str(place), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "init", "--quiet", str(place)], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "--quiet", "-m", "faces"], check=True)


def test_what_a_recipe_needs_is_cloned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    server, here = tmp_path / "server", tmp_path / "clones"
    for repository in clones.RECIPES["quality"]:
        published(server, repository)
    arguments = ["clones", "--clones", str(here), "--manifests", str(tmp_path), "--server", str(server), "quality"]
    monkeypatch.setattr("sys.argv", arguments)
    clones.main()
    sources = Sources(here, tmp_path, tmp_path, tmp_path)
    for repository in clones.RECIPES["quality"]:
        (blob,) = sources.tree(repository, "face.txt").values()
        assert next(sources.blobs(repository, [blob])) == repository.encode()
    assert capsys.readouterr().out.count("cloning") == len(clones.RECIPES["quality"])
    clones.main()
    assert capsys.readouterr().out == ""


def test_manifests_name_repositories_too(tmp_path: Path) -> None:
    (tmp_path / "liveness_replay.csv").write_text("repo,blob\nsomebody/replays,1\nsomebody/replays,2\n")
    assert clones.needed(["liveness"], tmp_path) == [*clones.RECIPES["liveness"], "somebody/replays"]
    with pytest.raises(FileNotFoundError):
        clones.needed(["wild"], tmp_path)
