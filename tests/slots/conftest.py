from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.commands.main import main

Vultus = Callable[..., Result]


@pytest.fixture
def vultus(tmp_path: Path) -> Vultus:
    """`vultus models ...` with a folder of data of its own."""

    def call(*arguments: str) -> Result:
        return CliRunner(env={"VULTUS_DATA": str(tmp_path / "data")}).invoke(main, ["models", *arguments])

    return call
