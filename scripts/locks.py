"""Pins what the images and the commands here install, with hashes, for every platform: `python -m scripts.locks` (with --check in CI).

The requirements are those of pyproject.toml. Everything is resolved together once, in scripts/requirements/embedded-dev.txt; the other
files take their versions from it, so images run what was tested and what scripts/serve runs.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IMAGE = ("s3", "heif", "postgres", "redis", "tracing")
ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"  # that of the images, and the oldest that scripts/environment.py takes


@dataclass(frozen=True, slots=True)
class Lock:
    """A file of pins and the parts of pyproject.toml that it must satisfy."""

    path: Path
    base: bool
    extras: tuple[str, ...]

    def requirements(self) -> list[Requirement]:
        """What has to be installed, as pyproject.toml says it."""
        project: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
        wanted: list[str] = [*project["project"]["dependencies"], *project["build-system"]["requires"]] if self.base else []
        extras = list(self.extras)
        for extra in extras:  # which grows: an extra may name others of this package
            for text in project["project"]["optional-dependencies"][extra]:
                requirement = Requirement(text)
                if requirement.name == project["project"]["name"]:
                    extras += requirement.extras
                else:
                    wanted.append(text)
        return [Requirement(text) for text in wanted]

    def pins(self) -> list[Requirement]:
        """Every `name==version` of the file, with its marker. Raises InvalidRequirement."""
        lines = (line.removesuffix(" \\") for line in self.path.read_text().splitlines() if line and line[0] not in "# ")
        return [Requirement(line) for line in lines]

    def missing(self) -> list[str]:
        """Requirements that no pin of the file satisfies."""
        pins = [(canonicalize_name(pin.name), str(next(iter(pin.specifier)).version)) for pin in self.pins()]
        return [
            str(wanted)
            for wanted in self.requirements()
            if not any(name == canonicalize_name(wanted.name) and wanted.specifier.contains(version) for name, version in pins)
        ]

    def write(self, upgrade: bool) -> None:
        """Resolve again; pins that still fit stay unless `upgrade`. The first of LOCKS comes first."""
        command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--universal", "--python-version", PYTHON, "--generate-hashes"]
        command += ["--no-annotate", "--custom-compile-command", "python -m scripts.locks", "--quiet", "--output-file", str(self.path)]
        if self is not LOCKS[0]:
            command += ["--constraint", str(LOCKS[0].path)]
        text = "\n".join(map(str, self.requirements()))
        subprocess.run(
            [*command, *(["--upgrade"] if upgrade and self is LOCKS[0] else [])],
            input=text,
            text=True,
            check=True,
            stdout=subprocess.DEVNULL,
        )


LOCKS = (
    Lock(ROOT / "scripts" / "requirements" / "embedded-dev.txt", True, ("embedded", "dev", *IMAGE)),
    Lock(ROOT / "scripts" / "requirements" / "embedded.txt", True, ("embedded",)),
    Lock(ROOT / "docker" / "gateway" / "requirements.txt", True, IMAGE),
    Lock(ROOT / "docker" / "triton" / "requirements.txt", False, ("embedded",)),
)


def main(arguments: Sequence[str]) -> int:
    """`--check` only says what is missing, `--upgrade` takes the newest versions. Returns the exit status."""
    if "--check" not in arguments:
        for lock in LOCKS:
            lock.write("--upgrade" in arguments)
    missing = [f"{lock.path.relative_to(ROOT)} has no pin for {name}" for lock in LOCKS for name in lock.missing()]
    sys.stderr.writelines(f"{line}\n" for line in missing)
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
