"""Multipart forms, read in memory: each part with its bytes, whether or not it has a file name, and whatever encoding that name is in.

Werkzeug's own parser spools files to disk, gives up a whole form for one file name that is not UTF-8, says nothing when it gives up, and
makes text of a part without a file name. Its decoder is what is used here.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any, cast

from flask import Request, current_app, request
from werkzeug.datastructures import FileStorage, Headers, ImmutableMultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder, NeedData

MULTIPART = "multipart/form-data"
# Names of the fields in which some API takes a picture: without a file name these may be longer than text.
PICTURE_FIELDS = "VULTUS_PICTURE_FIELDS"
PIECE_BYTES = 2**16
# In a header that is not UTF-8. Half of a Shift-JIS character may be a backslash, which would escape the quote behind it.
FOREIGN = re.compile(rb"[\x80-\xff]\\?")
NO_BOUNDARY = (
    "The Content-Type multipart/form-data has no boundary. Leave the header to your HTTP library: "
    "it knows the boundary (with fetch and axios: set no Content-Type beside a FormData)."
)
NO_FORM = "The body is not multipart/form-data with the boundary that its Content-Type names."


class FormRequest(Request):
    """`form` and `files` as ever. `unnamed`: the bytes of all parts without a file name. `form_problem`: why there is no form."""

    unnamed: ImmutableMultiDict[str, bytes] = ImmutableMultiDict()
    form_problem: str | None = None

    def _load_form_data(self) -> None:
        if "form" in self.__dict__:
            return
        if self.mimetype != MULTIPART:
            super()._load_form_data()
            return
        found: list[tuple[File | Field, bytes]] = []
        try:
            found.extend(self._parts())
        except ValueError:
            found.clear()
            self.form_problem = NO_FORM if self.mimetype_params.get("boundary") else NO_BOUNDARY
        self._cached_data = b""  # the parts hold all of it
        self._keep(found)

    def _parts(self) -> Iterator[tuple[File | Field, bytes]]:
        boundary = self.mimetype_params.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError
        longer = current_app.config.get(PICTURE_FIELDS, frozenset())
        decoder = _Decoder(boundary, self.max_form_memory_size, max_parts=self.max_form_parts)
        for part, data in _decoded(decoder, self.get_data()):
            size_limit = None if isinstance(part, File) or part.name in longer else self.max_form_memory_size
            if size_limit is not None and len(data) > size_limit:
                raise RequestEntityTooLarge
            yield part, data

    def _keep(self, parts: list[tuple[File | Field, bytes]]) -> None:
        limit = self.max_form_memory_size or 0
        texts = [(part.name or "", data) for part, data in parts if isinstance(part, Field)]
        files = [
            (part.name or "", FileStorage(io.BytesIO(data), part.filename, part.name, headers=part.headers))
            for part, data in parts
            if isinstance(part, File)
        ]
        self.unnamed = ImmutableMultiDict(texts)
        self.__dict__["stream"] = io.BytesIO()
        self.__dict__["form"] = ImmutableMultiDict([(name, data.decode(errors="replace")) for name, data in texts if len(data) <= limit])
        self.__dict__["files"] = ImmutableMultiDict(files)


class _Decoder(MultipartDecoder):
    """Takes headers in any encoding."""

    def _parse_headers(self, data: bytes | bytearray) -> Headers:
        try:
            data.decode()
        except UnicodeDecodeError:
            data = FOREIGN.sub("\ufffd".encode(), data)
        return super()._parse_headers(data)


def current() -> FormRequest:
    """The current request, its form parsed."""
    asked = cast(FormRequest, request)
    _ = asked.form
    return asked


def _decoded(decoder: MultipartDecoder, body: bytes) -> Iterator[tuple[File | Field, bytes]]:
    """Each part when it is complete. Raises ValueError for no form, RequestEntityTooLarge for too many parts or too long headers."""
    part: File | Field | None = None
    pieces: list[bytes] = []
    for event in _events(decoder, body):
        if isinstance(event, File | Field):
            part, pieces = event, []
        elif isinstance(event, Data) and part:
            pieces.append(event.data)
            if not event.more_data:
                yield part, b"".join(pieces)


def _events(decoder: MultipartDecoder, body: bytes) -> Iterator[Any]:
    for start in range(0, len(body), PIECE_BYTES):
        decoder.receive_data(body[start : start + PIECE_BYTES])
        while not isinstance(event := decoder.next_event(), NeedData | Epilogue):
            yield event
    decoder.receive_data(None)
    while not isinstance(event := decoder.next_event(), Epilogue):
        yield event
