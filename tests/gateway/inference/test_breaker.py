from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.errors import UpstreamUnavailable
from gateway.inference.breaker import FAILURES_IN_A_ROW, PAUSE_S, Breaker


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def opened(probe: list[bool], clock: Clock) -> Breaker:
    breaker = Breaker(lambda: probe.pop(0), clock)
    for _ in range(FAILURES_IN_A_ROW):
        breaker.check()
        breaker.failed()
    return breaker


def test_failures_that_are_not_in_a_row_do_not_open() -> None:
    breaker = Breaker(lambda: False)
    for _ in range(3 * FAILURES_IN_A_ROW):
        breaker.failed()
        breaker.succeeded()
    breaker.check()


def test_open_it_refuses_until_a_probe_succeeds() -> None:
    clock = Clock()
    breaker = opened([False, True], clock)
    with pytest.raises(UpstreamUnavailable) as refusal:
        breaker.check()
    assert refusal.value.retry_after_s == 1
    clock.now_s += 2 * PAUSE_S
    with pytest.raises(UpstreamUnavailable):
        breaker.check()
    clock.now_s += 2 * PAUSE_S
    breaker.check()
    assert not breaker.is_open


def test_one_thread_probes_while_the_others_are_refused() -> None:
    clock, probing, go_on = Clock(), threading.Event(), threading.Event()

    def probe() -> bool:
        assert not probing.is_set(), "a second probe"
        probing.set()
        return go_on.wait(5)

    breaker = Breaker(probe, clock)
    for _ in range(FAILURES_IN_A_ROW):
        breaker.failed()
    clock.now_s += 2 * PAUSE_S
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(breaker.check)
        assert probing.wait(5)
        with pytest.raises(UpstreamUnavailable):
            breaker.check()
        go_on.set()
        first.result(5)
    breaker.check()
