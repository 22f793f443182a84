"""Writes the JSON of README.md anew, as a running service answers the printed curl: `python -m scripts.documentation.sample [URL]`."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import Any

from scripts.documentation.repository import ROOT

DEFAULT_URL = "http://127.0.0.1:8080"
CURL = re.compile(r"^curl -F .*$", re.M)
PRINTED = re.compile(r"(?<=^```json\n).*?(?=^```$)", re.S | re.M)
LONGEST = 190


def main(url: str = DEFAULT_URL) -> None:
    """Change README.md. Raises CalledProcessError where no service answers."""
    path = ROOT / "README.md"
    text = path.read_text()
    (curl,) = CURL.findall(text)
    command = [*shlex.split(curl.replace(DEFAULT_URL, url)), "-sS", "--fail"]
    answer = json.loads(subprocess.run(command, capture_output=True, check=True, text=True, cwd=ROOT).stdout)
    path.write_text(PRINTED.sub(lambda _: written(answer) + "\n", text, count=1))


def written(value: Any, indent: str = "") -> str:
    """JSON in which what fits into a line stays in one, but for the outermost."""
    inner = indent + " "
    if not isinstance(value, dict | list) or not value:
        return json.dumps(value)
    short = json.dumps(value)
    if indent and len(short) < LONGEST and not (isinstance(value, list) and isinstance(value[0], dict)):
        return re.sub(r"(?<=\{)(?=.)|(?<=.)(?=\})", " ", short)
    pairs = [(f"{json.dumps(name)}: ", item) for name, item in value.items()] if isinstance(value, dict) else [("", item) for item in value]
    lines = ",\n".join(f"{inner}{name}{written(item, inner)}" for name, item in pairs)
    opened, closed = "[]" if isinstance(value, list) else "{}"
    return f"{opened}\n{lines}\n{indent}{closed}"


if __name__ == "__main__":
    main(*sys.argv[1:])
