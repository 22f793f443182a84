"""The client's errors against the gateway's tree: no code without a class, none that nobody sends."""

from __future__ import annotations

import pytest
from flask import Flask

import vultus
from gateway import errors as gateway_errors
from gateway.errors import GatewayError, QuotaExceeded
from tests.client.conftest import Asking
from tests.gateway.test_errors import leaves
from tests.in_process import listening
from vultus import errors


def made(kind: type[GatewayError]) -> GatewayError:
    return QuotaExceeded(3, 3, retry_after_s=11) if kind is QuotaExceeded else kind("In detail.", retry_after_s=11)


def test_every_code_has_a_class() -> None:
    assert set(errors.BY_CODE) == {kind.code for kind in leaves(GatewayError)}


@pytest.mark.parametrize("kind", leaves(GatewayError))
def test_every_error_of_the_gateway_arrives(ask: Asking, app: Flask, kind: type[GatewayError]) -> None:
    def fail() -> str:
        raise made(kind)

    app.view_functions["v1.analyze"] = fail
    with listening(app) as base, pytest.raises(vultus.ServiceError) as failed:
        ask(base, "analyze", b"x", options={"retries": 0})
    error = failed.value
    assert type(error) is errors.BY_CODE[kind.code]
    assert (error.code, error.status, error.title, error.retry_after_s) == (kind.code, kind.status, kind.title, 11)
    assert error.detail == made(kind).detail
    assert len(error.request_id) == 32


def test_classes_fit_the_statuses() -> None:
    for kind in leaves(GatewayError):
        ours = errors.BY_CODE[kind.code]
        assert (ours in (vultus.ServiceFailed, vultus.ServiceUnavailable)) == (kind.status >= 500)
        assert issubclass(kind, gateway_errors.UpstreamError) == (ours is vultus.ServiceUnavailable)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(418, vultus.RequestRefused), (503, vultus.ServiceUnavailable), (504, vultus.ServiceUnavailable), (507, vultus.ServiceFailed)],
)
def test_a_code_of_tomorrow(status: int, kind: type[vultus.ServiceError]) -> None:
    assert errors.kind_of("code_of_tomorrow", status) is kind


def test_the_tree_is_drawn() -> None:
    drawn = errors.__doc__ or ""
    assert all(f" {name} " in drawn for name, value in vars(errors).items() if isinstance(value, type) and value.__subclasses__() == [])
