from __future__ import annotations

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from gateway.commands.main import main
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [("VULTUS_MAX_INFLIGHT", "VULTUS_MAX_IN_FLIGHT"), ("VULTUS_REQUIRE_KEY", "VULTUS_REQUIRE_KEYS"), ("vultus_key_url", "VULTUS_KEYS_URL")],
)
def test_a_misspelt_variable_is_refused_with_the_nearest_name(monkeypatch: pytest.MonkeyPatch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, "1")
    with pytest.raises(ValidationError, match=f"{name.upper()} is no setting; is {meant} meant"):
        Settings()


def test_a_variable_like_no_setting_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_XYZZY", "1")
    with pytest.raises(ValidationError, match="VULTUS_XYZZY is no setting"):
        Settings()


LINKS = ("PORT", "SERVICE_HOST", "SERVICE_PORT_HTTP", "PORT_8080_TCP_ADDR", "GATEWAY_SERVICE_HOST")


@pytest.mark.parametrize("name", ["URL", "KEY", "DEVICE", "VENV", *LINKS])
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"VULTUS_{name}", "tcp://10.0.0.1:80")
    Settings()


def test_the_command_line_says_it_in_a_message() -> None:
    result = CliRunner(env={"VULTUS_MODELS_REPOSITORY": "x"}).invoke(main, ["models"])
    assert result.exit_code == 2
    assert "is VULTUS_MODEL_REPOSITORY meant?" in result.stderr
