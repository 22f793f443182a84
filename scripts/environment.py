"""Makes the virtual environment that the commands of this folder run in. Standard library only; runs on old Pythons too.

It installs what scripts/requirements pins, with hashes (scripts/locks.py), as the images do.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Not 3.13: nvidia-pytriton 0.7.0, which holds Triton, wants a numpy below 2, which has no wheel for it; pip would compile for minutes.
LOWEST, HIGHEST = (3, 11), (3, 12)


def run_inside(module, extras):
    """Replace this process by `python -m module` in an environment that has the package with `extras`."""
    python = _prepare(extras)
    os.chdir(str(ROOT)) if not os.environ.get("VULTUS_KEEP_CWD") else None
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.execv(str(python), [str(python), "-m", module] + sys.argv[1:])


def _prepare(extras):
    folder = Path(os.environ.get("VULTUS_VENV") or str(ROOT / ".venv"))
    python = folder / "bin" / "python"
    wanted = _fingerprint(extras)
    stamp = folder / ("vultus-" + "-".join(extras))
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    base = _supported_python()
    if not python.exists():
        _say("creating a virtual environment in " + folder.name)
        _call([base, "-m", "venv", str(folder)], "The virtual environment cannot be created (Debian, Ubuntu: apt install python3-venv).")
    _say("installing (" + ", ".join(extras) + "); this happens once")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for what in (["--require-hashes", "-r", str(_pins(extras))], ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]):
        _call(pip + what, "Installing failed; the lines above say why. A package index must be reachable.")
    stamp.write_text(wanted)
    return python


def _fingerprint(extras):
    content = (ROOT / "pyproject.toml").read_bytes() + _pins(extras).read_bytes() + ",".join(extras).encode()
    return hashlib.sha256(content).hexdigest()


def _pins(extras):
    return ROOT / "scripts" / "requirements" / ("-".join(extras) + ".txt")


def _supported_python():
    if LOWEST <= sys.version_info[:2] <= HIGHEST:
        return sys.executable
    for minor in range(LOWEST[1], HIGHEST[1] + 1):
        found = shutil.which("python3." + str(minor))
        if found and _works(found):
            return found
    _fail(
        "Python %d.%d is not supported (the packages of the embedded Triton have wheels for 3.11 and 3.12) and no python3.11 or python3.12 "
        "is on the PATH: install one of them." % sys.version_info[:2]
    )


def _works(python):
    """A name on the PATH may be that of a version manager which has no such version."""
    with open(os.devnull, "w") as nowhere:
        return subprocess.call([python, "-c", "import ensurepip, venv"], stdout=nowhere, stderr=nowhere) == 0


def _call(command, advice):
    if subprocess.call(command, stdout=sys.stderr) != 0:
        _fail(advice)


def _say(text):
    sys.stderr.write("vultus: " + text + "\n")


def _fail(text):
    _say(text)
    sys.exit(1)
