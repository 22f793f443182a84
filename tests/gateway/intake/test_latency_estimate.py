"""What a picture costs is learned, and who would be answered too late is not let in."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gateway import metrics
from gateway.app import create_app
from gateway.errors import Overloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.intake.gate import TIME_SHARE, Gate
from gateway.intake.latency_estimate import FEWEST, WEIGHT, Pace
from gateway.settings import Settings
from tests.conftest import FakeTriton


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    found = Clock()
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", found)
        yield found


def together(pace: Pace, clock: Clock, pictures: int, seconds: float) -> None:
    with ExitStack() as places:
        for _ in range(pictures):
            places.enter_context(pace.measured())
        clock.now_s += seconds


def time_out(pace: Pace, clock: Clock) -> None:
    with pace.measured():
        clock.now_s += 10
        raise UpstreamTimeout


def late() -> float:
    return float(metrics.REJECTED.labels("late")._value.get())


def test_pictures_side_by_side_share_the_time(clock: Clock) -> None:
    pace = Pace()
    for _ in range(FEWEST):
        assert pace.expected_s(100) == 0
        together(pace, clock, 1, 0.5)
    assert pace.expected_s(1) == pytest.approx(0.5)
    alone, crowd = Pace(), Pace()
    for _ in range(40):
        together(alone, clock, 1, 0.5)
        together(crowd, clock, 8, 4)
    assert crowd.expected_s(8) == alone.expected_s(8) == pytest.approx(4)
    with crowd.measured():
        clock.now_s += 1
        with crowd.measured():
            clock.now_s += 1
    assert crowd.expected_s(1) == pytest.approx((0.5 * 0.9 + 0.1 * 0.5) * 0.9 + 0.1 * 4 / 3), "half of its time alone, half with another"


def test_the_latest_count_most_but_one_alone_does_not_decide(clock: Clock) -> None:
    pace = Pace()
    for _ in range(20):
        together(pace, clock, 1, 0.1)
    together(pace, clock, 1, 5.1)
    assert pace.expected_s(1) == pytest.approx(0.1 + 5 * WEIGHT)
    for _ in range(40):
        together(pace, clock, 1, 0.1)
    assert pace.expected_s(1) == pytest.approx(0.1, abs=0.02)


def test_a_failure_at_once_is_not_cheap_and_a_timeout_is_dear(clock: Clock) -> None:
    pace = Pace()
    for _ in range(FEWEST):
        together(pace, clock, 1, 1)
    for _ in range(50):
        with pytest.raises(UpstreamUnavailable), pace.measured():
            raise UpstreamUnavailable
    assert pace.expected_s(1) == pytest.approx(1)
    for _ in range(50):
        with pytest.raises(UpstreamTimeout):
            time_out(pace, clock)
    assert pace.expected_s(1) == pytest.approx(10, rel=0.1)


def test_who_would_be_late_is_refused_but_two_are_always_let_in(clock: Clock) -> None:
    pace, before = Pace(), late()
    gate = Gate(16, 99, 0, pace)
    for _ in range(FEWEST):
        together(pace, clock, 1, 1)
    left_s = 3 / TIME_SHARE + 0.01
    with gate.working(left_s), gate.working(left_s), gate.working(left_s):
        with pytest.raises(Overloaded) as refusal, gate.working(left_s):
            pass
        with gate.working(2 * left_s):
            pass
    assert refusal.value.retry_after_s == 1
    assert late() == before + 1
    together(pace, clock, 1, 1000)
    with gate.working(left_s), gate.working(left_s), pytest.raises(Overloaded), gate.working(left_s):
        pass


class SlowTriton(FakeTriton):
    """Takes a while; once `hold` is set, until it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.hold, self.inside, self.free = False, threading.Semaphore(0), threading.Event()

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(0.1)
        if self.hold:
            self.inside.release()
            assert self.free.wait(20)
        return super().infer(image, outputs)


def test_the_service_learns_from_its_analyses(tmp_path: Path, astronaut: bytes) -> None:
    triton, before = SlowTriton(), late()
    settings = Settings(keys_url=f"sqlite:///{tmp_path / 'keys.sqlite'}", pictures_url=str(tmp_path / "pictures"))
    app = create_app(settings, triton)  # type: ignore[arg-type]

    def ask(seconds: str) -> int:
        headers = {"X-Timeout-Seconds": seconds}
        return app.test_client().post("/v1/analyze", data=astronaut, content_type="image/jpeg", headers=headers).status_code

    assert [ask("9") for _ in range(FEWEST)] == [200] * FEWEST
    triton.hold = True
    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(ask, "9") for _ in range(2)]
        assert all(triton.inside.acquire(timeout=10) for _ in others)
        assert ask("0.4") == 503, "a third would take .3 s at least"
        triton.free.set()
        assert [other.result(10) for other in others] == [200, 200]
    assert late() == before + 1
    assert ask("9") == 200
