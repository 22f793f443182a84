"""The client for asyncio programs: the same methods as `Client`, to be awaited."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import httpx
from tenacity import AsyncRetrying

from gateway.v1_schema import AnalysisOut, AttributeOut, AttributesOut, Health
from vultus import answer, connection
from vultus.connection import Order
from vultus.image import Image, length_bytes, opened, pieces_in_a_thread


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
    ) -> AnalysisOut:
        """As `Client.analyze`. A file is read in a thread."""
        with opened(image) as file:
            start, headers = file.tell(), connection.body_headers(image, length_bytes(file))
            parameters = connection.query(attributes, max_faces, min_confidence, min_face_px, order)

            async def attempt() -> AnalysisOut:
                body = pieces_in_a_thread(file, start)
                response = await self._send("POST", "v1/analyze", content=body, headers=headers, params=parameters)
                return answer.read(response, AnalysisOut)

            return await AsyncRetrying(**self._retrying)(attempt)

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

    async def _send(self, method: str, path: str, **parts: Any) -> httpx.Response:
        try:
            return await self._http.request(method, path, **parts)
        except httpx.TransportError as error:
            raise answer.lost(error) from error
