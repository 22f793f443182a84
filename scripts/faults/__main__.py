"""Break a service under load and count what its callers see: scripts/chaos.py [FAULT ...].

Starts a service of its own (keys, two gateway workers) and asks it all the time over every API. For each fault: requests sent, answered
right (compared with the answers before), answered with a clean error of that API, wrong, lost (no answer within the time, or the
connection closed on it twice), how many connections were closed unanswered, and the time from the end of the fault until everything is
answered right again; and what a fault measures itself, such as how long probes took. A process that is killed takes the connections
that it serves with it, whatever is done; a client that asks once more gets its answer, and analysis may be repeated without harm. So
one closed connection is counted, not failed; --no-retry fails it.
Where the whole service is away, all connections are refused for a while: those are counted as closed, too, until it is there again.
FAULT is a part of a name in --list. Exits 1 when a request was wrong or lost, a probe late, or a fault not recovered from.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from scripts.faults.faults import FAULTS, Fault, Impossible
from scripts.faults.place import Place, broken_place
from scripts.traffic.answers import Verdict
from scripts.traffic.load import Event, Load
from scripts.traffic.questions import SMALL, questions

TIMEOUT_S, BEFORE_S, CALM_S, LONGEST_S, CALM_ANSWERS = 20.0, 3.0, 5.0, 90.0, 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one fault. `recovered_s` counts from when the fault was mended; None: not within LONGEST_S. `broken`: see Place."""

    fault: str
    sent: int
    right: int
    clean_error: int
    wrong: int
    lost: int
    closed: int
    recovered_s: float | None
    examples: tuple[str, ...]
    broken: tuple[str, ...] = ()
    skipped: str = ""

    @property
    def passed(self) -> bool:
        """Nobody got a wrong answer or none, and it went on."""
        return bool(self.skipped) or (self.wrong == 0 and self.lost == 0 and self.recovered_s is not None and not self.broken)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    chosen = [fault for fault in FAULTS if not options.faults or any(part in fault.name for part in options.faults)]
    if options.list:
        sys.stdout.writelines(f"{fault.name}\n" for fault in FAULTS)
        return 0
    outcomes = []
    with broken_place(options.workers) as place:
        right = Load(place.server.base, questions(SMALL, place.keys), 0, TIMEOUT_S)
        right.learn()
        sys.stdout.write(HEADER)
        for fault in chosen:
            outcomes.append(_try(fault, place, right, options))
            sys.stdout.write(line(outcomes[-1]))
            sys.stdout.flush()
    if options.output:
        options.output.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 0 if all(outcome.passed for outcome in outcomes) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", metavar="FAULT", help="parts of names (default: all)")
    parser.add_argument("--list", action="store_true", help="name the faults, then stop")
    parser.add_argument("--clients", type=int, default=4, help="concurrent clients (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="gateway processes (default %(default)s)")
    parser.add_argument("--no-retry", action="store_true", help="a closed connection is a lost request")
    parser.add_argument("--output", type=Path, help="file for the outcomes as JSON")
    return parser


def _try(fault: Fault, place: Place, learnt: Load, options: argparse.Namespace) -> Outcome:
    load = Load(learnt.base, learnt.questions, options.clients, TIMEOUT_S, retry=not options.no_retry, right=learnt.right)
    said = len(place.server.lines)
    place.notes.clear()
    place.broken.clear()
    load.start()
    try:
        time.sleep(BEFORE_S)
        mend = fault.act(place)
        time.sleep(fault.hold_s)
        mend()
        mended = time.monotonic()
        calm = _await_calm(load, mended)
    except Impossible as why:
        return Outcome(fault.name, 0, 0, 0, 0, 0, 0, None, (), skipped=str(why))
    finally:
        load.stop()
    lines = [text.strip() for text in place.server.lines[said:] if text.startswith("vultus:")]
    return replace(_outcome(fault, load.events, mended, calm, [*place.notes, *lines]), broken=tuple(place.broken))


def _await_calm(load: Load, mended: float) -> bool:
    """Until CALM_S long only right answers came; False when that takes longer than LONGEST_S."""
    while (now := time.monotonic()) < mended + LONGEST_S:
        recent = [event for event in list(load.events) if event.sent_s + event.took_s > now - CALM_S]
        if now > mended + CALM_S and len(recent) >= CALM_ANSWERS and all(event.verdict is Verdict.RIGHT for event in recent):
            return True
        time.sleep(0.2)
    return False


def _outcome(fault: Fault, events: Sequence[Event], mended: float, calm: bool, said: list[str]) -> Outcome:
    counts = Counter(event.verdict for event in events)
    failed = [event for event in events if event.verdict is not Verdict.RIGHT]
    last = max((event.sent_s + event.took_s for event in failed), default=mended)
    lost = [event for event in failed if event.verdict is Verdict.LOST and not (fault.away and event.closed)]
    bad = Counter(f"{e.question}: {e.verdict} {e.status} after {e.took_s:.0f} s" for e in failed if e.verdict is not Verdict.REFUSED)
    return Outcome(
        fault.name,
        len(events),
        counts[Verdict.RIGHT],
        counts[Verdict.REFUSED],
        counts[Verdict.WRONG],
        len(lost),
        sum(event.closed for event in events),
        round(max(0.0, last - mended), 1) if calm else None,
        (*said, *(f"{count} x {what}" for what, count in bad.most_common(5))),
    )


HEADER = f"{'fault':36} {'sent':>6} {'right':>6} {'clean':>6} {'wrong':>6} {'lost':>6} {'closed':>6}  recovered\n"


def line(outcome: Outcome) -> str:
    """One row of the table, what was measured, what the supervisor said, and examples of what went wrong."""
    if outcome.skipped:
        return f"{outcome.fault:36} skipped: {outcome.skipped}\n"
    numbers = (outcome.sent, outcome.right, outcome.clean_error, outcome.wrong, outcome.lost, outcome.closed)
    end = "NOT within 90 s" if outcome.recovered_s is None else f"after {outcome.recovered_s} s"
    more = "".join(f"    {text}\n" for text in (*outcome.examples, *outcome.broken))
    return f"{outcome.fault:36} {' '.join(f'{n:6}' for n in numbers)}  {end}\n{more}"


if __name__ == "__main__":
    sys.exit(main())
