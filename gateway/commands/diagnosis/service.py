"""A running service's readiness, and one real analysis: by that service, or by the same graphs in this process."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import vultus
from gateway.commands.diagnosis.finding import Finding, State
from gateway.faces import Box
from gateway.settings import Settings

CHECKOUT = Path(__file__).resolve().parents[3]
PHOTO = CHECKOUT / "tests" / "pictures" / "astronaut.jpg"
# Where the only face of PHOTO is, pixels.
FACE = Box(178, 66, 269, 177)


def readiness(client: vultus.Client, url: str) -> Finding:
    """Whether a service answers at `url` and is ready. That nothing runs is worth a note only."""
    try:
        health = client.readiness()
    except vultus.Unreachable:
        return Finding("service", State.NOTE, f"nothing runs at {url}", "Start it with scripts/serve, or name another with --url.")
    except vultus.VultusError as error:
        return Finding("service", State.FAILED, str(error), "Is this the gateway's address? Name it with --url.")
    if health.status == "ready":
        return Finding("service", State.OK, f"ready at {url}")
    return Finding("service", State.FAILED, f"{url} is not ready: {health.detail}", "Look at the messages of scripts/serve and of Triton.")


def analysis_by(client: vultus.Client) -> Finding:
    """The running service on PHOTO."""
    if not PHOTO.exists():
        return _no_photo()
    started = time.perf_counter()
    try:
        answer = client.analyze(PHOTO)
    except vultus.KeyRefused as error:
        return Finding("analysis", State.FAILED, str(error), "Give a key as VULTUS_KEY; `vultus keys create vultus LABEL` issues one.")
    except vultus.VultusError as error:
        return Finding("analysis", State.FAILED, str(error), "Look at the messages of scripts/serve.")
    boxes = [Box(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in answer.faces]
    return _judged(boxes, f"by the service in {(time.perf_counter() - started) * 1e3:.0f} ms")


def analysis_here() -> Finding:
    """The repository's graphs on PHOTO, by ONNX Runtime in this process."""
    if not PHOTO.exists():
        return _no_photo()
    sys.path.insert(0, str(CHECKOUT))
    try:
        from gateway.inference.analyzer import Analyzer
        from gateway.models import read_catalogue
        from gateway.pictures.decoding import decode, rules_of
        from scripts.pipeline import DirectPipeline
    except ImportError as error:
        advice = "Install what the embedded server needs: pip install -e '.[embedded]'."
        return Finding("analysis", State.FAILED, f"{error.name} is not installed", advice)
    settings = Settings()
    picture = decode(PHOTO.read_bytes(), rules_of(settings), settings.working_side_px)
    try:
        analyzer = Analyzer(DirectPipeline(settings.model_repository), read_catalogue(settings.model_repository))
        started = time.perf_counter()
        analysis = analyzer.analyze(picture, analyzer.by_default)
    except Exception as error:  # noqa: BLE001  ONNX Runtime's own classes are not documented
        return Finding("analysis", State.FAILED, f"a model does not run: {error}", "See the findings about models; update ONNX Runtime.")
    return _judged([face.box for face in analysis.faces], f"in this process in {(time.perf_counter() - started) * 1e3:.0f} ms")


def _judged(boxes: list[Box], how: str) -> Finding:
    if len(boxes) == 1 and _overlap(boxes[0], FACE) > 0.5:
        return Finding("analysis", State.OK, f"found the face of {PHOTO.name} {how}")
    advice = "The models or the runtime are not what they should be; see the findings about models."
    return Finding("analysis", State.FAILED, f"did not find exactly the one face of {PHOTO.name}, but {len(boxes)} {how}", advice)


def _overlap(a: Box, b: Box) -> float:
    """Intersection over union."""
    width, height = min(a.x2, b.x2) - max(a.x1, b.x1), min(a.y2, b.y2) - max(a.y1, b.y1)
    common = max(0.0, width) * max(0.0, height)
    return common / (a.area + b.area - common)


def _no_photo() -> Finding:
    return Finding("analysis", State.NOTE, "not tried: the test picture is part of the repository only", "Try `vultus analyze PHOTO`.")
