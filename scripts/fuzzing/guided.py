"""One coverage-guided run of one target, in a process of its own: python -m scripts.fuzzing.guided TARGET [options of libFuzzer]."""

from __future__ import annotations

import sys
import warnings

import atheris

with atheris.instrument_imports(include=["gateway", "PIL", "werkzeug", "flask"], enable_loader_override=False):
    from scripts.fuzzing.targets import TARGETS


def main() -> None:
    """Hand over to libFuzzer, which ends the process."""
    name = sys.argv.pop(1)
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
