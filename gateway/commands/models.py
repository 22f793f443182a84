"""`vultus models`: what is served, what it learned from, how good it is, under which licence; and its commands, which change that."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from gateway.card import read_card

CHECKOUT = Path(__file__).resolve().parents[2]


class Changing(click.Group):
    """The commands of scripts/slots, which are there only in a clone: they put models into its repository's places."""

    names = ("list", "add", "install", "use", "evaluate", "remove", "rollback")

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of the help page; none without a clone."""
        return list(self.names) if (CHECKOUT / "scripts" / "slots").is_dir() else []

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Imported when it is called: it needs what scripts/serve needs."""
        if name not in self.names:
            return None
        if not self.list_commands(context):
            raise click.ClickException("Models are added to a clone of the repository: get it, and call `vultus` there.")
        if str(CHECKOUT) not in sys.path:
            sys.path.insert(0, str(CHECKOUT))
        try:
            from scripts.slots.commands import COMMANDS
        except ModuleNotFoundError as error:
            raise click.ClickException(f"The package {error.name} is missing: pip install -e '.[slots]' in the repository.") from None
        return COMMANDS[name]


@click.group(cls=Changing, invoke_without_command=True)
@click.option("--card", metavar="NAME", help="Print the card of one model.")
@click.option("--json", "as_json", is_flag=True, help="Everything that is known, as JSON, with all measured figures.")
@click.pass_context
def models(context: click.Context, card: str | None, as_json: bool) -> None:
    """List the models of the repository: accuracy with 95 % intervals, training data, licence. Its commands put others in their places."""
    if context.invoked_subcommand:
        return
    repository = _repository()
    if card:
        click.echo(_card(repository, card), nl=False)
    elif as_json:
        click.echo(json.dumps([facts(folder) for folder in described(repository)], indent=1, ensure_ascii=False))
    else:
        _print_table(repository)


def described(repository: Path) -> list[Path]:
    """The folders with a model.toml, by name."""
    return sorted(path.parent for path in repository.glob("*/model.toml"))


def facts(folder: Path) -> dict[str, Any]:
    """Card and results.json of one model, with the size of its graph in bytes (null when the file is missing)."""
    card = read_card(folder)
    results, graph = folder / "results.json", folder / "1" / "model.onnx"
    return {
        "model": folder.name,
        "version": card.version,
        "summary": card.summary,
        "bytes": graph.stat().st_size if graph.exists() else None,
        "sha256": card.file.sha256,
        "licence": card.licence.model_dump(),
        "training": card.training.model_dump(),
        "limits": card.limits.known,
        "measured": json.loads(results.read_text()) if results.exists() else {},
    }


def _repository() -> Path:
    from gateway.settings import Settings

    repository = Settings().model_repository
    if not described(repository):
        raise click.ClickException(f"There is no model repository in {repository}; set VULTUS_MODEL_REPOSITORY.")
    return repository


def _card(repository: Path, name: str) -> str:
    """The card without the note for its editors."""
    cards = {path.parent.name: path for path in sorted(repository.glob("*/CARD.md"))}
    if name not in cards:
        raise click.UsageError(f"There is no card of {name}; there are those of {', '.join(cards)}.")
    lines = cards[name].read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("<!--")).lstrip()


def _print_table(repository: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("model", "version", "MB", "measured (95 % interval)", "learned from", "licence", show_lines=True, header_style="bold")
    for fact in map(facts, described(repository)):
        size = "missing" if fact["bytes"] is None else f"{fact['bytes'] / 1e6:.1f}"
        measured = "\n".join(f"{tensor}: {figures['summary']}" for tensor, figures in fact["measured"].items())
        learned = "\n".join(fact["training"]["data"])
        row = (fact["model"], fact["version"], size, measured, learned, fact["licence"]["summary"])
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 200).print(table)
