"""`vultus models list | add | install | use | evaluate | remove | rollback`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.models import Output, read_catalogue, read_model
from gateway.settings import REPOSITORY, Settings
from scripts.slots import compose, known
from scripts.slots.adapter import Adapter, read
from scripts.slots.contract import Refused, slots
from scripts.slots.store import Store

if TYPE_CHECKING:
    from scripts.slots.trial import Answers

BUILT_IN = "builtin"
SERVED_AFTER = "A running scripts/serve takes it over as soon as it has started beside the present models; its log says when."

accept_licence = click.option("--accept-licence", is_flag=True, help="Say that you have read the licence that is shown, and keep to it.")
accept_answers = click.option(
    "--accept-answers", is_flag=True, help="Take the model although its answers to the built-in pictures contradict the built-in model's."
)


@contextmanager
def _in_one_line() -> Iterator[None]:
    try:
        yield
    except Refused as problem:
        raise click.ClickException(str(problem)) from None
    except ModuleNotFoundError as problem:
        raise click.ClickException(f"The package {problem.name} is missing: pip install -e '.[slots]' in the repository.") from None


@click.command("list")
def list_() -> None:
    """Who fills each slot: licence, size, what was measured; and what else could."""
    store = Store(Settings().data)
    with _in_one_line():
        _print_slots(store)
    others = sorted(set(store.names()) - {name for who in compose.read(store.current).values() for name in who})
    click.echo(f"added, not in use: {', '.join(others) or 'none'}")
    offered = [name for name in known.entries() if name not in store.names()]
    click.echo(f"described, not added: {', '.join(offered) or 'none'}; packs: {', '.join(known.packs())}")


@click.command()
@click.argument("source", metavar="FILE|URL")
@click.option(
    "--adapter", "description", type=click.Path(path_type=Path, exists=True, dir_okay=False), required=True, help="Its description."
)
@accept_licence
@accept_answers
def add(source: str, description: Path, accept_licence: bool, accept_answers: bool) -> None:
    """Add an ONNX model of your own: wrapped by its adapter, tried on built-in pictures."""
    with _in_one_line():
        adapter = read(description)
        _ask(adapter, accept_licence)
        with _file(source) as file:
            _add(file, adapter, description.read_text(), accept_answers)


@click.command()
@click.argument("name")
@click.option(
    "--from", "folder", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Folder with the files, for lack of internet."
)
@accept_licence
def install(name: str, folder: Path | None, accept_licence: bool) -> None:
    """Add a model of the catalogue, or every model of a pack."""
    with _in_one_line():
        pack = known.packs().get(name)
        names = dict.fromkeys(model for weights in pack.values() for model in weights) if pack else {name: None}
        missing = [known.entry(name) for name in names if name not in Store(Settings().data).names()]
        _ask_all([adapter for adapter, _ in missing], accept_licence)
        for adapter, described in missing:
            with _file(_home(adapter, folder)) as file:
                _add(file, adapter, described, accept_answers=False)
        click.echo(f"Use {'it' if len(names) == 1 else 'them'}: vultus models use {name if pack else f'SLOT={name}'}")


@click.command()
@click.argument("choices", metavar="SLOT=MODEL ... | PACK", nargs=-1, required=True)
def use(choices: tuple[str, ...]) -> None:
    """Let a model fill a slot. A running scripts/serve takes it over.

    SLOT=builtin gives the slot back to the built-in model; SLOT=A:0.6+B:0.4 takes a weighted mean.
    """
    store = Store(Settings().data)
    changes: dict[str, Mapping[str, float]] = {}
    with _in_one_line():
        for choice in choices:
            changes |= known.packs()[choice] if choice in known.packs() else dict([_parsed(choice)])
        with store.locked():
            store.use(changes)
        _print_slots(store)
    click.echo(SERVED_AFTER)


@click.command()
@click.argument("table", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def evaluate(table: Path) -> None:
    """Measure the choice in force on labelled pictures of your own.

    TABLE is a CSV with a column `picture` (a path from its folder) and one or more of the attributes: age and beauty as numbers, the others
    as labels. The largest face of each picture counts. Intervals are 95 %, by resampling.
    """
    with _in_one_line():
        from scripts.slots.measuring import measure

        measured, undetected = measure(Store(Settings().data).current, table)
    for row in measured:
        click.echo(f"{row.attribute}: {row.figure}, n = {row.n}; by {row.models}")
    click.echo(f"no face found: {undetected}")


@click.command()
def rollback() -> None:
    """Go back to the choice before the one in force; from the first, to the built-in models."""
    store = Store(Settings().data)
    with _in_one_line(), store.locked():
        click.echo(f"In force: {store.rollback()}. {SERVED_AFTER}")


@click.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget an added model that fills no slot. What was composed with it before can still be gone back to."""
    store = Store(Settings().data)
    with _in_one_line(), store.locked():
        store.remove(name)
    click.echo(f"{name} is removed.")


