"""`vultus analyze`: photographs in, JSON lines, CSV or a table out."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

import vultus
from gateway.commands.analysis.photographs import Photograph, drawn_names, find
from gateway.commands.analysis.services import Failed, Gateway, Service, Stop, Triton, Unwritten, Wanted
from gateway.commands.spelling import did_you_mean
from gateway.v1_schema import AnalysisOut
from vultus.connection import DEFAULT_TIMEOUT_S, DEFAULT_URL, Order
from vultus.order import in_order

if TYPE_CHECKING:
    from gateway.commands.analysis.forms import Form

EXAMPLES = """\b
Examples:
  vultus analyze photo.jpg
  vultus analyze holiday --csv --draw marked > faces.csv
  vultus analyze 'holiday/*.jpg' --json --attributes age,emotion
  curl -s https://example.org/photo.jpg | vultus analyze -
"""
SOME_FAILED = 1
TIMEOUT = click.FloatRange(min=0, min_open=True)


@dataclass(frozen=True, slots=True)
class Task:
    """One photograph and where its drawn copy goes, if anywhere."""

    photograph: Photograph
    drawn: Path | None


@click.command(epilog=EXAMPLES)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...")
@click.option("--url", envvar="VULTUS_URL", help=f"Address of the gateway. [default: {DEFAULT_URL}]")
@click.option("--grpc", metavar="HOST:PORT", help="Ask Triton itself, in place of a gateway.")
@click.option("--key", envvar="VULTUS_KEY", help="API key. Better given as VULTUS_KEY, where other users do not see it.")
@click.option("--table", "form", flag_value="table", default=True, help="A table for people. [default]")
@click.option("--json", "form", flag_value="json", help="JSON lines, one a picture.")
@click.option("--csv", "form", flag_value="csv", help="CSV, one row a face.")
@click.option(
    "--draw", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER", help="Write the pictures with their faces marked."
)
@click.option("--attributes", help="Comma-separated names from /v1/attributes, or all. [default: what the service gives]")
@click.option("--max-faces", type=click.IntRange(1, 128), help="Largest number of faces per picture: the first in --order.")
@click.option("--min-confidence", type=click.FloatRange(0, 1), help="Only faces of at least this confidence.")
@click.option("--min-face-px", type=click.IntRange(0, 16_384), help="Only faces at least this wide and high, pixels.")
@click.option(
    "--order", type=click.Choice(["confidence", "size"]), help="The most confident or the largest faces first. [default: confidence]"
)
@click.option("--concurrency", type=click.IntRange(1, 64), default=4, show_default=True, help="Pictures at a time.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_TIMEOUT_S, show_default=True, help="Seconds."
)
def analyze(
    photos: tuple[str, ...],
    url: str | None,
    grpc: str | None,
    key: str | None,
    form: str,
    draw: Path | None,
    attributes: str | None,
    max_faces: int | None,
    min_confidence: float | None,
    min_face_px: int | None,
    order: Order | None,
    concurrency: int,
    timeout_s: float,
) -> None:
    """Analyse photographs: files, folders (with all below them), quoted patterns, - (standard input) and addresses.

    Addresses (https://...) are fetched by the service, if it does that.

    Answers come in the order of the arguments; in a folder, by name. A picture that cannot be analysed is reported, and the rest is done.
    Ends with 0 when all is well, 1 when some pictures failed, 2 for a wrong use, 3 when the service cannot be reached,
    4 when the answers cannot be written.
    """
    from gateway.commands.analysis.forms import FORMS

    _write_any_text(form)
    found = find(photos, without=draw)
    if not found:
        raise click.UsageError("No pictures in what was named.")
    if draw:
        _make(draw)
    with ExitStack() as stack:
        service = _service(stack, url, grpc, key, timeout_s)
        names = _checked(attributes, service.offered())
        places = [draw / name for name in drawn_names(found)] if draw else [None] * len(found)
        work = partial(_outcome, service, Wanted(names, max_faces, min_confidence, min_face_px, order))
        tasks = [Task(photograph, place) for photograph, place in zip(found, places, strict=True)]
        sys.exit(_run(work, tasks, concurrency, FORMS[form](_write)))


def _write_any_text(form: str) -> None:
    """Never fail on a character that the terminal cannot show. JSON is always UTF-8."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8" if form == "json" else None, errors="replace")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise click.UsageError(f"{folder} cannot be written: {error.strerror}.") from None


def _service(stack: ExitStack, url: str | None, grpc: str | None, key: str | None, timeout_s: float) -> Service:
    given = click.get_current_context().get_parameter_source("url")
    if grpc and url and given is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("Give --url or --grpc, not both.")
    if grpc:
        return Triton(grpc, timeout_s)
    try:
        return Gateway(stack.enter_context(vultus.Client(url or DEFAULT_URL, key=key, timeout_s=timeout_s)))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _checked(attributes: str | None, offered: Sequence[str]) -> list[str] | None:
    if attributes is None:
        return None
    names = [name.strip().lower() for name in attributes.split(",") if name.strip()]
    if "all" in names:
        return list(offered)
    unknown = [name for name in names if name not in offered]
    if unknown:
        hint = did_you_mean(unknown[0], offered)
        raise click.UsageError(f"Unknown: {', '.join(unknown)}.{hint} This service offers {', '.join(offered)}.")
    return names


def _outcome(service: Service, wanted: Wanted, task: Task) -> AnalysisOut | Failed:
    """In a worker's thread. Raises Stop."""
    try:
        image = task.photograph.content()
        analysis = service.analyze(image, wanted)
        if task.drawn:
            from gateway.commands.analysis.marking import mark

            mark(image, analysis, task.drawn)
        return analysis
    except Failed as failure:
        return failure
    except OSError as error:
        return Failed("unreadable_file", error.strerror or str(error))


def _run(work: partial[AnalysisOut | Failed], tasks: list[Task], concurrency: int, form: Form) -> int:
    """Returns the exit status."""
    started, done, faces, failed = time.monotonic(), 0, 0, 0
    with tqdm(total=len(tasks), unit="picture", file=sys.stderr, disable=None, leave=False) as bar:
        try:
            for task, outcome in zip(tasks, in_order(work, tasks, concurrency), strict=True):
                if isinstance(outcome, Failed):
                    failed += 1
                    tqdm.write(f"{task.photograph.name}: {outcome}", file=sys.stderr)
                else:
                    faces += len(outcome.faces)
                form.add(task.photograph.name, outcome)
                done += 1
                bar.update()
        except Stop as problem:
            raise type(problem)(f"{problem.message} {done} of {len(tasks)} pictures were done.") from None
        finally:
            with _written():
                form.end()
    seconds = time.monotonic() - started
    click.echo(f"pictures: {done}, faces: {faces}, failed: {failed}; {seconds:.1f} s", err=True)
    return SOME_FAILED if failed else 0


def _write(text: str) -> None:
    """To standard output, above a progress bar on the same terminal; at once, for programs that read along. Raises Unwritten."""
    with _written():
        tqdm.write(text, file=sys.stdout, end="")
        sys.stdout.flush()


@contextmanager
def _written() -> Iterator[None]:
    """Around what writes to standard output. Raises Unwritten; that a reader has closed its pipe is click's to handle."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        _discard_what_is_unwritten()
        raise Unwritten(f"Standard output cannot be written: {error.strerror}.") from None


def _discard_what_is_unwritten() -> None:
    """Or Python complains about it again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
