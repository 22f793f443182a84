"""Interleaved rounds: every target once a round, so that a noisy machine disturbs all of them alike."""

from __future__ import annotations

import http.client
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from scripts.benchmarking.load import Call, Run, closed_loop, open_loop
from scripts.benchmarking.pictures import Case
from scripts.benchmarking.server import Server
from scripts.benchmarking.targets import over_grpc, over_http, over_shared_memory, plain_loop
from scripts.pipeline import DirectPipeline
from scripts.traffic.questions import APIS

GROWTH_ROUND = 3  # times as long: clients that wait for a second are to come back some times
LOOP, DIRECT, SHARED, REST = "plain loop", "Triton, gRPC", "Triton, shared memory", "REST /v1"


@dataclass(slots=True)
class Series:
    """The rounds of one target: throughput and latencies of each, and what the servers spent."""

    target: str
    case: str
    faces: int
    clients: int
    runs: list[Run] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    batches: dict[str, float] = field(default_factory=dict)
    shares_ms: dict[str, float] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Medians over the rounds, and the spread (half the range) of the throughput."""
        rates = [run.per_second for run in self.runs]
        latencies = {f"p{p}_ms": _known(_median([run.percentile_ms(p) for run in self.runs])) for p in (50, 95, 99)}
        return {
            "target": self.target,
            "case": self.case,
            "clients": self.clients,
            "images_per_s": _median(rates),
            "spread": round((max(rates) - min(rates)) / 2, 2),
            "faces_per_s": round(_median(rates) * self.faces, 2),
            **latencies,
            "cpu_ms_per_image": _median(self.cpu_ms) if self.cpu_ms else None,
            "errors": sum(run.errors for run in self.runs),
            "refused": sum(len(run.refused_ms) for run in self.runs),
            "average_batch": self.batches,
            "ms_per_image": self.shares_ms,
        }


def _known(value: float) -> float | None:
    """JSON has no NaN, which is the latency of no answer."""
    return None if math.isnan(value) else value


def _median(values: list[float]) -> float:
    return round(float(np.median(values)), 2)


class Bench:
    """All measurements against one server."""

    def __init__(self, server: Server, cores: int, seconds: float, rounds: int, progress: Callable[[str], None]) -> None:
        self._server, self._seconds, self._rounds, self._progress = server, seconds, rounds, progress
        self._pipeline = DirectPipeline(threads=cores)

    def side_by_side(self, case: Case, clients: int) -> list[dict[str, Any]]:
        """The plain loop, Triton both ways and /v1 with `clients`, and Triton and /v1 with one client, interleaved."""
        with ExitStack() as stack:
            shared = stack.enter_context(over_shared_memory(self._server.grpc, self._server.secret, case))
            makers: dict[str, tuple[Callable[[], Call], int]] = {
                LOOP: (lambda: plain_loop(self._pipeline, case), 1),
                DIRECT: (over_grpc(self._server.grpc, case), clients),
                SHARED: (shared, clients),
                REST: (over_http(self._server.base, case), clients),
                f"{SHARED} alone": (shared, 1),
                f"{REST} alone": (over_http(self._server.base, case), 1),
            }
            series = {name: Series(name.removesuffix(" alone"), case.name, case.faces, count) for name, (_, count) in makers.items()}
            for number in range(-1, self._rounds):  # the first one warms up
                for name, (make, count) in makers.items():
                    self._progress(f"{case.name}, {clients} clients: {name}, round {number + 1} of {self._rounds}")
                    self._one(series[name], make, count, keep=number >= 0)
        return [one.row() for one in series.values()]

    def vendors(self, case: Case, clients: int) -> list[dict[str, Any]]:
        """Every route with the upload."""
        series = {name: Series(f"REST {name}", case.name, case.faces, clients) for name in APIS}
        for number in range(-1, self._rounds):
            for name in APIS:
                self._progress(f"routes: {name}, round {number + 1} of {self._rounds}")
                self._one(series[name], over_http(self._server.base, case, name), clients, keep=number >= 0)
        return [one.row() for one in series.values()]

    def against(self, cases: Sequence[Case], clients: int) -> list[dict[str, Any]]:
        """/v1 on picture after picture: what size and faces cost."""
        rows = []
        for case in cases:
            for count in (1, clients):
                series = Series(REST, case.name, case.faces, count)
                for number in range(-1, self._rounds - 1):
                    self._progress(f"{case.name}: {count} clients, round {number + 1}")
                    self._one(series, over_http(self._server.base, case), count, keep=number >= 0)
                rows.append(series.row())
        return rows

    def growth(self, case: Case, clients: tuple[int, ...]) -> list[dict[str, Any]]:
        """/v1 with ever more clients, which wait as long as a refusal asks for; where some were refused, also with clients that do not."""
        rows = []
        for count in clients:
            for patient in (True, False):
                series = Series(REST if patient else f"{REST}, Retry-After ignored", case.name, case.faces, count)
                for number in range(max(1, self._rounds - 1)):
                    self._progress(f"{case.name}: {count} {'clients' if patient else 'impatient clients'}, round {number + 1}")
                    make = over_http(self._server.base, case)
                    with counted(self._server, series) as spent:
                        series.runs.append(closed_loop(make, count, self._seconds * GROWTH_ROUND, patient))
                        spent(series.runs[-1])
                rows.append(series.row() | {"refused_p95_ms": max(run.refused_p95_ms or 0 for run in series.runs) or None})
                if not rows[-1]["refused"]:
                    break
        return rows

    def arrivals(self, case: Case, shares: tuple[float, ...], sustained: float) -> list[dict[str, Any]]:
        """Open loop at shares of the sustained rate; latency counts from when a request was due."""
        rows = []
        for share in shares:
            self._progress(f"{case.name}: arrivals at {share:.0%} of {sustained:.0f} a second")
            run = open_loop(over_http(self._server.base, case), share * sustained, self._seconds * 2)
            rows.append(
                {
                    "share": share,
                    "arrivals_per_s": round(share * sustained, 2),
                    "answered_per_s": round(run.per_second, 2),
                    **{f"p{p}_ms": _known(round(run.percentile_ms(p), 1)) for p in (50, 95, 99)},
                    "refused": len(run.refused_ms),
                    "refused_p95_ms": run.refused_p95_ms,
                    "errors": run.errors,
                }
            )
        return rows

    def _one(self, series: Series, make: Callable[[], Call], clients: int, keep: bool) -> None:
        with counted(self._server, series) as count:
            run = closed_loop(make, clients, self._seconds if keep else min(self._seconds, 2.0))
            count(run)
        if keep:
            series.runs.append(run)
        else:
            series.cpu_ms.clear()


@contextmanager
def counted(server: Server, series: Series) -> Iterator[Callable[[Run], None]]:
    """What the servers spent for a run: CPU time, batches, time in queues and models."""
    before, cpu = server.counts(), server.cpu_s()

    def count(run: Run) -> None:
        answers = len(run.latencies_ms)
        if series.target == LOOP or not answers:
            return
        series.cpu_ms.append((server.cpu_s() - cpu) * 1e3 / answers)
        spent = {name: now.since(before[name]) for name, now in server.counts().items()}
        series.batches = {name: round(one.average_batch, 2) for name, one in spent.items() if one.executions}
        series.shares_ms = {name: round((one.queue_ms + one.compute_ms) / answers, 2) for name, one in spent.items() if one.executions} | {
            "queues": round(sum(one.queue_ms for one in spent.values()) / answers, 2)
        }

    yield count


def stages(server: Server, case: Case, calls: int = 20) -> dict[str, float]:
    """Median milliseconds of one client's request: the gateway's own timings, and what remains for HTTP and rendering."""
    rows = []
    where = urlsplit(server.base)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)
    for _ in range(calls):
        started = time.perf_counter()
        connection.request("POST", "/v1/analyze", case.jpeg, {"Content-Type": "image/jpeg"})
        timings: dict[str, float] = json.loads(connection.getresponse().read())["timings_ms"]
        total = (time.perf_counter() - started) * 1e3
        rows.append([timings["decode"], timings["inference"], timings["render"], total - sum(timings.values())])
    return dict(zip(("decode", "inference", "render", "http"), np.median(rows, 0).round(2).tolist(), strict=True))
