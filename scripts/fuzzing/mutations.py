"""Damage done on purpose: to bytes, and to HTTP itself."""

from __future__ import annotations

import random
from collections.abc import Sequence

EDGES = (
    b"\x00",
    b"\xff",
    b"\x00\x00\x00\x00",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\x00",
    b"\xff\xd8",
    b"\xff\xd9",
    b"IDAT",
    b"\r\n--",
)


def damaged(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """One to eight changes; now and then none, so that right answers stay among them."""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8))):
        at = chance.randrange(len(data) + 1)
        change = chance.randrange(6)
        if change == 0 and data:  # a bit
            at = min(at, len(data) - 1)
            data = data[:at] + bytes([data[at] ^ (1 << chance.randrange(8))]) + data[at + 1 :]
        elif change == 1:  # an extreme value
            edge = chance.choice(EDGES)
            data = data[:at] + edge + data[at + len(edge) :]
        elif change == 2:  # an insertion
            data = data[:at] + chance.randbytes(chance.randrange(1, 16)) + data[at:]
        elif change == 3:  # a gap
            data = data[:at] + data[at + chance.randrange(1, 32) :]
        elif change == 4:  # the end is missing
            data = data[:at] if chance.random() < 0.3 else data
        else:  # the end of something else
            other = chance.choice(others)
            data = data[:at] + other[chance.randrange(len(other) + 1) :]
    return data


def malformed(chance: random.Random) -> tuple[str, bytes]:
    """Name and bytes of a request that is not proper HTTP, or barely."""
    post = b"POST /v1/analyze HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\n"
    kinds = {
        "header flood": post + b"".join(b"X-%d: a\r\n" % i for i in range(5000)) + b"\r\n",
        "giant header": post + b"X: " + b"a" * 200_000 + b"\r\n\r\n",
        "long line": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "length too large": post + b"Content-Length: 500\r\n\r\nshort",
        "length too small": post + b"Content-Length: 3\r\n\r\n" + b"longer than said",
        "length negative": post + b"Content-Length: -5\r\n\r\nbody",
        "length huge": post + b"Content-Length: 99999999999999999999\r\n\r\nbody",
        "length no number": post + b"Content-Length: ten\r\n\r\nbody",
        "two lengths": post + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nbody",
        "length and chunks": post + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunks": post + b"Transfer-Encoding: chunked\r\n\r\n4\r\n\xff\xd8\xff\xe0\r\n0\r\n\r\n",
        "chunk huge": post + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nabc",
        "chunk no number": post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        "chunks end early": post + b"Transfer-Encoding: chunked\r\n\r\n10\r\nabc",
        "null in path": b"GET /v1/\x00a HTTP/1.1\r\nHost: a\r\n\r\n",
        "null in header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        "noise": chance.randbytes(300) + b"\r\n\r\n",
        "other version": b"POST /v1/analyze HTTP/9.9\r\nHost: a\r\n\r\n",
    }
    name = chance.choice(list(kinds))
    return name, kinds[name]
