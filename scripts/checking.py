"""Style, types, what may import what, and generated files: `scripts/check` (with --fix to mend what can be mended)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Run every check, return the number that failed."""
    fix = ["--fix"] if "--fix" in sys.argv[1:] else []
    commands = [
        ["ruff", "check", *fix, "."],
        ["ruff", "format", *([] if fix else ["--check"]), "--quiet", "."],
        ["mypy"],
        ["scripts.graphs", "--check"],
        ["scripts.model_cards", "--check"],
        ["scripts.locks", "--check"],
    ]
    failed = 0
    for command in commands:
        sys.stderr.write(f"check: {' '.join(command)}\n")
        failed += subprocess.call([sys.executable, "-m", *command], cwd=ROOT) != 0
    sys.stderr.write("check: lint-imports\n")
    failed += subprocess.call([Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"], cwd=ROOT) != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
