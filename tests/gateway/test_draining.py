"""What gunicorn's parent does when it is told to stop. Whole processes are stopped in test_stopping."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, signal, sys, time
from gateway import draining
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(time.monotonic()))
draining.announce_before_stopping(None, float(sys.argv[1]))
child = os.fork()
if not child:
    while not draining.begun():
        time.sleep(0.01)
    os._exit(0)
started = time.monotonic()
for _ in range(int(sys.argv[2])):
    os.kill(os.getpid(), signal.SIGTERM)
while not stops:
    time.sleep(0.01)
print(stops[0] - started >= 0.3, draining.begun())
if draining.begun():
    print(os.waitpid(child, 0)[1])
else:
    os.kill(child, signal.SIGKILL)
"""


def outcome(notice_s: str, signals: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, notice_s, signals], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout.split()


def test_it_announces_its_end_to_forked_workers_and_stops_later() -> None:
    assert outcome("0.5", "1") == ["True", "True", "0"]


def test_a_second_signal_stops_at_once() -> None:
    assert outcome("60", "2") == ["False", "True", "0"]


def test_without_notice_it_stops_at_once() -> None:
    assert outcome("0", "1") == ["False", "False"]
