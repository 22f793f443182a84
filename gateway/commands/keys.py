"""`vultus keys`: issue and manage keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import click

from gateway.apis.vendors import VENDORS
from gateway.callers.keys import Key, KeyStore, State
from gateway.commands import running
from gateway.errors import GatewayError
from gateway.settings import Settings

T = TypeVar("T")
EXAMPLES = """\b
Examples:
  vultus keys create vultus 'web shop' --quota 10000 --rate 5
  vultus keys list
  vultus keys revoke 2
"""
NAMED = "vultus.keys_named"  # whether somebody said which database
APIS = {"vultus": False} | {vendor.name: vendor.paired for vendor in VENDORS}


@click.group(epilog=EXAMPLES)
@click.option("--keys-url", help="database of keys (default: VULTUS_KEYS_URL, or keys.sqlite in VULTUS_DATA)")
@click.pass_context
def keys(context: click.Context, keys_url: str | None) -> None:
    """Issue and manage the keys of callers."""
    settings = Settings(keys_url=keys_url) if keys_url else Settings()
    context.meta[NAMED] = "keys_url" in settings.model_fields_set
    context.obj = KeyStore(settings.keys_url)


@keys.command()
@click.argument("api", type=click.Choice(sorted(APIS)))
@click.argument("label")
@click.option("--quota", type=click.IntRange(min=0), help="successful calls per calendar month (default: unlimited)")
@click.option("--rate", type=click.IntRange(min=1), help="calls per second (default: unlimited)")
@click.pass_obj
def create(store: KeyStore, api: str, label: str, quota: int | None, rate: int | None) -> None:
    """Issue a key for API to the caller named LABEL. The secret is shown once."""
    _check_running()
    issued = _guarded(lambda: store.create(api, label, quota, rate, pair=APIS[api]))
    click.echo(f"database   {store.place}")
    if APIS[api]:
        click.echo(f"identifier {issued.key.identifier}")
    click.echo(f"secret     {issued.secret}")


@keys.command(name="list")
@click.pass_obj
def list_keys(store: KeyStore) -> None:
    """All keys, without their secrets."""
    found = _guarded(store.keys)
    if not found:
        click.echo(f"There is no key in {store.place}. `vultus keys create vultus LABEL` makes one.")
        return
    click.echo(_aligned("number", "api", "state", "quota", "rate", "identifier", "label"))
    for key in found:
        click.echo(_line(key))


@keys.command()
@click.argument("number", type=int)
@click.pass_obj
def suspend(store: KeyStore, number: int) -> None:
    """Refuse key NUMBER for now ("account suspended")."""
    _set_state(store, number, State.SUSPENDED)


@keys.command()
@click.argument("number", type=int)
@click.pass_obj
def resume(store: KeyStore, number: int) -> None:
    """Accept key NUMBER again."""
    _set_state(store, number, State.ACTIVE)


@keys.command()
@click.argument("number", type=int)
@click.pass_obj
def revoke(store: KeyStore, number: int) -> None:
    """Make key NUMBER invalid."""
    _set_state(store, number, State.REVOKED)


@keys.command()
@click.argument("number", type=int)
@click.pass_obj
def usage(store: KeyStore, number: int) -> None:
    """Successful calls of key NUMBER by month."""
    for month, calls in _guarded(lambda: store.usage(number)):
        click.echo(f"{month}  {calls}")


def _check_running() -> None:
    """Refuse to change a database that nobody named while all gateways here ask other ones: its keys would protect nothing."""
    if click.get_current_context().meta[NAMED]:
        return
    url, asked = Settings().keys_url, running.databases()
    if asked and url not in asked.values():
        number, other = next(iter(asked.items()))
        raise click.ClickException(
            f"The gateway that runs here (process {number}) asks {KeyStore(other).place}, and this command would use "
            f"{KeyStore(url).place}: name the one that is meant with --keys-url."
        )


def _set_state(store: KeyStore, number: int, state: State) -> None:
    _check_running()
    if not _guarded(lambda: store.set_state(number, state)):
        raise click.ClickException(f"There is no key {number}.")


def _line(key: Key) -> str:
    quota = "unlimited" if key.monthly_quota is None else f"{key.monthly_quota}/month"
    rate = "unlimited" if key.rate_per_s is None else f"{key.rate_per_s}/s"
    return _aligned(str(key.id), key.api, key.state, quota, rate, key.identifier, key.label)


def _aligned(number: str, api: str, state: str, quota: str, rate: str, identifier: str | None, label: str) -> str:
    return f"{number:>6}  {api:14}  {state:10}  {quota:14}  {rate:10}  {identifier or '':20}  {label}"


def _guarded(operation: Callable[[], T]) -> T:
    try:
        return operation()
    except GatewayError as problem:
        raise click.ClickException(problem.detail or problem.title) from None
