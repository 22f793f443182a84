from __future__ import annotations

import json
import re
import shlex
import subprocess
from typing import Any

from gateway.settings import Settings
from scripts.serving import _parser
from tests.served import ROOT, Served

README = (ROOT / "README.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", README, re.S | re.M)


def without_what_varies(answer: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in answer.items() if key not in ("request_id", "timings_ms")}
    return kept | {"timings_ms": sorted(answer["timings_ms"])}


def test_the_curl_gives_the_printed_json(served: Served) -> None:
    (curl,) = [block for block in blocks("") if block.startswith("curl")]
    command = shlex.split(curl.replace("http://127.0.0.1:8080", served.base))
    answer = json.loads(subprocess.run([*command, "-s"], capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    (printed,) = blocks("json")
    close(without_what_varies(json.loads(printed)), without_what_varies(answer))


def close(printed: Any, actual: Any) -> None:
    """Same structure and text; numbers may differ in the last place, because processors round differently."""
    if isinstance(printed, dict):
        assert list(printed) == list(actual)
        for key in printed:
            close(printed[key], actual[key])
    elif isinstance(printed, list):
        assert len(printed) == len(actual)
        for one, other in zip(printed, actual, strict=True):
            close(one, other)
    elif isinstance(printed, float):
        assert abs(printed - actual) <= 0.02 + 0.002 * abs(printed)
    else:
        assert printed == actual


def test_every_setting_is_in_the_readme() -> None:
    rows = re.findall(r"^\| (`[A-Z_`, ]+`) \|", README, re.M)
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_option_of_serve_is_in_the_readme() -> None:
    options = {option for action in _parser()._actions for option in action.option_strings if option.startswith("--")}
    undocumented = {option for option in options if f"`{option}" not in README}
    assert undocumented <= {"--help", "--verbose", "--model-repository", "--triton-host"}


def test_paths_in_the_readme_exist() -> None:
    for path in re.findall(r"`((?:scripts|tests|gateway|model_repository|docker)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path
