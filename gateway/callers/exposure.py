"""Whether a gateway may start: one that others reach and that asks nobody for a key has to be wanted."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from gateway.callers.keys import KeyStore
from gateway.errors import GatewayError
from gateway.settings import Settings


def refusal(hosts: Iterable[str], settings: Settings) -> str | None:
    """Why a gateway that listens on `hosts` must not start with these settings; None when it may."""
    reached = [host for host in hosts if not only_here(host)]
    if not reached or settings.insecure_open or settings.require_keys:
        return None
    try:
        if settings.require_keys is None and KeyStore(settings.keys_url).any():
            return None
    except GatewayError as problem:
        return f"Whether callers need a key cannot be told: {problem.detail}"
    return (
        f"Nobody needs a key, and {reached[0]} can be reached by others: issue one with `vultus keys create`, "
        "set VULTUS_REQUIRE_KEYS=true or VULTUS_INSECURE_OPEN=true."
    )


def only_here(host: str) -> bool:
    """Whether nobody but this machine reaches `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
