"""Follows a Dockerfile without a container engine: the same files, the same RUN lines, the same entry point, in a folder.

Absolute paths that an image has are mapped into the folder; nothing else is changed. Where the tests run as root, the started
program has no capabilities, so files that are not writable stay so.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from docker.utils.build import exclude_paths
from dockerfile_parse import DockerfileParser

from tests.served import ROOT

INSIDE = re.compile(r"(?<![\w.-])/(?=(?:build|models|opt|tmp|usr/local/bin|var/lib/vultus)\b)")
WITHOUT_RIGHTS = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")


def context_files() -> list[str]:
    """What the engine would be sent, by .dockerignore."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return sorted(path for path in exclude_paths(str(ROOT), patterns) if (ROOT / path).is_file() and path != ".dockerignore")


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Name and value of each, in order."""
    with dockerfile.open("rb") as opened:
        parsed = DockerfileParser(fileobj=opened).structure
    return [(part["instruction"], part["value"]) for part in parsed if part["instruction"] != "COMMENT"]


@dataclass
class Image:
    """What a Dockerfile makes: a folder of files and how to start."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)
    writable: list[str] = field(default_factory=lambda: ["/tmp"])  # noqa: S108

    def inside(self, text: str) -> str:
        """`text` with the image's absolute paths mapped into the folder."""
        return INSIDE.sub(f"{self.root}/", text)

    def full_environment(self) -> dict[str, str]:
        """ENV over a bare one."""
        system = "/usr/local/bin:/usr/bin:/bin"
        given = {"PATH": system, "TMPDIR": "/tmp", **self.environment}  # noqa: S108
        return {"HOME": "/nonexistent", **{name: self.inside(value.replace("$PATH", system)) for name, value in given.items()}}

    def seal(self) -> None:
        """As `readOnlyRootFilesystem`: only /tmp and what COPY --chown made can be written."""
        kept = tuple(self.inside(path) for path in self.writable)
        for folder, _, files in os.walk(self.root):
            if not folder.startswith(kept):
                for path in (folder, *(os.path.join(folder, name) for name in files)):
                    if not os.path.islink(path):
                        os.chmod(path, os.stat(path).st_mode & ~0o222)

    def unseal(self) -> None:
        """So that the folder can be deleted."""
        for folder, _, _ in os.walk(self.root):
            os.chmod(folder, 0o755)  # noqa: S103

    def start(self, *options: str, environment: dict[str, str] | None = None, port: int = 8080) -> subprocess.Popen[str]:
        """ENTRYPOINT and CMD, then `options`. `port` in place of the gateway's 8080."""
        command = [self.inside(part).replace(":8080", f":{port}") for part in (*self.entrypoint, *self.cmd)]
        return subprocess.Popen(
            [*(WITHOUT_RIGHTS if os.geteuid() == 0 else ()), *command, *options],
            cwd=self.inside(self.workdir), env={**self.full_environment(), **(environment or {})},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip

    def healthy(self, **ports: int) -> bool:
        """HEALTHCHECK's own command, its port (8080 or 8002) replaced by `port`."""
        program, *options = (re.sub(r"\b80(80|02)\b", str(ports["port"]), self.inside(part)) for part in self.healthcheck)
        environment = self.full_environment()
        found = shutil.which(program, path=environment["PATH"]) or program
        return subprocess.run([found, *options], env=environment, capture_output=True, check=False).returncode == 0


def follow(dockerfile: Path, root: Path) -> Image:
    """Do what the Dockerfile says, in `root`. The base image is this machine's Python."""
    context, stages = root.parent / f"{root.name}.context", {}
    for path in context_files():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, context / path)
    image, stage = Image(root), ""
    for name, value in instructions(dockerfile):
        if name == "FROM":
            if stage:
                stages[stage] = root.rename(root.parent / f"{root.name}.{stage}")
            stage, image = value.partition(" AS ")[2], Image(root)
            (root / "tmp").mkdir(parents=True)
        else:
            _obey(image, name, value, context, stages)
    return image


def _obey(image: Image, name: str, value: str, context: Path, stages: dict[str, Path]) -> None:
    if name == "COPY":
        _copy(image, shlex.split(value), context, stages)
    elif name == "RUN":
        environment = {**os.environ, **{key: image.inside(text) for key, text in image.environment.items()}}
        # Downloads may come from this machine's cache; a hash guards each.
        subprocess.run(
            ["sh", "-ec", image.inside(value).replace("--no-cache-dir ", "")], cwd=image.inside(image.workdir), env=environment, check=True
        )
    elif name == "WORKDIR":
        image.workdir = value
        Path(image.inside(value)).mkdir(parents=True, exist_ok=True)
    elif name == "ENV":
        image.environment |= dict(part.split("=", 1) for part in shlex.split(value))
    elif name == "USER":
        image.user = value
    elif name == "HEALTHCHECK":
        image.healthcheck = json.loads(value.partition("CMD")[2])
    elif name in ("ENTRYPOINT", "CMD"):
        setattr(image, name.lower(), json.loads(value))


def _copy(image: Image, words: list[str], context: Path, stages: dict[str, Path]) -> None:
    options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    origin = stages[options["from"]] if "from" in options else context
    into = Path(image.inside(target if target.startswith("/") else f"{image.workdir}/{target}"))
    for source in sources:
        path = origin / source.lstrip("/")
        if path.is_dir():
            shutil.copytree(path, into, symlinks=True, dirs_exist_ok=True)
        else:
            place = into / path.name if target.endswith("/") else into
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    if "chown" in options:
        image.writable.append(target)
