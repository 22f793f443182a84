"""More requests than can be served: `python -m scripts.benchmarking.overload http://127.0.0.1:8080`.

First the sustainable rate (closed loop), then several times that rate in open loop, then one client until it is answered as
before, then the sustainable rate again: machines change their speed within a minute. Prints goodput (of the mean of both rates),
how fast the rest was refused, and how long recovery took.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from scripts.benchmarking.load import Call, Run, closed_loop, open_loop
from scripts.benchmarking.pictures import case, cases
from scripts.benchmarking.targets import over_http

RECOVERED_AFTER = 10  # right answers in a row


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", help="address of the gateway")
    parser.add_argument("--times", type=float, default=4.0, help="arrival rate, as a multiple of the sustainable one (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the overload lasts (default %(default)s)")
    parser.add_argument("--measure", type=float, default=15.0, help="seconds for the sustainable rate (default %(default)s)")
    parser.add_argument("--clients", type=int, default=6, help="clients of the closed loop (default %(default)s)")
    parser.add_argument("--faces", type=int, help="so many faces in 1920x1080 instead of one in 640x480")
    options = parser.parse_args(arguments)
    picture = cases()["1 face 640x480"] if options.faces is None else case("", 1920, 1080, options.faces, 180)
    make = over_http(options.base, picture)
    closed_loop(make, options.clients, options.measure / 5)  # warm
    sustainable = closed_loop(make, options.clients, options.measure)
    _say("sustainable", sustainable)
    flood = open_loop(make, options.times * sustainable.per_second, options.seconds)
    _say(f"{options.times:g} times", flood)
    recovery_s = _recovery_s(make, 2 * sustainable.percentile_ms(99))
    again = closed_loop(make, options.clients, options.measure)
    _say("afterwards", again)
    goodput = flood.per_second / np.mean([sustainable.per_second, again.per_second])
    sys.stdout.write(f"goodput      {goodput:.0%} of the sustainable rate\nrecovery     {recovery_s:.1f} s\n")
    return 0


def _recovery_s(make: Callable[[], Call], usual_ms: float) -> float:
    """Seconds until one client has had RECOVERED_AFTER right answers in a row, each within `usual_ms`."""
    call, started, first, row = make(), time.perf_counter(), 0.0, 0
    while row < RECOVERED_AFTER:
        asked = time.perf_counter()
        right = call() is None and (time.perf_counter() - asked) * 1e3 <= usual_ms
        first = asked if right and not row else first
        row = row + 1 if right else 0
    return first - started


def _say(name: str, run: Run) -> None:
    line = f"{name:12} {run.per_second:5.1f} right/s   p50 {run.percentile_ms(50):5.0f} ms   p99 {run.percentile_ms(99):5.0f} ms"
    if run.refused_ms:
        p50, p99, most = np.percentile(run.refused_ms, (50, 99, 100))
        line += f"   {len(run.refused_ms)} refused: p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {most:.0f} ms"
    sys.stdout.write(f"{line}   {run.errors} errors\n")


if __name__ == "__main__":
    sys.exit(main())
