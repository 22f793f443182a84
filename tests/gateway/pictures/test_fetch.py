"""Images by URL: what must be refused is tried against a canary on loopback, which must never see a connection."""

from __future__ import annotations

import gzip
import http.server
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress

import dns.exception
import dns.message
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from gateway.errors import BodyTooLarge, DownloadFailed, Overloaded, RateLimited
from gateway.pictures.fetch import Fetcher
from gateway.settings import Settings

IMAGE = b"\xff\xd8 picture \xff\xd9"


class Canary:
    """Accepts and counts connections on 127.0.0.1 and, where there is one, ::1."""

    def __init__(self) -> None:
        self.touched = 0
        self._sockets: list[socket.socket] = []
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            try:
                listener = socket.create_server((host, self.port if self._sockets else 0), family=family)
            except OSError:
                continue
            self._sockets.append(listener)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._sockets[0].getsockname()[1])

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.touched += 1
            connection.close()

    def close(self) -> None:
        for listener in self._sockets:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


@pytest.fixture
def canary() -> Iterator[Canary]:
    bird = Canary()
    yield bird
    bird.close()


class Site(http.server.BaseHTTPRequestHandler):
    """A web server on 127.0.0.2, which the tests declare fetchable."""

    seen: dict[str, str]
    target = ""

    def do_GET(self) -> None:
        type(self).seen = {key.lower(): value for key, value in self.headers.items()}
        name = self.path.split("?")[0].strip("/")
        getattr(self, f"_{name}", self._image)()

    def _answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in ({"Content_Type": "image/jpeg", "Content_Length": str(len(body))} | headers).items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _image(self) -> None:
        self._answer(IMAGE)

    def _text(self) -> None:
        self._answer(b"<html>", Content_Type="text/html")

    def _missing(self) -> None:
        self._answer(b"", 404)

    def _bomb(self) -> None:
        self._answer(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")

    def _declared(self) -> None:
        self._answer(IMAGE, Content_Length=str(10**9))

    def _loop(self) -> None:
        self._answer(b"", 302, Location="/loop")

    def _away(self) -> None:
        self._answer(b"", 302, Location=type(self).target)

    def _once(self) -> None:
        self._answer(b"", 307, Location="/image")

    def _endless(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        while True:
            self.wfile.write(bytes(65536))

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            self.wfile.flush()
            time.sleep(0.1)

    def _silent(self) -> None:
        time.sleep(3)

    def log_message(self, *_: object) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what is tested."""


@pytest.fixture
def site() -> Iterator[str]:
    server = QuietServer(("127.0.0.2", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.2:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetcher(*ports: int, timeout_s: float = 1.0, **names: list[str]) -> Fetcher:
    settings = Settings(
        fetch_urls=True, fetch_timeout_s=timeout_s, fetch_ports=(80, 443, *ports), fetch_networks=("127.0.0.2/32",), max_image_bytes=100_000
    )
    if not names:
        return Fetcher(settings)
    return Fetcher(settings, lambda host, _: names[host.replace(".", "_")].pop(0).split(","))


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


HOSTILE = [
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://LOCALHOST:{port}/", "http://localhost.:{port}/",
    "http://127.1:{port}/", "http://127.0.1:{port}/", "http://2130706433:{port}/", "http://0x7f000001:{port}/", "http://0x7f.1:{port}/",
    "http://017700000001:{port}/", "http://0177.0.0.1:{port}/", "http://0:{port}/", "http://0.0.0.0:{port}/", "http://127.255.255.254:{port}/",
    "http://[::1]:{port}/", "http://[::]:{port}/", "http://[0:0:0:0:0:0:0:1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://[::ffff:7f00:1]:{port}/", "http://[::127.0.0.1]:{port}/", "http://[64:ff9b::7f00:1]:{port}/", "http://[2002:7f00:1::]:{port}/",
    "http://[fe80::1]:{port}/", "http://[fc00::1]:{port}/", "http://[ff02::1]:{port}/", "http://[fd00:ec2::254]/latest/meta-data/",
    "http://10.0.0.1/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/",
    "http://168.63.129.16/", "http://100.100.100.200/", "http://224.0.0.1/", "http://255.255.255.255/", "http://198.18.0.1/", "http://192.0.2.1/",
    "http://user@127.0.0.1:{port}/", "http://user:pass@example.com/", "http://example.com@127.0.0.1:{port}/", "http://127.0.0.1:{port}#@example.com/",
    "http://example.com\\@127.0.0.1:{port}/", "http://127.0.0.1:{port}\r\nX: y/", "http://127.0.0.1:{port}/\x00",
    "http:///", "http://", "//127.0.0.1:{port}/",
    "file:///etc/passwd", "ftp://127.0.0.1:{port}/", "gopher://127.0.0.1:{port}/_x", "data:image/png;base64,AAAA", "javascript:1",
    "dict://127.0.0.1:{port}/",
    "http://127.0.0.1:22/", "http://127.0.0.1:99999/", "http://127.0.0.1:-1/", "http://[::1",
    "http://\u2460\u2461\u2466.0.0.1:{port}/", "http://\uff11\uff12\uff17.0.0.1:{port}/",
    "", "x" * 5000, "http://" + "a" * 300 + ".test/",
]  # fmt: skip


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_urls_connect_nowhere(canary: Canary, url: str) -> None:
    with pytest.raises(DownloadFailed):
        fetcher(canary.port).fetch(url.replace("{port}", str(canary.port)))
    time.sleep(0.01)
    assert canary.touched == 0


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 40


@pytest.mark.parametrize(
    "target",
    [
        "http://127.0.0.1:{port}/",
        "http://[::1]:{port}/",
        "//127.0.0.1:{port}/",
        "http://2130706433:{port}/",
        "file:///etc/passwd",
    ],
)
def test_redirects_are_checked_too(canary: Canary, site: str, target: str) -> None:
    Site.target = target.replace("{port}", str(canary.port))
    with pytest.raises(DownloadFailed):
        fetcher(canary.port, port_of(site)).fetch(f"{site}/away")
    assert canary.touched == 0


def test_a_name_with_one_private_address_is_refused(canary: Canary) -> None:
    with pytest.raises(DownloadFailed):
        fetcher(canary.port, two_test=["93.184.216.34,127.0.0.1"]).fetch(f"http://two.test:{canary.port}/")
    assert canary.touched == 0


def test_a_name_is_resolved_once_and_that_address_is_used(canary: Canary, site: str) -> None:
    """The second answer of the name server would be the canary's."""
    names = ["127.0.0.2", "127.0.0.1"]
    port = port_of(site)
    assert fetcher(port, canary.port, turn_test=names).fetch(f"http://turn.test:{port}/image") == IMAGE
    assert names == ["127.0.0.1"]
    with pytest.raises(DownloadFailed):
        fetcher(port, canary.port, turn_test=names).fetch(f"http://turn.test:{port}/image")
    assert canary.touched == 0


def test_an_image_is_fetched(site: str) -> None:
    fetch = fetcher(port_of(site)).fetch
    assert fetch(f"{site}/image") == IMAGE
    assert fetch(f"{site}/once") == IMAGE
    assert fetch(f"{site}/gr%C3%BCn a?b=c d".replace(" ", "%20")) == IMAGE


def test_nothing_of_the_caller_is_passed_on(site: str) -> None:
    fetcher(port_of(site)).fetch(f"{site}/image")
    assert set(Site.seen) == {"host", "accept", "accept-encoding", "user-agent"}


@pytest.mark.parametrize("path", ["text", "missing", "bomb", "loop"])
def test_answers_that_are_no_image(site: str, path: str) -> None:
    with pytest.raises(DownloadFailed):
        fetcher(port_of(site)).fetch(f"{site}/{path}")


@pytest.mark.parametrize("path", ["endless", "declared"])
def test_too_many_bytes(site: str, path: str) -> None:
    with pytest.raises(BodyTooLarge):
        fetcher(port_of(site)).fetch(f"{site}/{path}")


@pytest.mark.parametrize("path", ["drip", "silent"])
def test_slow_answers_end_at_the_deadline(site: str, path: str) -> None:
    started = time.monotonic()
    with pytest.raises(DownloadFailed):
        fetcher(port_of(site), timeout_s=0.4).fetch(f"{site}/{path}")
    assert time.monotonic() - started < 2


@contextmanager
def name_server(answer: Callable[[dns.message.Message], dns.message.Message | None]) -> Iterator[dns.resolver.Resolver]:
    """A resolver that asks a server of ours, on loopback; it is silent where `answer` gives nothing."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                data, caller = server.recvfrom(512)
                if reply := answer(dns.message.from_wire(data)):
                    server.sendto(reply.to_wire(), caller)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(10)
        threading.Thread(target=serve, daemon=True).start()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.getsockname()[1]
        yield resolver


def test_slow_name_servers_end_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are asked for at once."""
    fetch = fetcher(timeout_s=0.5).fetch

    def ask(number: int) -> float:
        started = time.monotonic()
        with pytest.raises(DownloadFailed):
            fetch(f"http://slow{number}.test/")
        return time.monotonic() - started

    with name_server(lambda _: None) as resolver, ThreadPoolExecutor(24) as pool:
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)
        took_s = list(pool.map(ask, range(24)))
    assert min(took_s) > 0.4
    assert max(took_s) < 3


@pytest.mark.parametrize(("records", "allowed"), [(["93.184.216.34"], True), (["93.184.216.34", "127.0.0.1"], False), ([], False)])
def test_all_addresses_that_the_name_server_tells_are_looked_at(records: list[str], allowed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        if query.question[0].rdtype == dns.rdatatype.A and records:
            reply.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", *records))
        return reply

    with name_server(answer) as resolver:
        monkeypatch.setattr(dns.resolver, "Resolver", lambda: resolver)
        with nullcontext() if allowed else pytest.raises((DownloadFailed, dns.exception.DNSException)):
            assert fetcher().address_of("name.test", time.monotonic() + 5) == "93.184.216.34"


def test_so_many_calls_of_a_key_and_of_all_may_fetch() -> None:
    limited = Fetcher(Settings(fetch_urls=True, fetches_per_key=2, max_fetches=3))
    with limited.admitted(1), limited.admitted(1):
        with pytest.raises(RateLimited), limited.admitted(1):
            pass
        with limited.admitted(2), pytest.raises(Overloaded), limited.admitted(3):
            pass
    with limited.admitted(None), limited.admitted(None), limited.admitted(None):
        pass


def test_off_unless_enabled() -> None:
    with pytest.raises(DownloadFailed):
        Fetcher(Settings()).fetch("https://example.com/a.jpg")


def test_a_private_name_is_told_like_an_unknown_one() -> None:
    """Callers do not learn which names there are in the operator's network."""

    def unknown(*_: object) -> list[str]:
        raise dns.resolver.NXDOMAIN

    settings, told = Settings(fetch_urls=True), []
    for resolver in (unknown, lambda *_: ["10.0.0.1"], lambda *_: []):
        with pytest.raises(DownloadFailed) as refused:
            Fetcher(settings, resolver).fetch("http://database.internal/a.jpg")
        told.append((refused.value.detail, refused.value.retry_after_s))
    assert told == [(None, None)] * 3
