"""`vultus doctor`: what is wrong here, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

import vultus
from gateway.commands.diagnosis import files, machine, ports, service
from gateway.commands.diagnosis.finding import Finding, State
from gateway.settings import Settings
from vultus.connection import DEFAULT_URL

COLOURS = {State.OK: "green", State.NOTE: "yellow", State.FAILED: "red"}
PATIENCE_S = 30.0


@click.command()
@click.option("--url", envvar="VULTUS_URL", default=DEFAULT_URL, show_default=True, help="A service to ask, if it runs.")
@click.option("--key", envvar="VULTUS_KEY", help="API key for it.")
def doctor(url: str, key: str | None) -> None:
    """Check Python, processor, memory, shared memory, GPU, ports, model files and a real analysis.

    Ends with 0 when everything works, with 1 when something does not; every failed check says what to do.
    """
    try:
        client = vultus.Client(url, key=key, timeout_s=PATIENCE_S, retries=0)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    failed = False
    with client:
        for finding in _findings(client, url):
            _report(finding)
            failed |= finding.state is State.FAILED
    sys.exit(1 if failed else 0)


def _findings(client: vultus.Client, url: str) -> Iterator[Finding]:
    ready = service.readiness(client, url)
    yield machine.python()
    yield machine.processor()
    yield machine.memory(running=ready.state is State.OK)
    yield machine.shared_memory(running=ready.state is State.OK)
    yield machine.gpu()
    yield from map(ports.check, ports.PORTS)
    yield from files.check(Settings().model_repository)
    yield ready
    yield service.analysis_by(client) if ready.state is State.OK else service.analysis_here()


def _report(finding: Finding) -> None:
    state = click.style(f"{finding.state:7}", fg=COLOURS[finding.state])
    click.echo(f"{state} {finding.subject:12} {finding.told}")
    if finding.advice:
        click.echo(f"{'':8}{'':12} -> {finding.advice}")
