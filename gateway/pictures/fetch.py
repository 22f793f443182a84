"""Images by URL, without becoming a way into the operator's network.

httpcore connects through a backend of ours: the name is resolved once, every address it has must be public, and the
connection goes to the address that was checked. Redirects run through the same backend. No header of the caller, no
credentials, no proxy, no content encoding; bytes and time are limited while streaming. Names are asked of the name servers of
resolv.conf (dnspython), because the system's own resolver, which also knows the hosts file, has no deadline.
"""

from __future__ import annotations

import ipaddress
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import dns.exception
import dns.resolver
import httpcore

from gateway import metrics
from gateway.errors import BodyTooLarge, DownloadFailed, Overloaded, RateLimited
from gateway.settings import Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, float], list[str]]  # from a name and the seconds that are left to its addresses

DEFAULT_PORTS = {"http": 80, "https": 443}
REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS, MAX_URL_CHARACTERS = 3, 2000
PATH_CHARACTERS = "/%:@!$&'()*+,;=~-._"
HEADERS = [("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "vultus")]
# IPv6 ranges that carry an IPv4 address: translated (RFC 6052, 8215), 6to4, Teredo.
CARRIERS = [ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")]
# Cloud metadata at public-looking addresses.
METADATA = {ipaddress.ip_address("168.63.129.16"), ipaddress.ip_address("100.100.100.200")}


class Fetcher:
    """Downloads one image. Thread-safe."""

    def __init__(self, settings: Settings, resolver: Resolver | None = None) -> None:
        self._settings = settings
        self._resolver = resolver or _resolve
        self._allowed = [ipaddress.ip_network(text) for text in settings.fetch_networks]
        self._under_way: Counter[int | None] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def admitted(self, caller: int | None) -> Iterator[None]:
        """Around the downloads of one call. Raises RateLimited when this caller, Overloaded when all together have too many.

        `caller` is the number of a key. Those who need none are not told apart.
        """
        with self._lock:
            if caller is not None and self._under_way[caller] >= self._settings.fetches_per_key:
                raise RateLimited("Too many images are being fetched for this key.", retry_after_s=1)
            if self._under_way.total() >= self._settings.max_fetches:
                metrics.REJECTED.labels("fetches").inc()
                raise Overloaded(retry_after_s=1)
            self._under_way[caller] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= Counter([caller])

    def fetch(self, url: str) -> bytes:
        """GET an image. Raises DownloadFailed (also when fetching is switched off), BodyTooLarge."""
        if not self._settings.fetch_urls:
            raise DownloadFailed("Fetching images by URL is switched off here.")
        deadline = time.monotonic() + self._settings.fetch_timeout_s
        target = url
        try:
            for _ in range(MAX_REDIRECTS + 1):
                answer = self._get(self._checked(target), deadline)
                if isinstance(answer, bytes):
                    return answer
                target = urllib.parse.urljoin(target, answer)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, dns.exception.DNSException, OSError, ValueError):
            raise DownloadFailed from None
        raise DownloadFailed("The address redirects too often.")

    def _checked(self, url: str) -> urllib.parse.SplitResult:
        """Raises DownloadFailed, ValueError for a URL that may not be asked for."""
        if len(url) > MAX_URL_CHARACTERS or any(c.isspace() or not c.isprintable() for c in url):
            raise DownloadFailed("The address is not a usable URL.")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None or parts.password is not None:
            raise DownloadFailed("Only plain http and https addresses are fetched.")
        if (parts.port or DEFAULT_PORTS[parts.scheme]) not in self._settings.fetch_ports:
            raise DownloadFailed("This port is not fetched from.")
        return parts

    def _get(self, parts: urllib.parse.SplitResult, deadline: float) -> bytes | str:
        """The body, or where to go on. A connection of its own each time: nothing is shared between callers."""
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        path = urllib.parse.quote(parts.path or "/", safe=PATH_CHARACTERS)
        query = f"?{urllib.parse.quote(parts.query, safe=PATH_CHARACTERS + '?')}" if parts.query else ""
        target = httpcore.URL(scheme=parts.scheme.encode(), host=host.encode(), port=parts.port, target=(path + query).encode())
        name = f"[{host}]" if ":" in host else host
        headers = [("Host", name if port == DEFAULT_PORTS[parts.scheme] else f"{name}:{port}"), *HEADERS]
        backend = _CheckedBackend(self, deadline)
        timeout = {kind: max(0.01, deadline - time.monotonic()) for kind in ("connect", "read", "write", "pool")}
        extensions = {"timeout": timeout}
        with (
            httpcore.ConnectionPool(network_backend=backend) as pool,
            pool.stream("GET", target, headers=headers, extensions=extensions) as answer,
        ):
            fields = {key.lower(): value for key, value in answer.headers}
            if answer.status in REDIRECTS and b"location" in fields:
                return fields[b"location"].decode("latin-1")
            self._check_answer(answer.status, fields)
            return self._read(answer.iter_stream(), deadline)

    def _check_answer(self, status: int, fields: dict[bytes, bytes]) -> None:
        if status != 200 or fields.get(b"content-encoding", b"identity").lower() != b"identity":
            raise DownloadFailed("The address does not answer with a plain file.")
        kind = fields.get(b"content-type", b"application/octet-stream").split(b";")[0].strip().lower()
        if not (kind.startswith(b"image/") or kind in (b"application/octet-stream", b"binary/octet-stream")):
            raise DownloadFailed("The address does not answer with an image.")
        length = fields.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._settings.max_image_bytes:
            raise BodyTooLarge

    def _read(self, chunks: Iterable[bytes], deadline: float) -> bytes:
        body = bytearray()
        for chunk in chunks:
            body += chunk
            if len(body) > self._settings.max_image_bytes:
                raise BodyTooLarge
            if time.monotonic() > deadline:
                raise DownloadFailed
        return bytes(body)

    def address_of(self, host: str, deadline: float) -> str:
        """The address to connect to. Raises DownloadFailed unless every address of the name may be connected to."""
        found = self._resolver(host, max(0.01, deadline - time.monotonic()))
        if not found or not all(self._may_connect(ipaddress.ip_address(text.split("%")[0])) for text in found):
            raise DownloadFailed
        return found[0]

    def _may_connect(self, address: Address) -> bool:
        if any(address in network for network in self._allowed if network.version == address.version):
            return True
        if isinstance(address, ipaddress.IPv6Address):
            if address.ipv4_mapped is not None or any(address in network for network in CARRIERS):
                return False
            if int(address) >> 32 == 0:  # the deprecated IPv4-compatible range
                return False
        return address.is_global and not address.is_multicast and address not in METADATA


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects only where the fetcher allows, and lets no read outlast the deadline."""

    def __init__(self, fetcher: Fetcher, deadline: float) -> None:
        self._fetcher, self._deadline = fetcher, deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, local_address: str | None = None, socket_options: Any = None
    ) -> httpcore.NetworkStream:
        address = self._fetcher.address_of(host, self._deadline)
        left = max(0.01, self._deadline - time.monotonic())
        return _LimitedStream(self._plain.connect_tcp(address, port, left, local_address, socket_options), self._deadline)

    def connect_unix_socket(self, path: str, timeout: float | None = None, socket_options: Any = None) -> httpcore.NetworkStream:
        raise httpcore.ConnectError("not from here")


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left())

    def close(self) -> None:
        self._stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> httpcore.NetworkStream:
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, self._left()), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("deadline")
        return left


def _resolve(host: str, left_s: float) -> list[str]:
    """All addresses of a name; an address is its own. Raises DNSException."""
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    return list(dns.resolver.Resolver().resolve_name(host, lifetime=left_s).addresses())
