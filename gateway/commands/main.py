"""The command line `vultus`."""

from __future__ import annotations

import sys
from importlib import import_module

import click


class Subcommands(click.Group):
    """Those of this folder. Each is imported when it is called: what one needs (a database), another need not wait for."""

    names = ("analyze", "serve", "keys", "models", "doctor")

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order of the help page."""
        return list(self.names)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command that its module calls by its own name."""
        command: click.Command | None = getattr(import_module(f"gateway.commands.{name}"), name) if name in self.names else None
        return command


@click.group(cls=Subcommands)
@click.version_option(package_name="vultus")
def main() -> None:
    """Open, self-hosted face analysis."""


if __name__ == "__main__":
    sys.exit(main())
