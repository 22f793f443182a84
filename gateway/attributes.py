"""The attributes of a face, one row each. The row's kind holds everything that depends on the shape of the answer.

Readers, /v1 rendering, CSV and table columns and the words on drawn pictures derive from `ATTRIBUTES`. The command line imports this
module too, so it needs neither Flask nor Triton nor NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway import v1_schema as out
from gateway.faces import LIVE_FROM, Distribution, Pose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    # Row of a tensor, its labels, pixels of the image per pixel of the picture [2] (x, y) -> neutral value.
    Read = Callable[[NDArray[Any], tuple[str, ...], NDArray[Any]], Any]
    Words = Callable[[Any], str]


def _nothing(answer: Any) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Kind:
    """A shape of answer, from the tensor to the words. `name` is public: `kind` in /v1/attributes.

    `read` makes the neutral value of `Face`, `render` /v1's form of it; `cells`, `told` (table) and `drawn` (label of a drawn picture)
    start from /v1's form. `columns` name the cells; {} stands for the attribute.
    """

    name: str
    read: Read
    render: Callable[[Any], Any]
    columns: tuple[str, ...] = ()
    cells: Callable[[Any], tuple[object, ...]] = lambda answer: ()
    told: Words = _nothing
    drawn: Words = _nothing


@dataclass(frozen=True, slots=True)
class Attribute:
    """`name` is also that of the field in `Face` and `FaceOut`.

    `column`: its column of the table, which attributes may share. `drawn_at`: its line on a drawn picture and the place in it.
    """

    name: str
    kind: Kind
    column: str | None = None
    drawn_at: tuple[int, int] | None = None


def tenth(value: float) -> float:
    """As /v1 writes years, pixels and degrees."""
    return round(value, 1)


def probability(value: float) -> float:
    """As /v1 writes probabilities: 0 to 1, four places."""
    return round(min(1.0, max(0.0, value)), 4)


def number(render: Callable[[float], float] = tenth, told: str = "{:.0f}") -> Kind:
    """A float; `told` is a format."""
    return Kind("number", _number, render, ("{}",), lambda answer: (answer,), told.format, told.format)


def two_way(words: Mapping[str, str] | None = None) -> Kind:
    """Two labels, of which /v1 has the more probable one. `words` replace labels; labels that they lack are not worth a word."""

    def told(answer: out.Label) -> str:
        return f"{answer.value} {answer.probability:.2f}"

    def render(values: Distribution) -> out.Label:
        return out.Label(value=values.dominant, probability=probability(values[values.dominant]))

    drawn = _spoken(words, lambda answer: answer.value)
    cells = ("{}", "{}_probability")
    return Kind("two_way", _distribution, render, cells, lambda a: (a.value, a.probability), drawn if words else told, drawn)


def classes(schema: type[out.Emotion | out.Race | out.Classes], words: Mapping[str, str] | None = None) -> Kind:
    """Several labels, all in /v1. `schema`: its first field is the most probable label. `words` as in `two_way`."""
    first = next(iter(schema.model_fields))

    def value(answer: Any) -> str:
        return str(getattr(answer, first))

    def told(answer: Any) -> str:
        return f"{value(answer)} {answer.probabilities[value(answer)]:.2f}"

    def render(values: Distribution) -> Any:
        rounded = {label: probability(p) for label, p in values.as_dict().items()}
        return schema(**{first: values.dominant, "probabilities": rounded})

    def cells(answer: Any) -> tuple[object, ...]:
        return value(answer), answer.probabilities[value(answer)]

    drawn = _spoken(words, value)
    return Kind("classes", _distribution, render, ("{}", "{}_probability"), cells, drawn if words else told, drawn)


def _spoken(words: Mapping[str, str] | None, label: Callable[[Any], str]) -> Words:
    return label if words is None else lambda answer: words.get(label(answer), "")


def _number(row: NDArray[Any], labels: tuple[str, ...], scale: NDArray[Any]) -> float:
    return float(row.reshape(-1)[0])


def _distribution(row: NDArray[Any], labels: tuple[str, ...], scale: NDArray[Any]) -> Distribution:
    return Distribution(labels, tuple(row.tolist()))


def _quality(scores: tuple[float, ...]) -> out.Quality:
    return out.Quality(**dict(zip(out.Quality.model_fields, map(tenth, scores), strict=True)))


def _pupils(pupils: tuple[tuple[float, float, float], ...]) -> out.Pupils:
    left, right = (out.Pupil(x=tenth(x), y=tenth(y), radius=tenth(radius)) for x, y, radius in pupils)
    return out.Pupils(left=left, right=right)


LIVENESS = Kind(
    "liveness",
    _number,
    lambda score: out.Liveness(score=probability(score), is_real=score >= LIVE_FROM),
    ("{}", "is_real"),
    lambda answer: (answer.score, str(answer.is_real).lower()),
    lambda answer: f"{'yes' if answer.is_real else 'no'} {answer.score:.2f}",
    lambda answer: "" if answer.is_real else "not a living face",
)
# Eight scores, of which CSV has the first, the overall one.
PERCENTAGES = Kind("percentages", lambda row, labels, scale: tuple(row.tolist()), _quality, ("{}",), lambda answer: (answer.overall,))
ANGLES = Kind(
    "angles",
    lambda row, labels, scale: Pose(*row.tolist()),
    lambda pose: out.PoseOut(yaw=tenth(pose.yaw), pitch=tenth(pose.pitch), roll=tenth(pose.roll)),
    ("yaw", "pitch", "roll"),
    lambda answer: (answer.yaw, answer.pitch, answer.roll),
)
POINTS = Kind(
    "points",
    lambda row, labels, scale: tuple(map(tuple, (row * scale).tolist())),
    lambda points: [[tenth(x), tenth(y)] for x, y in points],
)
# x, y and radius of two pupils; the radius grows as x and y do on average.
CIRCLES = Kind("circles", lambda row, labels, scale: tuple(map(tuple, (row * [*scale, scale.mean()]).tolist())), _pupils)

# Lower and upper end.
RANGE = Kind(
    "range",
    lambda row, labels, scale: tuple(row.tolist()),
    lambda ends: out.Range(low=tenth(ends[0]), high=tenth(ends[1])),
    ("{}_low", "{}_high"),
    lambda answer: (answer.low, answer.high),
)

WORN_GLASSES = {"regular": "regular glasses", "sun": "sun glasses"}
WORN_MASKS = {"worn": "mask", "worn wrongly": "mask worn wrongly"}

# The order is that of /v1 and of the CSV columns, which are stable: new attributes come last.
ATTRIBUTES = (
    Attribute("age", number(), "age", (1, 2)),
    Attribute("gender", two_way(), "gender", (1, 1)),
    Attribute("emotion", classes(out.Emotion), "emotion", (2, 1)),
    Attribute("race", classes(out.Race)),
    Attribute("liveness", LIVENESS, "alive", (3, 1)),
    Attribute("glasses", classes(out.Classes, WORN_GLASSES), "wears", (2, 2)),
    Attribute("mask", classes(out.Classes, WORN_MASKS), "wears", (2, 3)),
    Attribute("hat", two_way({"hat": "hat"}), "wears", (2, 4)),
    Attribute("beauty", number()),
    Attribute("quality", PERCENTAGES),
    Attribute("pose", ANGLES),
    Attribute("landmarks", POINTS),
    Attribute("pupils", CIRCLES),
    Attribute("age_range", RANGE),
)
BY_NAME = {attribute.name: attribute for attribute in ATTRIBUTES}
