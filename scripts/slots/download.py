"""Fetches a model file: resumable, limited, through the proxies of the environment."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import httpx

from scripts.slots.contract import Refused

if TYPE_CHECKING:
    from click._termui_impl import ProgressBar

MOST_BYTES = 2**30
LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT_S = 30.0


def fetch(url: str, folder: Path) -> Path:
    """The file behind `url`, in `folder`, where an interrupted download is continued. Raises Refused."""
    where = urlsplit(url)
    if where.scheme != "https" and where.hostname not in LOOPBACK:
        raise Refused("Models are fetched over https only.")
    file = folder / (Path(where.path).name or "model.onnx")
    part = file.with_name(f"{file.name}.part")
    try:
        _continue(url, part)
    except (httpx.HTTPError, OSError) as problem:
        raise Refused(f"{url} cannot be fetched: {problem or type(problem).__name__}. Call again to continue.") from None
    return part.rename(file)


def _continue(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # it was complete
        answer.raise_for_status()
        continued = answer.status_code == httpx.codes.PARTIAL_CONTENT
        size = int(answer.headers.get("Content-Length", 0)) or None
        shown: AbstractContextManager[ProgressBar[int]] = click.progressbar(length=size, label=part.stem, file=sys.stderr)
        with part.open("ab" if continued else "wb") as out, shown as bar:
            for block in answer.iter_bytes():
                out.write(block)
                bar.update(len(block))
                if out.tell() > MOST_BYTES:
                    raise Refused(f"{url} has more than {MOST_BYTES >> 20} MiB.")
