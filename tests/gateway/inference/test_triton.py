"""The client of Triton against a real gRPC server: deadline, hanging up, retry, breaker, several replicas."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from pydantic import SecretStr
from tritonclient.utils import InferenceServerException

from gateway import metrics
from gateway.deadline import CURRENT, LOOK_S, Call
from gateway.errors import CallerGone, GatewayError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.inference import breaker, retry
from gateway.inference.triton import GIVEN_UP_AFTER_S, SECRET_HEADER, TritonClient
from gateway.models import GEOMETRY
from tests.grpc_server import UNAVAILABLE, Scripted, serving

PICTURE = np.zeros((48, 64, 3), np.uint8)
FULL = (grpc.StatusCode.UNAVAILABLE, "in ensemble 'face_analysis', [request id: <id_unknown>] Exceeds maximum queue size")
TOO_LONG = (grpc.StatusCode.UNAVAILABLE, "in ensemble 'face_analysis', Request timeout expired")


@pytest.fixture
def server() -> Iterator[tuple[Scripted, TritonClient]]:
    servicer = Scripted()
    with serving(servicer) as (_, port):
        yield servicer, TritonClient(f"127.0.0.1:{port}", 5)


@contextlib.contextmanager
def during(call: Call) -> Iterator[None]:
    token = CURRENT.set(call)
    try:
        yield
    finally:
        CURRENT.reset(token)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("secret", ["", "s3cret"])
def test_the_secret_of_restricted_protocols_goes_with_every_call(secret: str) -> None:
    servicer = Scripted()
    with serving(servicer) as (_, port):
        TritonClient(f"127.0.0.1:{port}", 5, secret=SecretStr(secret)).infer(PICTURE, GEOMETRY)
    assert servicer.headers[0].get(SECRET_HEADER, "") == secret


@pytest.mark.parametrize(("cancels", "later_s"), [(True, 0), (False, GIVEN_UP_AFTER_S)])
def test_both_deadlines_are_what_is_left_of_the_call(server: tuple[Scripted, TritonClient], cancels: bool, later_s: float) -> None:
    """gRPC's would cancel the call, so it is later where that is not wanted."""
    servicer, client = server
    client._cancels = cancels
    with during(Call(time.monotonic() + 2)):
        client.infer(PICTURE, GEOMETRY)
    client.infer(PICTURE, GEOMETRY)
    # The server's clock may see a few milliseconds more than were left.
    limits = (2 + later_s, 5 + later_s)
    assert [limit - 1.5 < left < limit + 0.2 for left, limit in zip(servicer.seconds_left, limits, strict=True)] == [True, True]
    assert [1e6 < us <= limit for us, limit in zip(servicer.timeout_us, (2e6, 5e6), strict=True)] == [True, True]


def test_a_call_whose_time_is_over_asks_nobody(server: tuple[Scripted, TritonClient]) -> None:
    servicer, client = server
    with during(Call(time.monotonic() - 0.01)), pytest.raises(UpstreamTimeout):
        client.infer(PICTURE, GEOMETRY)
    assert servicer.asked == 0


@pytest.mark.parametrize("cancels", [True, False])
def test_a_slow_server_is_left_at_the_deadline(server: tuple[Scripted, TritonClient], cancels: bool) -> None:
    servicer, client = server
    client._cancels = cancels
    servicer.free.clear()
    with during(Call(time.monotonic() + 0.3)), pytest.raises(UpstreamTimeout):
        client.infer(PICTURE, GEOMETRY)
    if cancels:
        assert servicer.cancelled.wait(5)
        return
    assert len(client._under_way) == 1
    assert not servicer.cancelled.is_set()
    servicer.free.set()
    client.close()  # waits for what is under way
    assert not client._under_way


@contextlib.contextmanager
def hanging_up(servicer: Scripted) -> Iterator[Call]:
    """A call of a caller that hangs up as soon as the server works for it."""
    ours, theirs = socket.socketpair()

    def hang_up() -> None:
        servicer.entered.wait(5)
        theirs.close()

    threading.Thread(target=hang_up).start()
    with ours, during(call := Call(time.monotonic() + 20, ours)):
        yield call


