"""The command line `vultus`."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from gateway.commands.spelling import did_you_mean

EXAMPLES = """\b
Examples:
  vultus analyze holiday --csv > faces.csv
  vultus redact holiday --to holiday-redacted
  vultus doctor
"""


class Subcommands(click.Group):
    """Those of this folder. Each is imported when it is called: what one needs (a database), another need not wait for."""

    names = ("analyze", "redact", "serve", "keys", "models", "doctor")

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of the help page."""
        return list(self.names)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command that its module calls by its own name."""
        command: click.Command | None = getattr(import_module(f"gateway.commands.{name}"), name) if name in self.names else None
        return command

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
