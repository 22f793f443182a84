"""`vultus redact`: a folder of photographs becomes a folder of the same photographs with every face hidden."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

import vultus
from gateway.commands.analysis.photographs import find
from gateway.commands.analysis.services import Failed, Stop, told
from vultus.connection import DEFAULT_TIMEOUT_S, DEFAULT_URL, Method
from vultus.order import in_order

EXAMPLES = """\b
Examples:
  vultus redact holiday
  vultus redact holiday --to /media/stick/holiday --method pixelate
  vultus redact photo.jpg --to hidden --method cover --margin 0.4
"""
SOME_FAILED = 1
# What /v1/redact writes when it is sent each of these; others become PNG.
KEPT = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".jif", ".pjpeg", ".pjp", ".png", ".apng", ".webp"})


@dataclass(frozen=True, slots=True)
class Task:
    """One photograph, and where the copy goes in which faces are hidden."""

    source: Path
    target: Path


@click.command(epilog=EXAMPLES)
@click.argument("folder", type=click.Path(exists=True, path_type=Path))
@click.option("--to", "target", type=click.Path(path_type=Path), help="Where the copies go. [default: FOLDER-redacted]")
@click.option("--method", type=click.Choice(["blur", "pixelate", "cover"]), help="How faces are hidden. [default: blur]")
@click.option("--margin", type=click.FloatRange(0, 1), help="By how much of its size a face's box grows on every side. [default: 0.2]")
@click.option("--min-confidence", type=click.FloatRange(0, 1), help="Only faces of at least this confidence. [default: all that are found]")
@click.option("--min-face-px", type=click.IntRange(0, 16_384), help="Only faces at least so wide and high, pixels.")
@click.option("--again", is_flag=True, help="Do also what was done already.")
@click.option("--url", envvar="VULTUS_URL", default=DEFAULT_URL, show_default=True, help="Address of the gateway.")
@click.option("--key", envvar="VULTUS_KEY", help="API key. Better given as VULTUS_KEY, where other users do not see it.")
@click.option("--concurrency", type=click.IntRange(1, 64), default=2, show_default=True, help="Pictures at a time.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=DEFAULT_TIMEOUT_S, show_default=True, help="Seconds."
)
def redact(
    folder: Path,
    target: Path | None,
    method: Method | None,
    margin: float | None,
    min_confidence: float | None,
    min_face_px: int | None,
    again: bool,
    url: str,
    key: str | None,
    concurrency: int,
    timeout_s: float,
) -> None:
    """Copy the photographs of FOLDER with every face in them hidden. Originals are never changed.

    The copies lie in folders as the originals do, in the same format (other than JPEG, PNG and WebP become PNG), without metadata such as
    where and when a picture was taken. What has a newer copy is left out, so an interrupted run goes on where it was. Files that are
    no pictures are not copied.

    Ends with 0 when all is well, 1 when some pictures failed, 2 for a wrong use, 3 when the service cannot be reached.
    """
    target = target or Path(f"{folder.resolve()}-redacted")
    tasks = _tasks(folder, target)
    if target.resolve() == folder.resolve() or any(task.target.resolve() == task.source.resolve() for task in tasks):
        raise click.UsageError("The copies cannot go where the originals are.")
    if not tasks:
        raise click.UsageError("No pictures in what was named.")
    todo = tasks if again else [task for task in tasks if not _is_done(task)]
    try:
        client = vultus.Client(url, key=key, timeout_s=timeout_s)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    with client:
        ask = partial(client.redact, method=method, margin=margin, min_confidence=min_confidence, min_face_px=min_face_px)
        sys.exit(_run(partial(_outcome, ask), todo, len(tasks) - len(todo), concurrency))


def _tasks(folder: Path, target: Path) -> list[Task]:
    """Two originals never share a copy: one whose suffix changes keeps the old one in its name."""
    return [
        Task(photograph.path, target / (name if name.suffix.lower() in KEPT else name.with_name(f"{name.name}.png")))
        for photograph in find([str(folder)], without=target)
        for name in [photograph.place]
    ]


def _is_done(task: Task) -> bool:
    try:
        return task.target.stat().st_mtime >= task.source.stat().st_mtime
    except OSError:
        return False


def _outcome(ask: partial[bytes], task: Task) -> Failed | None:
    """In a worker's thread. Raises Stop."""
    try:
        with told():
            data = ask(task.source)
        _write(task.target, data)
    except Failed as failure:
        return failure
    except OSError as error:
        return Failed("unreadable_file", error.strerror or str(error))
    return None


def _write(target: Path, data: bytes) -> None:
    """Whole or not at all. Raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".vultus-", delete=False) as file:
        try:
            file.write(data)
            file.close()
            Path(file.name).chmod(0o666 & ~_umask())
            os.replace(file.name, target)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def _umask() -> int:
    """That of this process, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _run(work: partial[Failed | None], tasks: list[Task], before: int, concurrency: int) -> int:
    """Returns the exit status."""
    started, done, failed = time.monotonic(), 0, 0
    with tqdm(total=len(tasks), unit="picture", file=sys.stderr, disable=None, leave=False) as bar:
        try:
            for task, failure in zip(tasks, in_order(work, tasks, concurrency), strict=True):
                if failure:
                    failed += 1
                    tqdm.write(f"{os.fsencode(task.source).decode(errors='replace')}: {failure}", file=sys.stderr)
                done += 1
                bar.update()
        except Stop as problem:
            raise type(problem)(f"{problem.message} {done} of {len(tasks)} pictures were done.") from None
    seconds = time.monotonic() - started
    click.echo(f"pictures: {done - failed}, done before: {before}, failed: {failed}; {seconds:.1f} s", err=True)
    return SOME_FAILED if failed else 0
