"""Mutated pictures and requests against a running service: what it may answer, and that it is still there afterwards."""

from __future__ import annotations

import http.client
import random
import re
import socket
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

from tqdm import tqdm

from scripts.fuzzing import likeness, seeds
from scripts.fuzzing.mutations import damaged, malformed
from scripts.fuzzing.targets import ALLOWED, KINDS, LEAKS, PATHS, Finding, check

CLIENTS, TIMEOUT_S = 6, 60
METHODS = ("POST",) * 12 + ("GET", "PUT", "DELETE", "OPTIONS", "HEAD")
RAW_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """How one request ended: a label to count, and what is wrong about it."""

    label: str
    finding: str | None = None


def run(base: str, requests: int, forms: int, seed: int) -> int:
    """Send odd `forms` of a photograph, then `requests` mutated ones, and print what came back.

    Returns 1 when anything was found or the service does not work any more.
    """
    found = likeness.run(base, forms, seed)
    sys.stdout.write(f"{forms} odd forms drawn, {len(found)} findings\n")
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        results = pool.map(lambda number: _one(base, random.Random(f"{seed} {number}")), range(requests))  # noqa: S311
        for result in tqdm(results, total=requests, disable=None):
            counts[result.label] += 1
            if result.finding:
                found.append(result.finding)
    with urllib.request.urlopen(f"{base}/readyz", timeout=10) as answer:  # noqa: S310  the operator's own address
        ready = answer.status == 200
    sys.stdout.write("".join(f"{count:7} {label}\n" for label, count in sorted(counts.items())))
    sys.stdout.writelines(f"FINDING {finding}\n" for finding in found[:50])
    sys.stdout.write(f"{requests} requests, {len(found)} findings, {'ready' if ready else 'NOT READY'} afterwards\n")
    return 0 if ready and not found else 1


_LOCAL = threading.local()


def _one(base: str, chance: random.Random) -> Result:
    send: Callable[[str, random.Random], Result] = _raw if chance.random() < RAW_SHARE else _mutated
    try:
        return send(base, chance)
    except Finding as finding:
        return Result("finding", str(finding))
    except (OSError, http.client.HTTPException) as problem:
        return Result("no answer", f"{type(problem).__name__}: {problem}")


def _mutated(base: str, chance: random.Random) -> Result:
    """Well-formed HTTP with a damaged picture in a right body, or a damaged body."""
    path, kind, body = _request(chance)
    method = chance.choice(METHODS)
    where = urlsplit(base)
    with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=TIMEOUT_S)) as connection:
        connection.request(method, path, body, {"Content-Type": kind, "X-Request-ID": chance.choice(("a", "x" * 3000, "%00", "{{1}}"))})
        answer = connection.getresponse()
        data = answer.read()
    if method in ("HEAD", "OPTIONS"):
        if answer.status >= 500:
            raise Finding(f"{method} {path}: {answer.status}")
    else:
        check(answer.status, (answer.getheader("Content-Type") or "").split(";")[0], data)
    return Result(f"{answer.status}")


def _request(chance: random.Random) -> tuple[str, str, bytes]:
    pictures, bodies = _seeds()
    if chance.random() < 0.6:
        index = chance.choice(list(seeds.FIELDS))
        data = damaged(chance.choice(pictures), chance, pictures)
        return PATHS[index], KINDS[0], seeds.form({seeds.FIELDS[index]: data, "access_key": b"k", "secret_key": b"s"})
    if chance.random() < 0.3:
        return PATHS[0], "image/jpeg", damaged(chance.choice(pictures), chance, pictures)
    whole = chance.choice(bodies)
    path, kind = PATHS[whole[0] % len(PATHS)], KINDS[whole[1] % len(KINDS)]
    line, _, body = whole[2:].partition(b"\n")
    query = re.sub(r"[^!-~]", "", damaged(line, chance, pictures)[:200].decode("latin-1")).replace("#", "")
    return f"{path}?{query}", kind, damaged(body, chance, bodies)


def _raw(base: str, chance: random.Random) -> Result:
    """Malformed HTTP: refused or cut off, never a server error."""
    where = urlsplit(base)
    with closing(socket.create_connection((where.hostname or "", where.port or 80), TIMEOUT_S)) as connection:
        name, data = malformed(chance)
        answer = b""
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:
            pass  # the server may close the connection
    first = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    status = int(first[1]) if first else 0
    if (answer and not first) or (status >= 500 and status not in ALLOWED) or any(leak in answer for leak in LEAKS):
        raise Finding(f"{name}: {answer[:200]!r}")
    return Result(f"{name}: {status or 'closed'}")


def _seeds() -> tuple[list[bytes], list[bytes]]:
    if not hasattr(_LOCAL, "seeds"):
        kept = {target: [path.read_bytes() for path in sorted((seeds.CORPUS / target).iterdir())] for target in ("decode", "requests")}
        _LOCAL.seeds = kept["decode"], kept["requests"]
    pictures, bodies = _LOCAL.seeds
    return pictures, bodies
