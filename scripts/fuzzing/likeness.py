"""A photograph in odd forms against a running service: the plain one's face, or a refusal; never another face, never none."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scripts.fuzzing import drawn, variants

PHOTO = Path(__file__).resolve().parents[2] / "tests" / "pictures" / "astronaut.jpg"
# Of the plain picture's box and the other's: intersection over union. Grey and JPEG's losses move a box by a few pixels.
LEAST_OVERLAP = 0.8
TIMEOUT_S = 60

Box = Sequence[float]
Ask = Callable[[bytes], tuple[int, Any]]


def run(base: str, count: int, seed: int) -> list[str]:
    """What a service answers wrongly, of the fixed forms and of `count` drawn ones."""
    return list(findings(lambda data: _post(f"{base}/v1/analyze?attributes=quality", data), count, seed))


def findings(ask: Ask, count: int, seed: int) -> Iterator[str]:
    """`ask` takes a picture and gives the status and the JSON of /v1/analyze. Every eighth drawn file lacks rows."""
    photo = Image.open(PHOTO).convert("RGB")
    plain = _boxes(ask(variants.saved(photo, "PNG")))
    if not plain:
        yield "the plain picture has no face"
        return
    random, whole = np.random.default_rng(seed), range(count - count // 8)
    right = chain(variants.variants(photo), (drawn.draw(photo, random) for _ in whole))
    wrong = chain(variants.broken(photo), (drawn.cut(photo, random) for _ in range(count // 8)))
    for name, data in right:
        status, body = ask(data)
        if not 400 <= status < 500:
            seen = _boxes((status, body))
            if not seen or overlap(seen[0], plain[0]) < LEAST_OVERLAP:
                yield f"{name}: {status} {seen[:1]} instead of {plain[0]}"
    for name, data in wrong:
        status, _ = ask(data)
        if not 400 <= status < 500:
            yield f"{name}: {status} instead of a refusal"


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(width, 0) * max(height, 0)
    return both / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both)


def _boxes(answer: tuple[int, Any]) -> list[Box]:
    status, body = answer
    return [[face["box"][side] for side in ("x1", "y1", "x2", "y2")] for face in body["faces"]] if status == 200 else []


def _post(url: str, data: bytes) -> tuple[int, Any]:
    request = urllib.request.Request(url, data, {"Content-Type": "image/jpeg"})  # noqa: S310  the operator's own address
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, None
