"""Run by mkdocs-macros: what pages with `render_macros: true` may call."""

from __future__ import annotations

from typing import Any

from scripts.documentation import repository, tables

FUNCTIONS = (
    repository.measurements,
    repository.section,
    tables.by_group,
    tables.endpoints,
    tables.error_codes,
    tables.fields,
    tables.licences,
    tables.limits,
    tables.measured,
    tables.metric_names,
    tables.steadiness,
    tables.summary,
    tables.wild_headlines,
)


def define_env(env: Any) -> None:
    """Give the functions to the pages."""
    for function in FUNCTIONS:
        env.macro(function)