def test_the_call_is_cancelled_when_the_caller_hangs_up(server: tuple[Scripted, TritonClient]) -> None:
    servicer, client = server
    client._cancels = True
    servicer.free.clear()
    with hanging_up(servicer), pytest.raises(CallerGone):
        client.infer(PICTURE, GEOMETRY)
    assert servicer.cancelled.wait(5)


def test_where_it_is_not_cancelled_the_call_lasts_until_the_server_is_done(server: tuple[Scripted, TritonClient]) -> None:
    """So that what is under way is counted as long as it is."""
    servicer, client = server
    servicer.free.clear()
    gone = metrics.REJECTED.labels("caller_gone")
    before = gone._value.get()

    def finish(call: Call) -> None:
        while not call.abandoned():
            time.sleep(0.01)
        time.sleep(4 * LOOK_S)
        done.append(servicer.cancelled.is_set())
        servicer.free.set()

    done: list[bool] = []
    with hanging_up(servicer) as call:
        finisher = threading.Thread(target=finish, args=(call,))
        finisher.start()
        with pytest.raises(CallerGone):
            client.infer(PICTURE, GEOMETRY)
        finisher.join()
    assert done == [False]
    assert gone._value.get() == before + 1


def test_nobody_is_asked_for_a_caller_that_has_hung_up(server: tuple[Scripted, TritonClient]) -> None:
    servicer, client = server
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours, during(Call(time.monotonic() + 20, ours)), pytest.raises(CallerGone):
        client.infer(PICTURE, GEOMETRY)
    assert servicer.asked == 0
    assert not client._under_way


