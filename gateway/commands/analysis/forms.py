"""How answers are written: JSON lines, CSV or a table for people."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.apis.wording import listed
from gateway.attributes import ATTRIBUTES
from gateway.commands.analysis.services import Failed
from gateway.v1_schema import AnalysisOut, FaceOut
from vultus.table import COLUMNS, rows

Write = Callable[[str], None]

# Attributes by their column of the table.
TITLES = dict.fromkeys(row.column for row in ATTRIBUTES if row.column)
SHOWN = {title: [row for row in ATTRIBUTES if row.column == title] for title in TITLES}
# A cell that begins like a formula is run by spreadsheets.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Form(Protocol):
    """Takes answers in order. `end` is called once, also when not everything was done."""

    def add(self, name: str, outcome: AnalysisOut | Failed) -> None:
        """The outcome of the picture called `name`."""

    def end(self) -> None:
        """Write what was kept back."""


class JsonLines:
    """One JSON object a picture: the answer of /v1/analyze with `picture` before it, or `picture` and `error`."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, name: str, outcome: AnalysisOut | Failed) -> None:
        """As Form."""
        if isinstance(outcome, Failed):
            line = json.dumps({"picture": name, "error": {"code": outcome.code, "detail": str(outcome)}}, ensure_ascii=False)
        else:
            rest = outcome.model_dump_json(exclude_none=True)
            line = f'{{"picture":{json.dumps(name, ensure_ascii=False)},{rest.removeprefix("{")}'
        self._write(line + "\n")

    def end(self) -> None:
        """As Form."""


class Csv:
    """One row a face; a picture without a face, or with an error, has one row whose cells about a face are empty."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._rows([dict(zip(COLUMNS, COLUMNS, strict=True))])

    def add(self, name: str, outcome: AnalysisOut | Failed) -> None:
        """As Form."""
        name = f"'{name}" if name.startswith(FORMULA) else name
        self._rows(rows(name, outcome))

    def end(self) -> None:
        """As Form."""

    def _rows(self, rows: list[dict[str, object]]) -> None:
        text = io.StringIO()
        csv.DictWriter(text, COLUMNS).writerows(rows)
        self._write(text.getvalue())


class Table:
    """For people, at the end: columns are as wide as their contents."""

    def __init__(self, write: Write) -> None:
        from rich.table import Table as RichTable

        self._write = write
        self._table = RichTable("picture", "box", "sure", *SHOWN, header_style="bold")

    def add(self, name: str, outcome: AnalysisOut | Failed) -> None:
        """As Form."""
        from rich.text import Text

        if isinstance(outcome, Failed):
            self._table.add_row(Text(name), Text(outcome.code, "red"))
        elif not outcome.faces:
            self._table.add_row(Text(name), "no face")
        else:
            for index, face in enumerate(outcome.faces):
                self._table.add_row(Text("" if index else name), *(Text(cell) for cell in _words(face)))

    def end(self) -> None:
        """As Form."""
        from rich.console import Console

        # Into a file or a pipe nothing is cut, whatever the terminal's width.
        console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 1000)
        with console.capture() as captured:
            console.print(self._table)
        self._write(captured.get())


FORMS: dict[str, Callable[[Write], Form]] = {"json": JsonLines, "csv": Csv, "table": Table}


def _words(face: FaceOut) -> Iterator[str]:
    box = face.box
    yield f"{box.x1:.0f},{box.y1:.0f} {box.x2:.0f},{box.y2:.0f}"
    yield f"{face.confidence:.2f}"
    for shown in SHOWN.values():
        yield listed(row.kind.told(answer) for row in shown if (answer := getattr(face, row.name)) is not None)
