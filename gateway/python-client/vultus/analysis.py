"""What a client gets for an image: the answer of /v1/analyze, as a table where one is wanted."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from gateway.v1_schema import AnalysisOut
from vultus.table import COLUMNS, rows

if TYPE_CHECKING:
    import pandas

# Of the columns, those that a notebook shows.
SHOWN = ("face", "confidence", "age", "gender", "emotion", "liveness", "glasses", "mask", "hat", "quality", "yaw", "pitch", "roll")


class Analysis(AnalysisOut):
    """The answer of /v1/analyze. Notebooks show it as a table."""

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a face, no row without one; columns as in `vultus analyze --csv`. Raises ImportError without pandas."""
        return to_dataframe([("", self)]).drop(columns=["picture", "error"]).dropna(subset=["face"])

    def _repr_html_(self) -> str:
        if not self.faces:
            return f"<p>{self.image.width} x {self.image.height} pixels, no face</p>"
        cells = [[row.get(name) for name in SHOWN] for row in rows("", self)]
        used = [at for at in range(len(SHOWN)) if any(row[at] is not None for row in cells)]
        head = "".join(f"<th>{SHOWN[at]}</th>" for at in used)
        body = "".join(f"<tr>{''.join(f'<td>{escape(_text(row[at]))}</td>' for at in used)}</tr>" for row in cells)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def to_dataframe(outcomes: Iterable[tuple[Any, AnalysisOut | Exception]]) -> pandas.DataFrame:
    """What `analyze_many` gives as a pandas DataFrame with the columns of `vultus analyze --csv`.

    One row a face; an image without a face or with an error has one row. Raises ImportError without pandas.
    """
    import pandas

    found = [row for image, outcome in outcomes for row in rows(_name(image), outcome)]
    return pandas.DataFrame(found, columns=list(COLUMNS))


def _name(image: Any) -> str:
    return str(image) if isinstance(image, str) or hasattr(image, "__fspath__") else ""


def _text(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
