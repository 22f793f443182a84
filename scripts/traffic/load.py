"""Clients that ask again when they are answered, and judge every answer."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from scripts.traffic.answers import Answer, Verdict, judge, read
from scripts.traffic.questions import Question

RETRY_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """One request: when it was sent (monotonic seconds), how long it took, how often its connection was closed without an answer."""

    sent_s: float
    took_s: float
    question: str
    verdict: Verdict
    status: int | None
    closed: int


@dataclass
class Load:
    """`clients` threads over all questions in random order. With `retry`, a connection that is closed unanswered is tried once more."""

    base: str
    questions: Sequence[Question]
    clients: int
    timeout_s: float
    retry: bool = True
    events: list[Event] = field(default_factory=list)
    right: dict[str, Answer] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _calm: threading.Condition = field(default_factory=threading.Condition)
    _busy: int = 0
    _resting: bool = False

    def learn(self) -> None:
        """Ask everything once, alone: these are the right answers. Raises RuntimeError when one is a server error."""
        for question in self.questions:
            answer = ask(self.base, question, self.timeout_s)
            if answer.status >= 500 or not isinstance(answer.body, dict):
                raise RuntimeError(f"{question.name} was answered {answer.status} before any load")
            self.right[question.name] = answer

    def crowd(self, questions: Sequence[Question]) -> None:
        """Each of `questions` from all clients at the same time, so that what is needed at most shows once, early."""
        with ThreadPoolExecutor(self.clients) as clients:
            for question in questions:
                self.events += clients.map(self._one, [question] * self.clients)

    def start(self) -> None:
        """Start the clients."""
        for number in range(self.clients):
            thread = threading.Thread(target=self._work, args=(random.Random(number),))  # noqa: S311
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Let every client finish its request."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Inside, no request is under way: every client has its answer and waits."""
        with self._calm:
            self._resting = True
            self._calm.wait_for(lambda: not self._busy)
        try:
            yield
        finally:
            with self._calm:
                self._resting = False
                self._calm.notify_all()

    def _count(self, change: int) -> None:
        with self._calm:
            if change > 0:
                self._calm.wait_for(lambda: not self._resting)
            self._busy += change
            self._calm.notify_all()

    def _work(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            self._count(1)
            try:
                event = self._one(chance.choice(self.questions))
                self.events.append(event)
            finally:
                self._count(-1)
            if event.verdict is not Verdict.RIGHT:
                self._stop.wait(RETRY_PAUSE_S)

    def _one(self, question: Question) -> Event:
        sent, closed = time.monotonic(), 0
        while True:
            try:
                answer = ask(self.base, question, self.timeout_s - (time.monotonic() - sent))
            except (ConnectionError, http.client.HTTPException):
                closed += 1
                if self.retry and closed == 1:
                    time.sleep(RETRY_PAUSE_S)
                    continue
                verdict, status = Verdict.LOST, None
            except OSError:
                verdict, status = Verdict.LOST, None  # no answer in time
            else:
                verdict, status = judge(answer, self.right[question.name]), answer.status
            return Event(sent, time.monotonic() - sent, question.name, verdict, status, closed)


def ask(base: str, question: Question, timeout_s: float) -> Answer:
    """One request on a connection of its own, as the vendors' example programs make it. Raises OSError, HTTPException."""
    where = urlsplit(base)
    with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=max(0.1, timeout_s))) as connection:
        connection.request("POST", question.path, question.body, dict(question.headers))
        response = connection.getresponse()
        return read(response.status, response.read())
