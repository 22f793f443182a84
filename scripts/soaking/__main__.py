"""Show whether anything grows: scripts/soak.py [--minutes 30] [--concurrency 8].

Sends pictures of many sizes over every API, compares every answer with the known right one, and samples memory and file descriptors of
all processes, under load and, twice a minute, at rest: while no request is under way for a moment. Pictures in flight make hundreds of
megabytes come and go under load; what grows shows at rest. First every picture comes from all clients at once, so that buffers get the
size that they need at most. Starts a service of its own on free ports, or takes a running one (--url and --pid of its scripts/serve).
Writes results.json, samples.csv and soak.png. Exits 1 on any answer that is not right, on a slope of the resident memory at rest (after a
warm-up of a quarter of the time) of --limit MB a minute or more, and on more file descriptors at the end than after the warm-up.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from scripts.benchmarking.server import serving
from scripts.soaking import report
from scripts.soaking.samples import Sampler, cpu_s
from scripts.traffic.load import Load
from scripts.traffic.questions import questions

WARM_UP_SHARE, TIMEOUT_S = 0.25, 30.0
FIRST_API = "vultus "
REST_EVERY_S, REST_S, MIN_RESTS = 30, 2.0, 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    with _service(options) as (base, root):
        load = Load(base, questions(), options.concurrency, TIMEOUT_S, retry=False)
        load.learn()
        sampler = Sampler(root, options.every)
        sampler.start()
        started, cpu_before_s = time.monotonic(), cpu_s(root)
        load.crowd([question for question in load.questions if question.name.startswith(FIRST_API)])
        load.start()
        _until(started + options.minutes * 60, load, sampler)
        seconds = time.monotonic() - started
        sampler.stop()
        load.stop()
        used_s = cpu_s(root) - cpu_before_s
    warm_up_s = WARM_UP_SHARE * seconds
    results = report.summary(sampler.series, sampler.at_rest, load.events, seconds, warm_up_s)
    results["cpu_ms_per_request"] = round(1e3 * used_s / max(1, results["requests"]), 1)
    results["failures"] = failures(results, options.limit, options.concurrency)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    report.table(sampler.series, sampler.at_rest, options.output / "samples.csv")
    report.plot(sampler.series, sampler.at_rest, warm_up_s, options.output / "soak.png")
    sys.stdout.write(text(results))
    return 1 if results["failures"] else 0


def _until(end_s: float, load: Load, sampler: Sampler) -> None:
    """Wait, and now and then let the service rest and take a sample."""
    seconds = end_s - time.monotonic()
    every_s = min(REST_EVERY_S, seconds / MIN_RESTS)
    due_s = time.monotonic() + every_s
    with tqdm(total=round(seconds), unit="s", disable=None) as bar:
        while (left_s := end_s - time.monotonic()) > 0:
            time.sleep(min(1.0, left_s, every_s))
            bar.update(round(seconds - left_s) - bar.n)
            if time.monotonic() >= due_s:
                with load.resting():
                    time.sleep(REST_S)
                    sampler.rest()
                due_s = time.monotonic() + every_s


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30, help="how long (default %(default)s)")
    parser.add_argument("--concurrency", type=int, default=8, help="clients (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="gateway processes of the service that is started (default %(default)s)")
    parser.add_argument("--url", help="a running service in place of one of its own; needs --pid")
    parser.add_argument("--pid", type=int, help="process of that service's scripts/serve")
    parser.add_argument("--every", type=float, default=2, help="seconds between samples (default %(default)s)")
    parser.add_argument("--limit", type=float, default=1, help="MB a minute that resident memory may grow (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("runs/soak"), help="folder for the results (default %(default)s)")
    return parser


@contextmanager
def _service(options: argparse.Namespace) -> Iterator[tuple[str, psutil.Process]]:
    if options.url:
        yield options.url.rstrip("/"), psutil.Process(options.pid)
        return
    with serving(f"--workers={options.workers}") as server:
        yield server.base, server.process


def failures(results: dict[str, Any], limit_mb_per_min: float, concurrency: int) -> list[str]:
    """What is not as it should be."""
    found = [f"{count} requests {verdict}" for verdict, count in results["verdicts"].items() if count and verdict != "right"]
    together, at_rest = results["all"], results["at_rest"]
    if at_rest["rss_mb_per_min"] >= limit_mb_per_min:
        found.append(f"resident memory at rest grows by {at_rest['rss_mb_per_min']} MB a minute")
    if together["fds_last"] > together["fds_first"] + 2 * concurrency:  # connections and pictures in flight
        found.append(f"file descriptors grew from {together['fds_first']} to {together['fds_last']}")
    return found


def text(results: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"{results['requests']} requests in {results['seconds']} s, {results['requests_per_s']} right answers a second, "
        f"{results['cpu_ms_per_request']} ms of processors each",
        ", ".join(f"{count} {verdict}" for verdict, count in results["verdicts"].items()),
        f"{'':34} {'RSS MB':>16} {'MB/min':>8} {'PSS MB':>8} {'fds':>10}",
    ]
    for name, row in {"all, at rest": results["at_rest"], "all, under load": results["all"], **results["processes_at_rest"]}.items():
        rss, fds = f"{row['rss_mb_first']} > {row['rss_mb_last']}", f"{row['fds_first']:.0f} > {row['fds_last']:.0f}"
        lines.append(f"{name:34} {rss:>16} {row['rss_mb_per_min']:>8} {row['pss_mb_last']:>8} {fds:>10}")
    lines += [f"FAILED: {failure}" for failure in results["failures"]] or ["passed"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
