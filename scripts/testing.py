"""The tests: `scripts/test` runs all, further arguments go to pytest (`scripts/test -m 'not integration'` needs no Triton)."""

from __future__ import annotations

import sys

import pytest

from scripts import helm

if __name__ == "__main__":
    try:
        helm.obtain()
    except helm.Unavailable as problem:
        sys.stderr.write(f"vultus: without Helm the tests of docker/helm are skipped: {problem}\n")
    sys.exit(pytest.main(sys.argv[1:]))
