"""Runs a command in which `tritonserver` is the embedded one: `python -m scripts.embedded_triton docker/triton/start OPTION...`.

The command gets `--backend-directory` and the names and sizes of pools as its last options. It replaces this process, so that
signals reach Triton itself.
The backends are laid out in the folder VULTUS_TRITON_LAYOUT, once; without it in a new temporary folder.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from scripts.embedded_triton import launch, pools
from scripts.embedded_triton.layout import Unusable, build


def main(command: list[str]) -> int:
    """Replace this process by `command`. Returns an exit status where the server cannot be laid out. Raises OSError: no such program."""
    if not command:
        sys.stderr.write("usage: python -m scripts.embedded_triton COMMAND [OPTION...]\n")
        return 2
    try:
        layout = build(Path(os.environ.get("VULTUS_TRITON_LAYOUT") or tempfile.mkdtemp(prefix="vultus-triton-")))
    except Unusable as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    path = os.pathsep.join([layout.environment["PATH"], str(layout.binary.parent)])
    pools.sweep()
    os.umask(0o077)
    if not launch.refuse_fchmod():
        sys.stderr.write(f"{launch.OPEN_POOLS}\n")
    if shortage := pools.shortage():
        sys.stderr.write(f"{shortage}\n")
    arguments = [*command, f"--backend-directory={layout.backends}", *pools.options(command)]
    return os.execvpe(command[0], arguments, {**layout.environment, "PATH": path})  # noqa: S606


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
