from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from gateway.settings import Settings
from scripts.documentation.tables import settings
from scripts.model_cards import SETTINGS
from scripts.serving import _parser
from tests.served import ROOT, Served

README = (ROOT / "README.md").read_text()
CLIENT = (ROOT / "docs" / "pages" / "client.md").read_text()


def blocks(kind: str, text: str = README) -> list[str]:
    return [block for marked, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.S | re.M) if marked == kind]


def without_what_varies(answer: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in answer.items() if key not in ("request_id", "timings_ms")}
    return kept | {"timings_ms": sorted(answer["timings_ms"])}


def test_the_curl_gives_the_printed_json(served: Served) -> None:
    (curl,) = [block for block in blocks("") if block.startswith("curl")]
    command = shlex.split(curl.replace("http://127.0.0.1:8080", served.base))
    answer = json.loads(subprocess.run([*command, "-s"], capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    (printed,) = blocks("json")
    close(without_what_varies(json.loads(printed)), without_what_varies(answer))


def run(command: str, served: Served, folder: Path) -> subprocess.CompletedProcess[str]:
    """As typed in this environment; what it writes lands in `folder`, from where the test pictures are seen as from the repository."""
    if not (folder / "tests").exists():
        (folder / "tests").symlink_to(ROOT / "tests")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "VULTUS_URL": served.base, "PYTHONPATH": str(ROOT)}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line(served: Served, tmp_path: Path) -> None:
    (block,) = [block for block in blocks("", CLIENT) if block.startswith("vultus analyze tests")]
    table, lines, _, card, doctor = [run(command, served, tmp_path) for command in block.splitlines()]
    assert (table.returncode, lines.returncode, card.returncode) == (0, 0, 0), table.stderr + lines.stderr
    assert "astronaut.jpg" in table.stdout
    assert json.loads(lines.stdout)["faces"][0]["emotion"]["dominant"] == "happy"
    (row,) = csv.DictReader((tmp_path / "faces.csv").read_text().splitlines())
    assert (row["gender"], row["error"]) == ("female", "")
    assert [path.name for path in (tmp_path / "marked").iterdir()] == ["astronaut.png"]
    assert card.stdout.startswith("# face_demographics")
    # Other programs may have the usual ports of this machine, which it then says.
    assert re.search(r"^ok +analysis +found the face of astronaut.jpg by the service", doctor.stdout, re.M), doctor.stdout
    assert re.search(r"^ok +service", doctor.stdout, re.M)


def test_the_python_client(served: Served, tmp_path: Path) -> None:
    program = blocks("python", CLIENT)[0]
    program = program.replace("http://127.0.0.1:8080", served.base)
    done = run(f"python -c {shlex.quote(program)}", served, tmp_path)
    x1, age, yaw = map(float, done.stdout.split())
    printed = json.loads(blocks("json")[0])["faces"][0]
    assert abs(x1 - printed["box"]["x1"]) < 3, done.stderr
    assert 20 < age < 70
    assert -30 < yaw < 30


def close(printed: Any, actual: Any) -> None:
    """Same structure and text; numbers may differ by little: processors with and without AVX-512 say 35.6 and 35.9 for the age."""
    if isinstance(printed, dict):
        assert list(printed) == list(actual)
        for key in printed:
            close(printed[key], actual[key])
    elif isinstance(printed, list):
        assert len(printed) == len(actual)
        for one, other in zip(printed, actual, strict=True):
            close(one, other)
    elif isinstance(printed, float):
        last_place = 10.0 ** -len(str(printed).partition(".")[2])
        assert abs(printed - actual) <= 0.02 + 1.01 * last_place + 0.015 * abs(printed)
    else:
        assert printed == actual


def test_every_setting_is_on_its_page() -> None:
    assert "](settings.md)" in (ROOT / "docs/pages/operations.md").read_text()
    rows = re.findall(r"^\| `VULTUS_([A-Z_]+)` \|", (ROOT / "docs/pages/settings.md").read_text(), re.M)
    assert rows == [name.upper() for name in Settings.model_fields]
    assert (ROOT / "docs/pages/settings.md").read_text() == SETTINGS + settings() + "\n"


def test_the_first_two_screens_are_all_of_it() -> None:
    """Of 50 lines each, as a browser breaks them at 140 characters, without the picture."""
    assert sum(max(1, -(-len(line) // 140)) for line in README.splitlines()) <= 100


def test_links_lead_somewhere() -> None:
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path


def test_every_option_of_serve_is_documented() -> None:
    options = {option for action in _parser()._actions for option in action.option_strings if option.startswith("--")}
    page = (ROOT / "docs" / "pages" / "operations.md").read_text()
    undocumented = {option for option in options if f"`{option}" not in page}
    assert undocumented <= {"--help", "--verbose", "--model-repository", "--listener"}


def test_paths_in_the_readme_exist() -> None:
    for path in re.findall(r"`((?:scripts|tests|gateway|model_repository|docker)/[\w./-]+)`", README):
        assert (ROOT / path).exists(), path
