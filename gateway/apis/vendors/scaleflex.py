"""Scaleflex Visual AI face analysis (vendor-apis.md, chapter 4)."""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from flask import Blueprint, Response, current_app, request
from pydantic import Field

from gateway import errors as e
from gateway.apis.call import Call
from gateway.apis.openapi import describe
from gateway.apis.rounding import corners, percent, whole
from gateway.apis.services import Services, services
from gateway.apis.vendor import FourInts, Vendor, example, file_parts, json_answer, json_object, look_up, refusal
from gateway.deadline import at_work, wait_for_others
from gateway.faces import Analysis, Distribution, Face
from gateway.pictures.decoding import reduced, rules_of
from gateway.pictures.drawing import annotate
from gateway.pictures.picture import Picture
from gateway.v1_schema import Percent, Strict

FORMATS = frozenset({"jpeg", "png", "bmp", "webp"})
MAX_PIXELS = 50_000_000
VERSION = "2.9.3"
WANTED = ("age", "gender", "emotion", "race")
EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
RACES = ("asian", "indian", "black", "white", "middle eastern", "latino hispanic")
LANDMARKS = ("left_eye", "right_eye", "nose", "mouth_left", "mouth_right")
MAX_FILES, FILES_AT_ONCE, NO_REDUCTION_PX = 10, 4, 1_000_000
RETRY_HINT, HINT_FIELDS = "Try again later", "Send files_urls or url as JSON, or the multipart field file"
HINT_URL = "Check that the URL is public and answers with an image"
KEY_HINT = "Send the headers Filerobot-Token and Filerobot-Key"


XY = Annotated[list[int], Field(min_length=2, max_length=2)]
Emotions = dict[Literal["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"], Percent]
Races = dict[Literal["asian", "indian", "black", "white", "middle eastern", "latino hispanic"], Percent]


class ScaleflexQuery(Strict):
    """Of both calls."""

    landmarks: Literal["0", "1"] = Field("0", description="1: with five points of each face.")


class ScaleflexFace(Strict):
    """One face."""

    box: FourInts
    landmarks: dict[str, XY] | None = None
    emotions: Emotions
    dominant_emotion: str
    races: Races
    dominant_race: str
    age: Annotated[int, Field(ge=0)]
    gender: Literal["Male", "Female"]


class ScaleflexEntry(Strict):
    """One of several pictures."""

    request_uuid: str
    result: str | None = None
    faces: dict[str, ScaleflexFace] | None = None
    status: Literal["error"] | None = None
    msg: str | None = None
    hint: str | None = None
    code: str | None = None
    file_downloaded: str


class ScaleflexAnswer(Strict):
    """Flat for one picture; `result` is a list for several."""

    model_config = example(
        """{"status": "success", "version": "2.9.3", "request_uuid": "4f74f084-39a3-48f7-829a-336b55e8fd13",
        "result": "https://vultus.example/deliver/token/4f74f084-39a3-48f7-829a-336b55e8fd13.png", "faces": {},
        "file_downloaded": "friends.jpg"}"""
    )

    status: Literal["success"]
    version: str
    request_uuid: str | None = None
    result: str | list[ScaleflexEntry]
    faces: dict[str, ScaleflexFace] | None = None
    file_downloaded: str | None = None


class ScaleflexError(Strict):
    """Any failure."""

    status: Literal["error"]
    version: str
    request_uuid: str
    msg: str
    hint: str
    code: str
    message: str
    result: dict[str, str]


# HTTP status, code, msg, hint.
ERRORS: dict[type[e.GatewayError], tuple[int, str, str, str]] = {
    e.KeyMissing: (401, "KEY_INVALID", "Invalid or missing token or key", KEY_HINT),
    e.KeyInvalid: (401, "KEY_INVALID", "Invalid or missing token or key", KEY_HINT),
    e.AccountSuspended: (403, "PERMISSION_DENIED", "The key lacks the permission", "The permission FILE_UPLOAD is needed"),
    e.MissingImage: (400, "FILE_MISSING", "No file and no URL in the request", HINT_FIELDS),
    e.ImageWithoutName: (400, "FILE_MISSING", "No file and no URL in the request", "Give the multipart field file a file name"),
    e.MalformedBody: (400, "FILE_MISSING", "No file and no URL in the request", HINT_FIELDS),
    e.TooManyImages: (400, "TOO_MANY_FILES", "Too many files in one request", "Send at most 10"),
    e.DownloadFailed: (
        400,
        "FILE_DOWNLOAD_FAILED",
        "The file could not be downloaded",
        HINT_URL,
    ),
    e.BodyTooLarge: (413, "FILE_TOO_LARGE", "The file is too large", "Send at most 20 MB and 50 megapixels"),
    e.ImageTooLarge: (413, "FILE_TOO_LARGE", "The file is too large", "Send at most 20 MB and 50 megapixels"),
    e.QuotaExceeded: (429, "QUOTA_EXCEEDED", "Quota exceeded", "Wait for the next period"),
    e.RateLimited: (429, "RATE_LIMITED", "Too many requests", "Wait and try again"),
    e.UnknownPath: (404, "NOT_FOUND", "Not found", "Check the address and the method"),
    e.MethodNotAllowed: (405, "METHOD_NOT_ALLOWED", "Method not allowed", "Check the address and the method"),
    e.UpstreamError: (503, "SERVICE_UNAVAILABLE", "Service unavailable", RETRY_HINT),
    e.RequestError: (415, "FILE_UNREADABLE", "The file is not a readable image", "Send JPEG, PNG, BMP or WebP"),
    e.GatewayError: (500, "INTERNAL_ERROR", "Internal error", RETRY_HINT),
}

