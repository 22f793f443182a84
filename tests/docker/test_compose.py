from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import check_jsonschema
import jsonschema
import pytest
import yaml

from gateway.settings import Settings
from tests.docker.image import instructions
from tests.served import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())
SCHEMA = json.loads((Path(check_jsonschema.__file__).parent / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_compose_specification_holds() -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(COMPOSE)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(SCHEMA).validate({**COMPOSE, "services": {"gateway": {"imagee": "x"}}})


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_profile_is_one_gateway_and_one_triton(profile: str) -> None:
    started = {name for name, service in SERVICES.items() if profile in service["profiles"]}
    assert started == {"gateway", f"triton-{profile}"}
    host, port = SERVICES["gateway"]["environment"]["VULTUS_TRITON"].split(":")
    triton = SERVICES[f"triton-{profile}"]
    assert host in triton["networks"]["back"]["aliases"]
    assert port in dict(instructions(ROOT / triton["build"]["dockerfile"]))["EXPOSE"].split()
    assert SERVICES["gateway"]["depends_on"][f"triton-{profile}"] == {"condition": "service_healthy", "required": False}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service(name: str) -> None:
    service = SERVICES[name]
    dockerfile = ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]
    assert dockerfile.exists()
    assert service["read_only"] is True
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])  # noqa: S108
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert re.fullmatch(rf"vultus-{name.split('-')[0]}:0\.1\.0(-cpu|-gpu)?", service["image"])


def test_settings_of_the_gateway_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    given = SERVICES["gateway"]["environment"]
    assert {name.removeprefix("VULTUS_").lower() for name in given if name.startswith("VULTUS_")} <= set(Settings.model_fields)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert Settings().require_keys is True


def test_only_this_machine_reaches_the_gateway_and_nobody_triton() -> None:
    assert SERVICES["gateway"]["ports"] == ["127.0.0.1:8080:8080"]
    assert all("ports" not in service for name, service in SERVICES.items() if name != "gateway")
    assert COMPOSE["networks"]["back"] == {"internal": True}
    assert all(set(service["networks"]) == {"back"} for name, service in SERVICES.items() if name != "gateway")


def test_what_the_gateway_keeps_outlives_it() -> None:
    volume, _, place = SERVICES["gateway"]["volumes"][0].partition(":")
    assert volume in COMPOSE["volumes"]
    assert dict(instructions(ROOT / "docker" / "gateway" / "Dockerfile"))["WORKDIR"] == place
