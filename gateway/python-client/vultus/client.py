"""The client for ordinary programs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import Retrying
from tqdm import tqdm

from gateway.v1_schema import AttributeOut, AttributesOut, Health
from vultus import answer, connection
from vultus.analysis import Analysis
from vultus.connection import Method, Order
from vultus.errors import VultusError
from vultus.image import Image, length_bytes, opened, pieces
from vultus.order import in_order

T = TypeVar("T")


class Client:
    """One service. Keeps its connections; may be used by many threads; a context manager.

    `url` is the gateway's address, with a path if it lies under one; `key` an API key; `timeout_s` the longest wait for each step of one
    attempt. A request is sent again up to `retries` times, only when no connection came about or the service answered 503; then the pause
    is at least what Retry-After asks for, and more than 30 s is not waited for. `transport` replaces the network (httpx).
    """

    def __init__(
        self,
        url: str = connection.DEFAULT_URL,
        *,
        key: str | None = None,
        timeout_s: float = connection.DEFAULT_TIMEOUT_S,
        retries: int = connection.DEFAULT_RETRIES,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._http = connection.made(httpx.Client, connection.settings(url, key, timeout_s), transport)
        self._retrying = connection.retrying(retries)

    def analyze(
        self,
        image: Image,
        *,
        attributes: Sequence[str] | None = None,
        max_faces: int | None = None,
        min_confidence: float | None = None,
        min_face_px: int | None = None,
        order: Order | None = None,
    ) -> Analysis:
        """Analyse one image: a path, its bytes, or a file opened in binary mode, which are sent as they are.

        Or a NumPy array (uint8; RGB, so turn what OpenCV read) or a Pillow image, which are sent as PNG; or an http(s) address, which the
        service fetches if it does that.

        `attributes` are names from `attributes()`, "all" for all of them, None for those that the service gives by default. Of the faces
        come back those of at least `min_confidence` (0 to 1) and `min_face_px` (shorter side of the box), at most `max_faces`, in the
        order "confidence" (the default) or "size", the largest first. No face is an empty list.

        Raises VultusError, OSError when the file cannot be read, TypeError for what is no image.
        """
        options = connection.query(attributes, max_faces, min_confidence, min_face_px, order)
        return self._posted("v1/analyze", image, options, lambda response: answer.read(response, Analysis))

    def analyze_many(
        self, images: Iterable[Image], *, concurrency: int = 4, progress: bool = False, **options: Any
    ) -> Iterator[tuple[Image, Analysis | VultusError | OSError]]:
        """Analyse many images, `concurrency` at a time: each image with its answer, or with what went wrong, in their order.

        `options` are those of `analyze`; `progress` shows a bar on standard error. `vultus.to_dataframe` takes what this gives.
        Raises TypeError for what is no image.
        """

        def outcome(image: Image) -> tuple[Image, Analysis | VultusError | OSError]:
            try:
                return image, self.analyze(image, **options)
            except (VultusError, OSError) as error:
                return image, error

        known = len(images) if isinstance(images, Sequence) else None
        done = in_order(outcome, images, concurrency)
        yield from tqdm(done, total=known, unit="picture", disable=not progress)

    def redact(
        self,
        image: Image,
        *,
        method: Method | None = None,
        margin: float | None = None,
        min_confidence: float | None = None,
        min_face_px: int | None = None,
    ) -> bytes:
        """The image as a file with every face hidden: JPEG, PNG and WebP stay what they are, others become PNG. It has no metadata.

        `method`: "blur" (the default), "pixelate" or "cover"; `margin`: by how much of its size a face's box grows on every side (0 to 1).
        Faces below `min_confidence` or `min_face_px` stay to be seen; the defaults hide all that were found. Raises as `analyze`.
        """
        options = connection.texts(method=method, margin=margin, min_confidence=min_confidence, min_face_px=min_face_px)
        return self._posted("v1/redact", image, options, answer.read_picture)

    def draw(
        self,
        image: Image,
        *,
        show: Sequence[str] | None = None,
        attributes: Sequence[str] | None = None,
        max_faces: int | None = None,
        min_confidence: float | None = None,
        min_face_px: int | None = None,
        order: Order | None = None,
    ) -> bytes:
        """The image as a file with its faces marked; formats as in `redact`.

        `show` names what is drawn: "boxes", "labels" (these two by default), "keypoints", "landmarks", "pupils". The rest is as in
        `analyze`; of the attributes, those that fit into a few words are on the labels. Raises as `analyze`.
        """
        options = connection.query(attributes, max_faces, min_confidence, min_face_px, order) | connection.texts(show=show)
        return self._posted("v1/draw", image, options, answer.read_picture)

    def attributes(self) -> list[AttributeOut]:
        """What this service offers: labels, units, licence, measured accuracy. Raises VultusError."""

        def attempt() -> AttributesOut:
            return answer.read(self._send("GET", "v1/attributes"), AttributesOut)

        return Retrying(**self._retrying)(attempt).attributes

    def ready(self) -> bool:
        """Whether the service can analyse now. Asks once. Raises Unreachable, TimedOut, ConnectionBroken, UnexpectedAnswer."""
        return self.readiness().status == "ready"

    def readiness(self) -> Health:
        """As `ready`, with what is missing in `detail`."""
        return answer.read_health(self._send("GET", "readyz"))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _posted(self, path: str, image: Image, options: dict[str, str], read: Callable[[httpx.Response], T]) -> T:
        with opened(image) as file:
            start, headers = file.tell(), connection.body_headers(image, length_bytes(file))

            def attempt() -> T:
                return read(self._send("POST", path, content=pieces(file, start), headers=headers, params=options))

            return Retrying(**self._retrying)(attempt)

    def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise answer.lost(error) from error