def test_shared_memory_comes_back_only_when_the_server_is_done(
    server: tuple[Scripted, TritonClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may read the picture until then, however long ago its caller was told that it is too late."""
    servicer, client = server
    given_back: list[bool] = []
    monkeypatch.setattr(client._shared, "place", lambda *_: SimpleNamespace(name="region"))
    monkeypatch.setattr(client._shared, "give_back", lambda _, settled, __: given_back.append(settled))
    client.infer(PICTURE, GEOMETRY)
    assert given_back == [True]
    servicer.free.clear()
    with during(Call(time.monotonic() + 0.3)), pytest.raises(UpstreamTimeout):
        client.infer(PICTURE, GEOMETRY)
    assert given_back == [True]
    servicer.free.set()
    futures.wait(set(client._under_way), 5)
    assert given_back == [True, True]
    with during(Call(time.monotonic() - 0.1)), pytest.raises(UpstreamTimeout):
        client.infer(PICTURE, GEOMETRY)
    assert given_back == [True, True, True]
    servicer.failures = [(grpc.StatusCode.INTERNAL, "")]
    with pytest.raises(UpstreamUnavailable):
        client.infer(PICTURE, GEOMETRY)
    assert given_back == [True, True, True, False], "after a failure nobody knows who still reads"


def test_what_cancelling_at_the_deadline_makes_of_a_call_is_no_answer() -> None:
    answer: futures.Future[None] = futures.Future()
    with pytest.raises(TimeoutError):
        Call(time.monotonic() + 0.01).wait(answer, lambda: answer.set_exception(InferenceServerException("", "StatusCode.CANCELLED")))
    assert answer.done()


def test_bytes_of_a_next_request_are_no_hanging_up() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.send(b"GET /")
        assert not Call(0, ours).abandoned()
    assert Call(0, ours).abandoned()


@pytest.mark.parametrize(
    ("failure", "attempts", "error"),
    [
        (UNAVAILABLE, 3, UpstreamUnavailable),
        ((grpc.StatusCode.CANCELLED, ""), 3, UpstreamUnavailable),
        (FULL, 1, UpstreamOverloaded),
        (TOO_LONG, 1, UpstreamTimeout),
        ((grpc.StatusCode.INTERNAL, ""), 1, UpstreamUnavailable),
        ((grpc.StatusCode.RESOURCE_EXHAUSTED, ""), 1, UpstreamOverloaded),
    ],
)
def test_only_an_absent_server_is_asked_again(
    server: tuple[Scripted, TritonClient], failure: tuple[grpc.StatusCode, str], attempts: int, error: type[GatewayError]
) -> None:
    servicer, client = server
    servicer.failures = [failure] * 9
    with pytest.raises(error):
        client.infer(PICTURE, GEOMETRY)
    assert servicer.asked == attempts


def test_a_second_attempt_may_succeed(server: tuple[Scripted, TritonClient]) -> None:
    servicer, client = server
    servicer.failures = [UNAVAILABLE]
    before = metrics.RETRIES._value.get()
    assert client.infer(PICTURE, GEOMETRY)["NUM_FACES"].tolist() == [0]
    assert metrics.RETRIES._value.get() == before + 1


def test_no_attempt_that_the_deadline_would_cut_off(server: tuple[Scripted, TritonClient], monkeypatch: pytest.MonkeyPatch) -> None:
    servicer, client = server
    servicer.failures = [UNAVAILABLE] * 9
    monkeypatch.setattr(retry, "FIRST_PAUSE_S", 60)
    monkeypatch.setattr(retry, "LONGEST_PAUSE_S", 60)
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    with during(Call(time.monotonic() + 3)), pytest.raises(UpstreamUnavailable):
        client.infer(PICTURE, GEOMETRY)
    assert servicer.asked == 1


def test_the_breaker_opens_and_closes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody listens, then somebody does: calls fail without being tried, and work again after the probe."""
    monkeypatch.setattr(breaker, "PAUSE_S", 0.3)
    port = free_port()
    client = TritonClient(f"127.0.0.1:{port}", 5)
    for _ in range(breaker.FAILURES_IN_A_ROW):
        with pytest.raises(UpstreamUnavailable):
            client.infer(PICTURE, GEOMETRY)
    assert client._breaker.is_open
    retries = metrics.RETRIES._value.get()
    with pytest.raises(UpstreamUnavailable) as refused:
        client.infer(PICTURE, GEOMETRY)
    assert refused.value.retry_after_s == 1
    assert metrics.RETRIES._value.get() == retries
    servicer = Scripted()
    with serving(servicer, port):
        deadline = time.monotonic() + 15
        while client._breaker.is_open:
            assert time.monotonic() < deadline
            with contextlib.suppress(UpstreamUnavailable):
                client.infer(PICTURE, GEOMETRY)
            time.sleep(0.05)
        assert servicer.asked == 1


def test_replicas_take_turns_and_one_may_die() -> None:
    """Every request is answered right although one of two servers goes away while it works on some."""
    first, second = Scripted(), Scripted()
    with serving(first) as (server, one), serving(second) as (_, two):
        client = TritonClient(f"ipv4:127.0.0.1:{one},127.0.0.1:{two}", 10)
        for _ in range(20):
            client.infer(PICTURE, GEOMETRY)
        assert min(first.asked, second.asked) >= 5
        first.free.clear()
        first.entered.clear()
        answers: list[int] = []
        threads = [threading.Thread(target=lambda: answers.append(len(client.infer(PICTURE, GEOMETRY)))) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert first.entered.wait(5)
        server.stop(0)
        for thread in threads:
            thread.join(15)
        assert len(answers) == 6
        before = second.asked
        for _ in range(10):
            client.infer(PICTURE, GEOMETRY)
        assert second.asked == before + 10


@pytest.mark.parametrize(
    ("status", "waited_s", "opens"),
    [
        ("StatusCode.DEADLINE_EXCEEDED", 0.1, False),
        ("StatusCode.DEADLINE_EXCEEDED", 4, True),
        ("StatusCode.UNAVAILABLE", 0, True),
        ("StatusCode.INTERNAL", 0, False),
    ],
)
def test_what_opens_the_breaker(status: str, waited_s: float, opens: bool) -> None:
    client = TritonClient("127.0.0.1:1", 5)
    for _ in range(breaker.FAILURES_IN_A_ROW):
        client._judge(InferenceServerException("", status), waited_s)
    assert client._breaker.is_open == opens


def test_full_queues_do_not_open_the_breaker(server: tuple[Scripted, TritonClient]) -> None:
    servicer, client = server
    servicer.failures = [FULL] * breaker.FAILURES_IN_A_ROW
    for _ in range(breaker.FAILURES_IN_A_ROW):
        with pytest.raises(UpstreamOverloaded):
            client.infer(PICTURE, GEOMETRY)
    assert not client._breaker.is_open
