from __future__ import annotations

import types

import pytest

from gateway.apis.services import KEY
from gateway.pictures.pool import Decoders
from gateway.server import gunicorn_worker
from gateway.settings import Settings


@pytest.mark.parametrize(
    ("seconds_after_the_answer", "busy", "trimmed"),
    [(0.1, False, False), (0.6, False, True), (0.6, True, False), (10.1, True, True)],
)
def test_a_worker_gives_freed_memory_back(
    seconds_after_the_answer: float, busy: bool, trimmed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []
    monkeypatch.setattr(gunicorn_worker, "malloc_trim", calls.append)
    worker = gunicorn_worker.Worker.__new__(gunicorn_worker.Worker)
    worker.wsgi = types.SimpleNamespace(extensions={KEY: types.SimpleNamespace(decoders=Decoders(Settings(decode_processes=0)))})
    worker._due_s = {"a connection": 1e9} if busy else {}
    worker._trimmed_s, worker._answered_s = 100.0, 100.1
    for _ in range(2):  # the second time there is nothing new to give back
        worker._give_back(100.1 + seconds_after_the_answer)
    assert calls == [0] * trimmed
