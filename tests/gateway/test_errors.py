from __future__ import annotations

import grpc
import pytest
from tritonclient.utils import InferenceServerException

from gateway import errors
from gateway.errors import GatewayError, ModelContractError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.inference.triton import BY_STATUS, as_gateway_error


def leaves(kind: type[GatewayError]) -> list[type[GatewayError]]:
    return [leaf for child in kind.__subclasses__() for leaf in leaves(child)] or [kind]


@pytest.mark.parametrize("error", leaves(GatewayError))
def test_the_tree_is_drawn_with_its_statuses(error: type[GatewayError]) -> None:
    lines = [line for line in (errors.__doc__ or "").splitlines() if f" {error.__name__} " in line]
    assert len(lines) == 1
    assert f" {error.status} " in lines[0]


def test_codes_are_unique() -> None:
    codes = [error.code for error in leaves(GatewayError)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        ("StatusCode.UNAVAILABLE", "failed to connect", UpstreamUnavailable),
        ("StatusCode.UNAVAILABLE", "Exceeds maximum queue size", UpstreamOverloaded),
        ("StatusCode.DEADLINE_EXCEEDED", "", UpstreamTimeout),
        ("StatusCode.RESOURCE_EXHAUSTED", "", UpstreamOverloaded),
        ("StatusCode.INVALID_ARGUMENT", "", ModelContractError),
    ],
)
def test_grpc_status_becomes_ours(status: str, message: str, error: type[GatewayError]) -> None:
    assert type(as_gateway_error(InferenceServerException(message, status))) is error


def test_every_status_of_the_table_exists() -> None:
    assert set(BY_STATUS) <= {str(code) for code in grpc.StatusCode}