COMMANDS = {command.name or "": command for command in (list_, add, install, use, evaluate, remove, rollback)}


def _ask_all(adapters: list[Adapter], accepted: bool) -> None:
    for adapter in adapters:
        _show_licence(adapter)
    if adapters and not accepted:
        raise Refused("Read that; then call again with --accept-licence.")


def _ask(adapter: Adapter, accepted: bool) -> None:
    _ask_all([adapter], accepted)


def _show_licence(adapter: Adapter) -> None:
    licence = adapter.licence
    click.echo(f"{adapter.name}: {adapter.summary}")
    click.echo(f"  licence         {licence.name} {licence.url}".rstrip())
    click.echo(f"  commercial use  {licence.commercial_use}")
    click.echo(f"  learned from    {'; '.join(adapter.trained_on)}")


def _home(adapter: Adapter, folder: Path | None) -> str:
    """Path or URL of a catalogue entry's file."""
    if adapter.source is None:
        raise Refused(f"The catalogue's entry {adapter.name} names no file.")
    if folder:
        return str(folder / adapter.source.file)
    if adapter.source.url is None:
        raise Refused(
            f"{adapter.name} is described, but its file is not published in this form ({adapter.source.home}). "
            f"Give the folder that has {adapter.source.file} with --from."
        )
    return adapter.source.url


@contextmanager
def _file(source: str) -> Iterator[Path]:
    """The file, fetched into a folder of downloads where it is elsewhere. What was interrupted is continued by the next call."""
    if not re.match(r"https?://", source):
        yield Path(source)
        return
    from scripts.slots.download import fetch

    downloads = Settings().data / "models" / "downloads"
    downloads.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = fetch(source, downloads)
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _add(file: Path, adapter: Adapter, described: str, accept_answers: bool) -> None:
    from scripts.slots import adding

    store = Store(Settings().data)
    with store.locked():
        answers = adding.add(store, file, adapter, described, accept_answers)
    click.echo(f"{adapter.name} is added. Its answers to the built-in pictures, and the built-in model's:")
    for answer in answers:
        _print_answers(answer)


def _print_answers(answers: Answers) -> None:
    labels = answers.slot.labels[-1:] if answers.slot.is_decision else answers.slot.labels or ("",)
    for place, label in enumerate(labels):
        ours, theirs = (" ".join(f"{row[place]:7.2f}" for row in rows) for rows in (answers.built_in, answers.rows))
        click.echo(f"  {answers.slot.attribute:9}{label:16}{theirs}   built in{ours}")


def _parsed(choice: str) -> tuple[str, dict[str, float]]:
    """`age=a:0.6+b:0.4`. Raises Refused."""
    found = re.fullmatch(r"(\w+)=((?:\w+(?::\d*\.?\d+)?\+?)+)", choice)
    if not found or found[2].endswith("+"):
        raise Refused(f"{choice!r} is no choice: SLOT=MODEL, SLOT=MODEL:WEIGHT+MODEL:WEIGHT, or a pack ({', '.join(known.packs())}).")
    slot = found[1]
    built_in = {output.attribute: output.model for output in read_catalogue(REPOSITORY).outputs}
    weights: dict[str, float] = {}
    for part in found[2].split("+"):
        name, _, weight = part.partition(":")
        weights[built_in.get(slot, name) if name == BUILT_IN else name] = float(weight or 1)
    if not all(weight > 0 for weight in weights.values()):
        raise Refused(f"{choice!r}: weights must be above 0.")
    return slot, weights


def _print_slots(store: Store) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("slot", "filled by", "licence", "MB", "measured", show_lines=True, header_style="bold")
    choice = compose.read(store.current)
    for output in read_catalogue(store.current).outputs:
        weights = choice.get(output.attribute, {output.model: 1.0})
        parts = [_part(store, name, output) for name in weights]
        total = sum(weights.values())
        shares = [f"{name} x {weight / total:.2g}" if len(weights) > 1 else name for name, weight in weights.items()]
        fixed = "" if output.attribute in slots() else " (always)"
        columns = ["\n".join(column) for column in zip(*parts, strict=True)]
        table.add_row(*(Text(cell) for cell in (output.attribute, "\n".join(shares) + fixed, *columns)))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200).print(table)


def _part(store: Store, name: str, output: Output) -> tuple[str, str, str]:
    """Licence, size and figures of one model that takes part in a slot."""
    folder = store.folder(name)
    model, graph = read_model(folder), folder / "1" / "model.onnx"
    measured = next((told.measured for told in model.outputs if told.attribute == output.attribute), "")
    return model.licence, f"{graph.stat().st_size / 1e6:.1f}", measured or "not measured"