HEADERS = ("Filerobot-Key", "Filerobot-Token")
UPLOAD, BY_URL = Call("/images/face-analysis/upload", "file", *HEADERS), Call("/images/face-analysis", "url", *HEADERS, json=True)

blueprint = Blueprint("scaleflex", __name__)


@dataclass(frozen=True, slots=True)
class Source:
    """One picture of a request: how to get its bytes, and the name that the caller knows it by."""

    read: Callable[[], bytes]
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture's outcome."""

    request_uuid: str
    name: str
    body: dict[str, Any] | None
    error: e.GatewayError | None


@blueprint.post(BY_URL.path)
@describe(
    summary="Scaleflex: face analysis of pictures by URL",
    call=BY_URL,
    query=ScaleflexQuery,
    answer=ScaleflexAnswer,
    error=ScaleflexError,
    status=201,
)
def by_url() -> Response:
    """JSON `files_urls` or `url`; 201."""
    with VENDOR.admitted(BY_URL) as key:
        sources = [_from_url(url) for url in _urls()]
        wait_for_others()
        with services().fetcher.admitted(key.id if key else None):
            return _answer(sources, 201)


@blueprint.post(UPLOAD.path)
@describe(
    summary="Scaleflex: face analysis of uploaded pictures", call=UPLOAD, query=ScaleflexQuery, answer=ScaleflexAnswer, error=ScaleflexError
)
def upload() -> Response:
    """Multipart `file`, one or several; 200."""
    with VENDOR.admitted(UPLOAD):
        return _answer([Source(part.read, _base_name(part.filename or "")) for part in file_parts(UPLOAD.picture)], 200)


@blueprint.get("/deliver/<token>/<name>.png")
@describe(summary="Scaleflex: an annotated picture, for a day", media_type="image/png", error=ScaleflexError)
def deliver(token: str, name: str) -> Response:
    """The picture of an earlier answer; no key, as with the vendor."""
    png = services().pictures.get(_stored_name(token, name))
    if png is None:
        raise e.UnknownPath
    response = current_app.response_class(png, mimetype="image/png")
    response.headers["Cache-Control"] = "private"
    return response


def render_faces(analysis: Analysis, landmarks: bool) -> dict[str, Any]:
    """`faces`: an object with a key a face."""
    return {f"face_{index}": _face(face, analysis, landmarks) for index, face in enumerate(analysis.faces)}


def fail(error: e.GatewayError) -> Response:
    """Any error in this vendor's words."""
    status, code, msg, hint = look_up(ERRORS, error)
    told = {"msg": msg, "hint": hint}
    body = {"status": "error", "version": VERSION, "request_uuid": str(uuid.uuid4()), **told, "code": code, "message": msg, "result": told}
    return refusal(body, status, error)


def _urls() -> list[str]:
    body = json_object()
    rows = body.get("files_urls") if "files_urls" in body else [{"url": body.get("url")}]
    urls = [row.get("url") if isinstance(row, dict) else None for row in rows] if isinstance(rows, list) else []
    if not urls or not all(isinstance(url, str) and url for url in urls):
        raise e.MissingImage
    return [str(url) for url in urls]


def _from_url(url: str) -> Source:
    fetcher = services().fetcher
    try:
        path = urllib.parse.urlsplit(url).path
    except ValueError:
        path = ""  # the fetcher refuses it
    return Source(lambda: fetcher.fetch(url), _base_name(urllib.parse.unquote(path, errors="replace")))


