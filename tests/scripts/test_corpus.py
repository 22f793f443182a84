"""What fuzzing starts from, and what it once found: none of it may be a finding again."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.fuzzing.seeds import CORPUS
from scripts.fuzzing.targets import TARGETS, Finding, check

INPUTS = [(target, path) for target in TARGETS for path in sorted((CORPUS / target).iterdir())]
MAX_CORPUS_BYTES = 300_000


@pytest.mark.parametrize(("target", "path"), INPUTS, ids=[f"{target}/{path.name}" for target, path in INPUTS])
@pytest.mark.filterwarnings("default")
def test_no_finding(target: str, path: Path) -> None:
    TARGETS[target](path.read_bytes())


def test_the_corpus_stays_small() -> None:
    assert len(INPUTS) > 50
    assert sum(path.stat().st_size for _, path in INPUTS) < MAX_CORPUS_BYTES


@pytest.mark.parametrize(
    ("status", "kind", "body"),
    [(500, "application/json", b"{}"), (200, "text/html", b"{}"), (200, "application/json", b'{"a": "Traceback (most recent"}')],
)
def test_what_counts_as_a_finding(status: int, kind: str, body: bytes) -> None:
    with pytest.raises(Finding):
        check(status, kind, body)
