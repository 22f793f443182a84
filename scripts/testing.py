"""The tests: `scripts/test` runs all, further arguments go to pytest (`scripts/test -m 'not integration'` needs no Triton)."""

from __future__ import annotations

import sys

import pytest

if __name__ == "__main__":
    sys.exit(pytest.main(sys.argv[1:]))
