"""The client for asyncio programs: the same methods as `Client`, to be awaited."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from tenacity import AsyncRetrying
from tqdm import tqdm

from gateway.v1_schema import AttributeOut, AttributesOut, Health
from vultus import answer, connection
from vultus.analysis import Analysis
from vultus.connection import Method, Order
from vultus.errors import VultusError
from vultus.image import Image, length_bytes, opened, pieces_in_a_thread

T = TypeVar("T")


class AsyncClient:
    """One service, as `Client`: same settings, same errors. Belongs to one event loop; may be used by many tasks."""

    def __init__(
        self,
        url: str = connection.DEFAULT_URL,
        *,
        key: str | None = None,
        timeout_s: float = connection.DEFAULT_TIMEOUT_S,
        retries: int = connection.DEFAULT_RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._http = connection.made(httpx.AsyncClient, connection.settings(url, key, timeout_s), transport)
        self._retrying = connection.retrying(retries)

    async def analyze(
        self,
        image: Image,
        *,
        attributes: Sequence[str] | None = None,
        max_faces: int | None = None,
        min_confidence: float | None = None,
        min_face_px: int | None = None,
        order: Order | None = None,
    ) -> Analysis:
        """As `Client.analyze`. A file is read in a thread."""
        options = connection.query(attributes, max_faces, min_confidence, min_face_px, order)
        return await self._posted("v1/analyze", image, options, lambda response: answer.read(response, Analysis))

    async def analyze_many(
        self, images: Iterable[Image], *, concurrency: int = 4, progress: bool = False, **options: Any
    ) -> AsyncIterator[tuple[Image, Analysis | VultusError | OSError]]:
        """As `Client.analyze_many`."""

        async def outcome(image: Image) -> tuple[Image, Analysis | VultusError | OSError]:
            try:
                return image, await self.analyze(image, **options)
            except (VultusError, OSError) as error:
                return image, error

        pending: deque[asyncio.Task[tuple[Image, Analysis | VultusError | OSError]]] = deque()
        with tqdm(total=len(images) if isinstance(images, Sequence) else None, unit="picture", disable=not progress) as bar:
            try:
                for image in images:
                    pending.append(asyncio.create_task(outcome(image)))
                    if len(pending) >= concurrency:
                        yield await pending.popleft()
                        bar.update()
                while pending:
                    yield await pending.popleft()
                    bar.update()
            finally:
                for task in pending:
                    task.cancel()

    async def redact(
        self,
        image: Image,
        *,
        method: Method | None = None,
        margin: float | None = None,
        min_confidence: float | None = None,
        min_face_px: int | None = None,
    ) -> bytes:
        """As `Client.redact`."""
        options = connection.texts(method=method, margin=margin, min_confidence=min_confidence, min_face_px=min_face_px)
        return await self._posted("v1/redact", image, options, answer.read_picture)

    async def draw(
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
        """As `Client.draw`."""
        options = connection.query(attributes, max_faces, min_confidence, min_face_px, order) | connection.texts(show=show)
        return await self._posted("v1/draw", image, options, answer.read_picture)

    async def attributes(self) -> list[AttributeOut]:
        """As `Client.attributes`."""

        async def attempt() -> AttributesOut:
            return answer.read(await self._send("GET", "v1/attributes"), AttributesOut)

        return (await AsyncRetrying(**self._retrying)(attempt)).attributes

    async def ready(self) -> bool:
        """As `Client.ready`."""
        return (await self.readiness()).status == "ready"

    async def readiness(self) -> Health:
        """As `Client.readiness`."""
        return answer.read_health(await self._send("GET", "readyz"))

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _posted(self, path: str, image: Image, options: dict[str, str], read: Callable[[httpx.Response], T]) -> T:
        with opened(image) as file:
            start, headers = file.tell(), connection.body_headers(image, length_bytes(file))

            async def attempt() -> T:
                body = pieces_in_a_thread(file, start)
                return read(await self._send("POST", path, content=body, headers=headers, params=options))

            return await AsyncRetrying(**self._retrying)(attempt)

    async def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise answer.lost(error) from error
