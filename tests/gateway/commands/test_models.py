from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.commands.main import main
from gateway.settings import REPOSITORY

NAMES = sorted(path.parent.name for path in REPOSITORY.glob("*/model.toml"))


def run(*arguments: str, **environment: str) -> str:
    result = CliRunner(env=environment).invoke(main, ["models", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_table_tells_of_every_model() -> None:
    words = " ".join(run().replace("│", " ").split())
    assert NAMES
    assert all(name in words for name in NAMES)
    age = json.loads((REPOSITORY / "face_demographics" / "results.json").read_text())["AGE"]
    assert f"[{age['all']['low']:.2f}, {age['all']['high']:.2f}]" in words


def test_json_holds_every_figure() -> None:
    facts = {fact["model"]: fact for fact in json.loads(run("--json"))}
    assert sorted(facts) == NAMES
    for name, fact in facts.items():
        results = REPOSITORY / name / "results.json"
        assert fact["measured"] == (json.loads(results.read_text()) if results.exists() else {})
        assert fact["bytes"] == (REPOSITORY / name / "1" / "model.onnx").stat().st_size
        assert fact["licence"]["summary"]
        assert fact["training"]["data"]


@pytest.mark.parametrize("name", sorted(path.parent.name for path in REPOSITORY.glob("*/CARD.md")))
def test_cards(name: str) -> None:
    text = run("--card", name)
    assert text.startswith(f"# {name} ")
    assert (REPOSITORY / name / "CARD.md").read_text().endswith(text)


def test_an_unknown_card() -> None:
    result = CliRunner().invoke(main, ["models", "--card", "face_shoes"])
    assert result.exit_code == 2
    assert "face_detector" in result.stderr


def test_no_repository(tmp_path: Path) -> None:
    result = CliRunner(env={"VULTUS_MODEL_REPOSITORY": str(tmp_path)}).invoke(main, ["models"])
    assert result.exit_code == 1
    assert "VULTUS_MODEL_REPOSITORY" in result.stderr
    assert "Traceback" not in result.output
