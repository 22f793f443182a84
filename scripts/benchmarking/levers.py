"""What each choice brings: servers that differ in one thing, measured in turns on the same machine."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from gateway.models import ATTRIBUTE_MODELS
from scripts.benchmarking.load import closed_loop
from scripts.benchmarking.measure import REST, Series, counted
from scripts.benchmarking.pictures import Case
from scripts.benchmarking.server import Server, serving
from scripts.benchmarking.targets import over_http, routes
from scripts.pipeline import REPOSITORY

NICENESS = re.compile(r'parameters \{ key: "niceness".*\n')
DELAY_US, ALIGN_COPIES = 6000, 2


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing done otherwise: options of scripts/serve, environment, or an edit of config.pbtxt (model, text) -> text."""

    name: str
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    edit: Callable[[str, str], str] | None = None


def _same_priority(model: str, text: str) -> str:
    return NICENESS.sub("", text)


def _queue_delay(model: str, text: str) -> str:
    delayed = f"dynamic_batching {{ max_queue_delay_microseconds: {DELAY_US} "
    return NICENESS.sub("", text.replace("dynamic_batching {", delayed)) if model in ATTRIBUTE_MODELS else text


def _two_aligners(model: str, text: str) -> str:
    return f"{text}instance_group [ {{ kind: KIND_CPU count: {ALIGN_COPIES} }} ]\n" if model == "face_align" else text


AS_SERVED = "as served"
LEVERS = (
    Lever(AS_SERVED),
    Lever("pixels in the message, not in shared memory", environment=(("VULTUS_SHARED_MEMORY", "false"),)),
    Lever("attribute models at the priority of the others", edit=_same_priority),
    Lever(f"the same, and a queue delay of {DELAY_US / 1000:g} ms", edit=_queue_delay),
    Lever(f"{ALIGN_COPIES} copies of face_align", edit=_two_aligners),
    Lever("2 threads a model", options=("--threads=2",)),
    Lever("1 gateway process, not 2", options=("--workers=1",)),
    Lever("4 gateway processes, not 2", options=("--workers=4",)),
    Lever("JPEGs decoded at full size", environment=(("VULTUS_WORKING_SIDE_PX", "16384"),)),
)


def compare(chosen: dict[str, Case], clients: int, seconds: float, rounds: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """Rows by case: every lever with `clients` clients and with one, all servers up at once, one at a time under load."""
    with ExitStack() as stack:
        servers = {lever.name: stack.enter_context(_served(lever)) for lever in LEVERS}
        return {name: _in_turns(case, servers, clients, seconds, rounds, progress) for name, case in chosen.items()}


def _in_turns(
    case: Case, servers: dict[str, Server], clients: int, seconds: float, rounds: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    path, body, kind = routes(case)["v1"]
    many, one = ({name: Series(REST, case.name, case.faces, count) for name in servers} for count in (clients, 1))
    for number in range(-1, rounds):
        for name, server in servers.items():
            progress(f"levers, {case.name}: {name}, round {number + 1} of {rounds}")
            for series in (many[name], one[name]):
                with counted(server, series) as count:
                    run = closed_loop(over_http(server.base, path, body, kind), series.clients, seconds if number >= 0 else 1.0)
                    count(run)
                if number >= 0:
                    series.runs.append(run)
    return [_row(name, many[name].row(), one[name].row()) for name in servers]


def _row(name: str, many: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    return {
        "lever": name,
        "images_per_s": many["images_per_s"],
        "spread": many["spread"],
        "p95_ms": many["p95_ms"],
        "alone_p50_ms": alone["p50_ms"],
        "batch": many["average_batch"].get("face_demographics"),
        "errors": many["errors"] + alone["errors"],
        "refused": many["refused"] + alone["refused"],
    }


@contextmanager
def _served(lever: Lever) -> Iterator[Server]:
    with TemporaryDirectory(prefix="vultus-lever-") as folder, ExitStack() as stack:
        options = ["--device=cpu", *lever.options]
        if lever.edit:
            repository = Path(folder) / "models"
            shutil.copytree(REPOSITORY, repository)
            for config in repository.glob("face_*/config.pbtxt"):
                config.write_text(lever.edit(config.parent.name, config.read_text()))
            options.append(f"--model-repository={repository}")
        yield stack.enter_context(serving(*options, environment=dict(lever.environment)))
