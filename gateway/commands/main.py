"""The command line `vultus`."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import click
from pydantic import ValidationError

from gateway.commands.spelling import did_you_mean

EXAMPLES = """\b
Examples:
  vultus analyze holiday --csv > faces.csv
  vultus redact holiday --to holiday-redacted
  vultus doctor
"""


class Subcommands(click.Group):
    """Commands of this folder, imported on demand: not every command needs a database."""

    names = ("analyze", "redact", "serve", "keys", "models", "doctor")

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of the help page."""
        return list(self.names)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command that its module calls by its own name."""
        command: click.Command | None = getattr(import_module(f"gateway.commands.{name}"), name) if name in self.names else None
        return command

    def invoke(self, context: click.Context) -> Any:
        """Run a command. Settings that are refused end it with 2."""
        try:
            return super().invoke(context)
        except ValidationError as problem:
            raise click.UsageError(str(problem)) from None

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """As ever; what is misspelt is named."""
        try:
            return super().resolve_command(context, args)
        except click.UsageError:
            raise click.UsageError(f"No such command {args[0]!r}.{did_you_mean(args[0], self.names)}", context) from None


@click.group(cls=Subcommands, epilog=EXAMPLES)
@click.version_option(package_name="vultus")
def main() -> None:
    """Open, self-hosted face analysis."""


if __name__ == "__main__":
    sys.exit(main())
