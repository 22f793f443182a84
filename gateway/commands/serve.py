"""`vultus serve`: what scripts/serve does, from an environment that is already there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

CHECKOUT = Path(__file__).resolve().parents[2]


@click.command(context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def serve(arguments: tuple[str, ...]) -> None:
    """Serve the gateway and an embedded Triton; the options of scripts/serve."""
    if not (CHECKOUT / "scripts" / "serving.py").is_file():
        raise click.ClickException(
            "The embedded server is not part of the installed package. Get the repository and run scripts/serve in it, "
            "or run the gateway beside a Triton of your own: VULTUS_TRITON=HOST:PORT gunicorn 'gateway.app:create_app()'."
        )
    sys.path.insert(0, str(CHECKOUT))
    os.chdir(CHECKOUT)  # as scripts/serve, so that both find the same keys
    from scripts.serving import main

    sys.exit(main(arguments))