def _answer(sources: Sequence[Source], status: int) -> Response:
    if not sources:
        raise e.MissingImage
    if len(sources) > MAX_FILES:
        raise e.TooManyImages
    token = request.headers.get(UPLOAD.identifier) or "public"
    base, landmarks, parts = _public_base(), request.args.get("landmarks") == "1", services()
    if len(sources) == 1:
        entries = [_entry(sources[0], token, base, landmarks, parts)]
    else:
        with ThreadPoolExecutor(min(len(sources), FILES_AT_ONCE)) as pool:
            # Each in a copy of this thread's context, where the call's deadline is.
            jobs = [pool.submit(copy_context().run, _entry, source, token, base, landmarks, parts) for source in sources]
            entries = [job.result() for job in jobs]
    failures = [entry.error for entry in entries if entry.error]
    if len(failures) == len(entries):
        raise failures[0]
    if len(entries) == 1:
        body = entries[0].body or {}
        return json_answer({"status": "success", "version": VERSION, **body}, status)
    return json_answer({"status": "success", "version": VERSION, "result": [_listed(entry) for entry in entries]}, status)


def _entry(source: Source, token: str, base: str, landmarks: bool, parts: Services) -> Entry:
    """One picture from bytes to body; runs in threads, so it has no request."""
    number = str(uuid.uuid4())
    try:
        data = source.read()
        # The drawn picture has the size of the original.
        rules = replace(rules_of(parts.settings, FORMATS), max_pixels=min(MAX_PIXELS, parts.settings.max_image_pixels))
        with at_work():
            picture = parts.decoders.decode(data, rules, NO_REDUCTION_PX)
            seen = replace(picture, pixels=reduced(picture.pixels, parts.settings.working_side_px))
            analysis = parts.analyzer.analyze(seen, WANTED, all_needed=True)
            parts.pictures.put(_stored_name(token, number), _draw(picture, analysis))
    except e.GatewayError as error:
        return Entry(number, source.name or number, None, error)
    name = source.name or f"{number}.{_suffix(data)}"
    url = f"{base}/deliver/{urllib.parse.quote(token, safe='')}/{number}.png"
    body = {"request_uuid": number, "result": url, "faces": render_faces(analysis, landmarks), "file_downloaded": name}
    return Entry(number, name, body, None)


def _listed(entry: Entry) -> dict[str, Any]:
    if entry.error is None:
        return entry.body or {}
    _, code, msg, hint = look_up(ERRORS, entry.error)
    return {"request_uuid": entry.request_uuid, "status": "error", "msg": msg, "hint": hint, "code": code, "file_downloaded": entry.name}


def _draw(picture: Picture, analysis: Analysis) -> bytes:
    labels = [[name, f"{face['gender']}, {face['age']}", face["dominant_emotion"]] for name, face in render_faces(analysis, False).items()]
    return annotate(picture.pixels, [face.box for face in analysis.faces], labels)


def _face(face: Face, analysis: Analysis, landmarks: bool) -> dict[str, Any]:
    emotions, races = _emotion(face), face.race
    if races is None or face.age is None:
        raise e.ModelContractError
    points = {name: [whole(x), whole(y)] for name, (x, y) in zip(LANDMARKS, face.keypoints, strict=True)}
    return {
        "box": list(corners(face.box, analysis.width_px, analysis.height_px)),
        **({"landmarks": points} if landmarks else {}),
        "emotions": {label: percent(emotions[label], 2) for label in EMOTIONS},
        "dominant_emotion": max(EMOTIONS, key=lambda label: emotions[label]),
        "races": {label: percent(races[label], 2) for label in RACES},
        "dominant_race": max(RACES, key=lambda label: races[label]),
        "age": max(0, whole(face.age)),
        "gender": _gender(face),
    }


def _emotion(face: Face) -> Distribution:
    if face.emotion is None:
        raise e.ModelContractError
    return face.emotion


def _gender(face: Face) -> str:
    if face.gender is None:
        raise e.ModelContractError
    return {"male": "Male", "female": "Female"}[face.gender.dominant]


def _stored_name(token: str, number: str) -> str:
    return f"{urllib.parse.quote(token, safe='')}/{number}.png"


def _public_base() -> str:
    base = services().settings.public_url or (request.url_root if request.host else _reached_at())
    return services().settings.deliver_prefix + base.rstrip("/")


def _reached_at() -> str:
    """Where the server says that it is: for a Host header that is none."""
    return f"{request.scheme}://{request.environ['SERVER_NAME']}:{request.environ['SERVER_PORT']}{request.root_path}"


def _base_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _suffix(data: bytes) -> str:
    starts = {b"\xff\xd8": "jpg", b"\x89P": "png", b"BM": "bmp"}
    return starts.get(data[:2], "webp")


VENDOR = Vendor("scaleflex", ("/images/", "/regenerate/", "/deliver/"), blueprint, fail, (UPLOAD, BY_URL))
