"""Our vocabulary: phrases that have a usual technical term. docs/pages/contributing.md has the style in pairs.

A table of our own instead of vale, whose wheel may load a binary at run time.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.served import ROOT

# What not to write, and what to write.
TERMS = {
    r"weights of (8|32) bits|files of (8|32) bits": "int8 or fp32 weights",
    r"\bon processors\b|\bfor processors\b": "on CPUs",
    r"\bprocessor time\b": "CPU time",
    r"callers? (that |who |which )?(hung|hangs?|hanging) up": "client that disconnects",
    r"\bas good as never\b": "rarely",
    r"\b[Tt]here is to be\b|\bit is to be noted\b": "an active sentence",
    r"\bso that it comes that\b|\bwhat concerns\b|\bnevertheless of\b": "an English construction",
    r"\bbreaker of circuits?\b|\bcontrol of admission\b|\bestimate of latency\b": "the usual term, adjective first",
    r"\b(informations|softwares|hardwares|feedbacks)\b": "a noun that can be counted",
}
# Names that users type, and what was written before.
EXCEPT = {"contributing.md", "faults.py"}
FOLDERS = ("gateway", "scripts", "docs/pages", "docker", "model_repository")
PLACES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (".py", ".md")]
PLACES += [ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")]
PROSE = [path for path in PLACES if path.name not in EXCEPT and "benchmark" not in path.parts]


@pytest.mark.parametrize("term", TERMS)
def test_the_usual_term_is_used(term: str) -> None:
    found = [f"{path.relative_to(ROOT)}: {match[0]}" for path in PROSE for match in re.finditer(term, path.read_text())]
    assert not found, f"write {TERMS[term]}: {found}"


def test_the_terms_find_what_they_are_for() -> None:
    said = Path(ROOT / "docs/pages/contributing.md").read_text()
    assert all(re.search(term, said) for term in list(TERMS)[:3])
    assert re.search(list(TERMS)[3], "callers that hang up")
