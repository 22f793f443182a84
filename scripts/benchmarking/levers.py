"""What each choice brings: servers that differ in one thing, measured in turns on the same machine."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from gateway.models import ATTRIBUTE_MODELS, Config
from scripts.benchmarking.load import closed_loop
from scripts.benchmarking.measure import REST, Series, counted
from scripts.benchmarking.pictures import Case
from scripts.benchmarking.server import Server, serving
from scripts.benchmarking.targets import over_http
from scripts.pipeline import REPOSITORY

DELAY_US, ALIGN_COPIES = 6000, 4
GROUP = 4  # servers beside the first: memory allows no more at once
Edit = Callable[[Config], None]


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing done otherwise: options of scripts/serve, environment, or a change of every model's configuration."""

    name: str
    options: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    edit: Edit | None = None


def _same_priority(config: Config) -> None:
    if "niceness" in config.parameters:
        del config.parameters["niceness"]


def _exact(config: Config) -> None:
    config.ClearField("default_model_filename")


def _waiting(config: Config) -> None:
    _same_priority(config)
    if config.name in ATTRIBUTE_MODELS:
        config.dynamic_batching.max_queue_delay_microseconds = DELAY_US


def delay(microseconds: int) -> Edit:
    """Every batching model waits so long for company."""

    def edit(config: Config) -> None:
        if config.max_batch_size:
            config.dynamic_batching.max_queue_delay_microseconds = microseconds

    return edit


def copies(count: int, *models: str) -> Edit:
    """So many instances of some models, where they already run."""

    def edit(config: Config) -> None:
        if config.name in models:
            if not config.instance_group:
                config.instance_group.add(kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
            config.instance_group[0].count = count

    return edit


def threads(count: int, *models: str) -> Edit:
    """So many threads for some models."""

    def edit(config: Config) -> None:
        if config.name in models:
            config.parameters["intra_op_thread_count"].string_value = str(count)

    return edit


AS_SERVED = "as served"
LEVERS = (
    Lever(AS_SERVED),
    Lever("pixels in the message, not in shared memory", environment=(("VULTUS_SHARED_MEMORY", "false"),)),
    Lever("images decoded in the gateway, not in processes of their own", environment=(("VULTUS_DECODE_PROCESSES", "0"),)),
    Lever("attribute models at the priority of the others", edit=_same_priority),
    Lever(f"the same, and a queue delay of {DELAY_US / 1000:g} ms", edit=_waiting),
    Lever(f"{ALIGN_COPIES} copies of face_align, not Triton's 2", edit=copies(ALIGN_COPIES, "face_align")),
    Lever("1 instance of every attribute model, not Triton's 2", edit=copies(1, *ATTRIBUTE_MODELS)),
    Lever("fp32 weights everywhere, not int8 in five models", edit=_exact),
    Lever("2 threads a model", options=("--threads=2",)),
    Lever("1 thread for preparing, detecting and aligning, not 2", edit=threads(1, "face_prepare", "face_detector", "face_align")),
    Lever("freed blocks of the gateway go back from 1 MB on, not from 8", environment=(("MALLOC_MMAP_THRESHOLD_", str(2**20)),)),
    Lever("1 gateway process, not 2", options=("--workers=1",)),
    Lever("4 gateway processes, not 2", options=("--workers=4",)),
    Lever("JPEGs decoded at full size", environment=(("VULTUS_WORKING_SIDE_PX", "16384"),)),
)


def compare(
    levers: tuple[Lever, ...],
    device: str,
    chosen: dict[str, Case],
    clients: int,
    seconds: float,
    rounds: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Rows by case: every lever with `clients` clients and with one.

    A few servers are up at once, one at a time under load; the first lever is measured beside each group.
    """
    rows: dict[str, Any] = {name: [] for name in chosen}
    for start in range(1, len(levers), GROUP):
        with ExitStack() as stack:
            servers = {lever.name: stack.enter_context(served(lever, device)) for lever in (levers[0], *levers[start : start + GROUP])}
            for name, case in chosen.items():
                rows[name] += _in_turns(case, servers, clients, seconds, rounds, progress)
    return rows


def _in_turns(
    case: Case, servers: dict[str, Server], clients: int, seconds: float, rounds: int, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    many, one = ({name: Series(REST, case.name, case.faces, count) for name in servers} for count in (clients, 1))
    for number in range(-1, rounds):
        for name, server in servers.items():
            progress(f"levers, {case.name}: {name}, round {number + 1} of {rounds}")
            for series in (many[name], one[name]):
                with counted(server, series) as count:
                    run = closed_loop(over_http(server.base, case), series.clients, seconds if number >= 0 else 1.0)
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
def served(lever: Lever, device: str, *options: str) -> Iterator[Server]:
    """A scripts/serve that does this one thing otherwise."""
    with TemporaryDirectory(prefix="vultus-lever-") as folder, ExitStack() as stack:
        wanted = [f"--device={device}", *options, *lever.options]
        if lever.edit:
            repository = Path(shutil.copytree(REPOSITORY, Path(folder) / "models"))
            for path in repository.glob("face_*/configs/gpu.pbtxt" if device == "gpu" else "face_*/config.pbtxt"):
                path.write_text(edited(path.read_text(), lever.edit, path.relative_to(repository).parts[0]))
            wanted.append(f"--model-repository={repository}")
        yield stack.enter_context(serving(*wanted, environment=dict(lever.environment)))


def edited(text: str, edit: Edit, name: str) -> str:
    """A config.pbtxt after a change."""
    config = text_format.Parse(text, Config())
    config.name = name
    edit(config)
    return str(text_format.MessageToString(config))
