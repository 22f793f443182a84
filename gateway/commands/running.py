"""Gateways that run on this machine under this user, and which database of keys each asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from gateway.settings import DATA, KEYS, Settings

PROCESSES = Path("/proc")  # elsewhere than on Linux there is none, and no gateway is found
GATEWAY = b"gateway.app:create_app()"


def databases() -> dict[int, str]:
    """SQLAlchemy URL of the keys by process number."""
    return dict(_databases())


def _databases() -> Iterator[tuple[int, str]]:
    for process in PROCESSES.glob("[0-9]*"):
        try:
            if GATEWAY not in (process / "cmdline").read_bytes().split(b"\0"):
                continue
            pairs = (line.partition(b"=") for line in (process / "environ").read_bytes().split(b"\0"))
            environment = {name.decode(): value.decode() for name, _, value in pairs if name.startswith(b"VULTUS_")}
            data, url = environment.get("VULTUS_DATA", str(DATA)), environment.get("VULTUS_KEYS_URL", KEYS)
            yield int(process.name), Settings(data=(process / "cwd").readlink() / data, keys_url=url).keys_url
        except (OSError, UnicodeDecodeError, ValidationError):  # has ended, or is another user's
            continue
