"""What soak and chaos rest on: that a wrong answer is seen, and that growth is measured."""

from __future__ import annotations

import copy
import http.server
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from scripts.faults.__main__ import Outcome
from scripts.soaking.report import growth, slope_per_min, totals
from scripts.soaking.samples import Sample
from scripts.traffic.answers import Answer, Verdict, judge, read
from scripts.traffic.load import Load
from scripts.traffic.questions import Question

BODY: dict[str, Any] = {"request_id": "a", "faces": [{"box": [10, 20.5], "age": 31.5, "gender": "male"}], "result": "https://a/1.png"}
RIGHT = Answer(200, BODY)


def changed(**values: object) -> Answer:
    body = copy.deepcopy(BODY)
    body["faces"][0] |= values
    return Answer(200, body)


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (RIGHT, Verdict.RIGHT),
        (Answer(200, BODY | {"request_id": "b", "result": "https://a/2.png"}), Verdict.RIGHT),
        (changed(box=[11, 20.51]), Verdict.RIGHT),
        (changed(box=[12, 20.5]), Verdict.WRONG),
        (changed(age=32.0), Verdict.WRONG),
        (changed(gender="female"), Verdict.WRONG),
        (Answer(200, BODY | {"faces": []}), Verdict.WRONG),
        (Answer(200, BODY | {"result": []}), Verdict.WRONG),
        (Answer(401, {"detail": "Invalid or inactive API key"}), Verdict.WRONG),
        (Answer(500, {"detail": "x"}), Verdict.WRONG),
        (read(503, b"<html>"), Verdict.WRONG),
        (Answer(503, {"detail": "Service unavailable"}), Verdict.REFUSED),
        (Answer(200, {"result": "Err", "code": 99}), Verdict.REFUSED),
        (Answer(200, {"result": "Err", "code": 3}), Verdict.WRONG),
    ],
)
def test_judgement(answer: Answer, verdict: Verdict) -> None:
    assert judge(answer, RIGHT) is verdict


@contextmanager
def hanging_up(times: int) -> Iterator[str]:
    """A server that closes its first connections unanswered, then answers."""
    left = [times]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            if left[0]:
                left[0] -= 1
                self.close_connection = True
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"faces": []}')

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("times", "retry", "verdict", "closed"), [(1, True, "right", 1), (1, False, "lost", 1), (2, True, "lost", 2)])
def test_closed_connections_are_counted_and_tried_once_more(times: int, retry: bool, verdict: str, closed: int) -> None:
    question = Question("a", "/", b"x", {})
    with hanging_up(times) as base:
        load = Load(base, [question], 1, 5.0, retry=retry, right={"a": Answer(200, {"faces": []})})
        event = load._one(question)
    assert (event.verdict, event.closed) == (verdict, closed)


def test_nothing_is_under_way_while_the_load_rests() -> None:
    with hanging_up(0) as base:
        load = Load(base, [Question("a", "/", b"x", {})], 3, 5.0, right={"a": Answer(200, {"faces": []})})
        load.start()
        with load.resting():
            before = len(load.events)
            time.sleep(0.2)
            assert len(load.events) == before
        time.sleep(0.3)
        load.stop()
    assert len(load.events) > before
    assert {event.verdict for event in load.events} == {"right"}


def test_a_crowd_asks_the_same_at_the_same_time() -> None:
    first, second = (Question(name, f"/{name}", b"x", {}) for name in "ab")
    with hanging_up(0) as base:
        load = Load(base, [first, second], 4, 5.0, right=dict.fromkeys("ab", Answer(200, {"faces": []})))
        load.crowd([first, second])
    assert [event.question for event in load.events] == ["a"] * 4 + ["b"] * 4
    assert {event.verdict for event in load.events} == {"right"}
    together, later = load.events[:4], load.events[4:]
    assert max(event.sent_s for event in together) < min(event.sent_s for event in later)


def test_the_slope_ignores_single_peaks() -> None:
    times = [float(second) for second in range(0, 600, 10)]
    values = [500 + second / 60 * 2 for second in times]
    values[20] += 4000
    assert slope_per_min(times, values) == pytest.approx(2, abs=0.05)


def test_growth_is_of_all_processes_together() -> None:
    def row(time_s: float, mb: float, fds: int) -> Sample:
        return Sample(time_s, mb, mb / 2, mb / 4, fds)

    series = {"a 1": [row(t, 100 + t, 5) for t in range(60)], "b 2": [row(t, 50 - t / 2, 7) for t in range(60)]}
    figures = growth(totals(series), warm_up_s=20)
    assert figures["rss_mb_per_min"] == pytest.approx(30)
    assert figures["fds_first"] == figures["fds_last"] == 12


def test_an_outcome_without_recovery_fails() -> None:
    good = Outcome("a", 9, 8, 1, 0, 0, 1, 0.5, ())
    assert good.passed
    assert not Outcome("a", 9, 8, 1, 0, 0, 0, None, ()).passed
    assert not Outcome("a", 9, 8, 0, 1, 0, 0, 0.5, ()).passed
    assert not Outcome("a", 9, 8, 1, 0, 0, 0, 0.5, (), ("a probe was late",)).passed
