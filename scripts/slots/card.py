"""Writes model.toml and results.json of folders that `vultus models` makes, in the form of our own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.models import Output
from scripts.slots.adapter import Adapter, Head
from scripts.slots.contract import slot_of


@dataclass(frozen=True, slots=True)
class Facts:
    """What a card says. `outputs`: the built-in output of each slot, with the note of this model."""

    version: str
    summary: str
    recipe: str
    data: Sequence[str]
    licence: str
    commercial_use: str
    limits: Sequence[str]
    outputs: Sequence[tuple[Output, str]]


def of_adapter(adapter: Adapter) -> Facts:
    """What the adapter says of its model."""
    source = f"{adapter.source.home}. " if adapter.source else ""
    return Facts(
        version=adapter.version,
        summary=adapter.summary,
        recipe=f"made elsewhere: {source}Wrapped by adapter.toml beside this file",
        data=adapter.trained_on,
        licence=adapter.licence.name,
        commercial_use=adapter.licence.commercial_use,
        limits=adapter.limits or ("Not stated by its adapter.",),
        outputs=[(slot_of(head.slot).built_in, _note(head)) for head in adapter.heads],
    )


def write(folder: Path, facts: Facts) -> None:
    """The model.toml of `folder`, whose graph is there."""
    digest = hashlib.sha256((folder / "1" / "model.onnx").read_bytes()).hexdigest()
    parts: list[tuple[str, Mapping[str, object]]] = [
        ("", {"version": facts.version, "summary": facts.summary}),
        ("file", {"sha256": digest}),
        ("training", {"recipe": facts.recipe, "teacher": "not stated", "data": list(facts.data)}),
        ("licence", {"summary": facts.licence, "commercial_use": facts.commercial_use}),
        ("limits", {"known": list(facts.limits)}),
        *((f"outputs.{output.tensor}", _answer(output, note)) for output, note in facts.outputs),
    ]
    (folder / "model.toml").write_text("\n".join(map(_table, parts)))


def write_results(folder: Path, adapter: Adapter) -> None:
    """What the adapter says was measured, by tensor."""
    told = {slot_of(head.slot).tensor: {"summary": head.measured} for head in adapter.heads if head.measured}
    (folder / "results.json").write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n")


def _answer(output: Output, note: str) -> dict[str, object]:
    on_request = {} if output.by_default else {"only_on_request": True}
    return {"attribute": output.attribute, "unit": output.unit, "labels": list(output.labels), "note": note, **on_request}


def _note(head: Head) -> str:
    never = f"Never answers {' or '.join(head.absent)}." if head.absent else ""
    return " ".join(filter(None, [head.note, never]))


def _table(part: tuple[str, Mapping[str, object]]) -> str:
    """Strings, numbers, truth values and lists of them are written in TOML as in JSON."""
    name, values = part
    head = f"[{name}]\n" if name else ""
    return head + "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
