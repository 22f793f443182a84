from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result
from flask import Flask

from gateway.commands.main import main
from tests.in_process import listening


@pytest.fixture
def service(app: Flask) -> Iterator[str]:
    with listening(app) as base:
        yield base


@pytest.fixture
def vultus(service: str) -> Callable[..., Result]:
    """The command line, which finds the service by itself."""

    def run(*arguments: object) -> Result:
        return CliRunner(env={"VULTUS_URL": service}).invoke(main, [str(argument) for argument in arguments])

    return run
