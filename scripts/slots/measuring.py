"""How right a repository of models is on labelled pictures of one's own, in this process, without Triton."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.errors import RequestError
from gateway.faces import Distribution, Face
from gateway.inference.analyzer import Analyzer
from gateway.models import read_catalogue
from gateway.pictures.decoding import decode, rules_of
from gateway.settings import Settings
from scripts.evaluation.statistics import mean_of, text
from scripts.pipeline import DirectPipeline
from scripts.slots.contract import DECISIONS, DISTRIBUTIONS, NUMBERS, Refused

PICTURE = "picture"
MEASURED = (*NUMBERS, *DISTRIBUTIONS, *DECISIONS)


@dataclass(frozen=True, slots=True)
class Measured:
    """`figure`: mean absolute error or accuracy with its 95 % interval over `n` faces; `models` that answered."""

    attribute: str
    figure: str
    n: int
    models: str


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV: `picture`, a path from the table's folder, and a column per attribute; empty: not known. Raises Refused."""
    try:
        with file.open(newline="", encoding="utf-8") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as problem:
        raise Refused(f"{file} cannot be read: {problem}") from None
    if not rows or PICTURE not in rows[0] or not columns(rows):
        raise Refused(f"{file.name} wants a head line, a column {PICTURE!r}, one or more of {', '.join(MEASURED)}, and rows.")
    return rows


def columns(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """The attributes that the table knows."""
    return [name for name in MEASURED if name in rows[0]]


def measure(repository: Path, file: Path) -> tuple[list[Measured], int]:
    """Figures by attribute, and in how many pictures no face was found, which are left out. The largest face counts. Raises Refused."""
    rows = read_table(file)
    names, catalogue = columns(rows), read_catalogue(repository)
    analyzer = Analyzer(DirectPipeline(repository), catalogue)
    faces = list(_largest(analyzer, [file.parent / row[PICTURE] for row in rows], names))
    found = [(row, face) for row, face in zip(rows, faces, strict=True) if face]
    models = {output.attribute: f"{output.model} {catalogue.versions[output.model]}" for output in catalogue.outputs}
    measured = []
    for name in names:
        scores = [_score(name, row[name], face) for row, face in found if row[name]]
        if scores:
            kind = "mean absolute error" if name in NUMBERS else "accuracy"
            figure = text(mean_of(np.array(scores)), 2 if name in NUMBERS else 3)
            measured.append(Measured(name, f"{kind} {figure}", len(scores), models[name]))
    return measured, len(rows) - len(found)


def _largest(analyzer: Analyzer, pictures: Sequence[Path], names: Sequence[str]) -> Iterator[Face | None]:
    settings = Settings()
    for path in pictures:
        try:
            picture = decode(path.read_bytes(), rules_of(settings), settings.working_side_px)
        except OSError as problem:
            raise Refused(f"{path} cannot be read: {problem.strerror}.") from None
        except RequestError as problem:
            raise Refused(f"{path}: {problem}") from None
        yield max(analyzer.analyze(picture, names).faces, key=lambda face: face.box.area, default=None)


def _score(name: str, truth: str, face: Face) -> float:
    """Absolute error, or 1 where the answer is right. Raises Refused."""
    answer = getattr(face, name)
    if name in NUMBERS:
        try:
            return abs(float(answer) - float(truth))
        except ValueError:
            raise Refused(f"{name}: {truth!r} is no number.") from None
    labels = answer.labels if isinstance(answer, Distribution) else DECISIONS[name]
    if truth not in labels:
        raise Refused(f"{name}: {truth!r} is none of {', '.join(labels)}.")
    said = answer.dominant if isinstance(answer, Distribution) else labels[int(answer >= 0.5)]
    return float(said == truth)
