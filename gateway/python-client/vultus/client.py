"""The client for ordinary programs."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import Retrying

from gateway.v1_schema import AnalysisOut, AttributeOut, AttributesOut, Health
from vultus import answer, connection
from vultus.connection import Order
from vultus.image import Image, length_bytes, opened, pieces


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
    ) -> AnalysisOut:
        """Analyse one image: a path, its bytes, or a file opened in binary mode, which are sent as they are.

        Or a NumPy array (uint8; RGB, so turn what OpenCV read) or a Pillow image, which are sent as PNG; or an http(s) address, which the
        service fetches if it does that.

        `attributes` are names from `attributes()`, "all" for all of them, None for those that the service gives by default. Of the faces
        come back those of at least `min_confidence` (0 to 1) and `min_face_px` (shorter side of the box), at most `max_faces`, in the
        order "confidence" (the default) or "size", the largest first. No face is an empty list.

        Raises VultusError, OSError when the file cannot be read, TypeError for what is no image.
        """
        with opened(image) as file:
            start, headers = file.tell(), connection.body_headers(image, length_bytes(file))
            parameters = connection.query(attributes, max_faces, min_confidence, min_face_px, order)

            def attempt() -> AnalysisOut:
                response = self._send("POST", "v1/analyze", content=pieces(file, start), headers=headers, params=parameters)
                return answer.read(response, AnalysisOut)

            return Retrying(**self._retrying)(attempt)

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

    def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise answer.lost(error) from error
