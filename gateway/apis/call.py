"""How a route is called, in one row: it documents the route, says where its key is, and feeds benchmark, soak and chaos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import request

from gateway.callers.admission import Credentials


@dataclass(frozen=True, slots=True)
class Call:
    """A route that takes one picture.

    `picture`: the field that holds it, a file of a form or, with `json`, text. `secret` and, where keys have a second, public part,
    `identifier` name the headers in which a key comes, or with `key_in_body` fields beside the picture.
    """

    path: str
    picture: str
    secret: str
    identifier: str = ""
    json: bool = False
    key_in_body: bool = False

    @property
    def key(self) -> tuple[str, ...]:
        """Names of the parts of a key, the public one first."""
        return tuple(name for name in (self.identifier, self.secret) if name)

    @property
    def headers(self) -> tuple[str, ...]:
        """Headers that carry the key."""
        return () if self.key_in_body else self.key

    @property
    def fields(self) -> dict[str, str]:
        """Type of each field of the body: file or text."""
        return {self.picture: "text" if self.json else "file"} | dict.fromkeys(self.key if self.key_in_body else (), "text")

    def credentials(self, body: Mapping[str, Any] | None = None) -> Credentials:
        """The key of the current request. `body`: its JSON, if the key is in there."""
        given = request.headers if not self.key_in_body else request.form if body is None else body
        secret, identifier = (value if isinstance(value := given.get(name), str) else None for name in (self.secret, self.identifier))
        return Credentials(secret, identifier, paired=bool(self.identifier))
