"""The only module that speaks gRPC. Status codes become our errors here and nowhere else."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gateway.errors import GatewayError, InternalError, ModelContractError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.models import ENSEMBLE, Config
from gateway.shared_pixels import SharedPixels

Tensors = dict[str, NDArray[Any]]

# gRPC status to error. UNAVAILABLE is also what Triton answers for a full queue, hence the message check below.
BY_STATUS: dict[str, type[GatewayError]] = {
    "StatusCode.UNAVAILABLE": UpstreamUnavailable,
    "StatusCode.DEADLINE_EXCEEDED": UpstreamTimeout,
    "StatusCode.RESOURCE_EXHAUSTED": UpstreamOverloaded,
    "StatusCode.CANCELLED": UpstreamUnavailable,
    "StatusCode.NOT_FOUND": UpstreamUnavailable,
    "StatusCode.INVALID_ARGUMENT": ModelContractError,
    "StatusCode.INTERNAL": UpstreamUnavailable,
    "StatusCode.UNKNOWN": UpstreamUnavailable,
}
# A lost server is looked for again soon: without these gRPC waits up to two minutes between attempts.
CHANNEL_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # Triton is beside us, whatever http_proxy says
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
]


class TritonClient:
    """One channel a process, made on first use and therefore after gunicorn has forked. Thread-safe."""

    def __init__(self, address: str, deadline_s: float, shared_memory: bool = True) -> None:
        self._address, self._deadline_s = address, deadline_s
        self._shared = SharedPixels(address, shared_memory)
        self._lock = threading.Lock()
        self._client: triton.InferenceServerClient | None = None

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> Tensors:
        """Run the ensemble on one RGB uint8 picture [H,W,3], asking for `outputs` only.

        Raises UpstreamUnavailable, UpstreamOverloaded, UpstreamTimeout, ModelContractError.
        """
        try:
            answer = self._answer(image, [triton.InferRequestedOutput(name) for name in outputs])
        except InferenceServerException as problem:
            raise as_gateway_error(problem) from None
        return {name: answer.as_numpy(name) for name in outputs}

    def _answer(self, image: NDArray[np.uint8], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """Raises InferenceServerException."""
        client = self._connection()
        tensor = triton.InferInput("IMAGE", [1, *image.shape], "UINT8")
        region = self._shared.place(client, image)
        if region is None:
            tensor.set_data_from_numpy(np.ascontiguousarray(image)[None])
            return client.infer(ENSEMBLE, [tensor], outputs=wanted, client_timeout=self._deadline_s)
        tensor.set_shared_memory(region.name, image.nbytes)
        settled = False
        try:
            answer = client.infer(ENSEMBLE, [tensor], outputs=wanted, client_timeout=self._deadline_s)
            settled = True
        except InferenceServerException as problem:
            settled = problem.status() == "StatusCode.NOT_FOUND"  # also what it says of a region that it does not know
            if settled and self._shared.forgotten(client, region):
                region = None
                return self._answer(image, wanted)
            raise
        finally:
            if region:
                self._shared.give_back(region, settled)
        return answer

    def is_ready(self) -> bool:
        """Whether the server and the ensemble are ready."""
        try:
            client = self._connection()
            return bool(client.is_server_ready(client_timeout=1) and client.is_model_ready(ENSEMBLE, client_timeout=1))
        except InferenceServerException:
            return False

    def served_config(self, model: str) -> Config:
        """The configuration that the server runs `model` with. Raises as `infer`."""
        try:
            return self._connection().get_model_config(model, client_timeout=1).config
        except InferenceServerException as problem:
            raise as_gateway_error(problem) from None

    def _connection(self) -> triton.InferenceServerClient:
        with self._lock:
            if self._client is None:
                self._client = triton.InferenceServerClient(self._address, channel_args=CHANNEL_OPTIONS)
            return self._client


def as_gateway_error(problem: InferenceServerException) -> GatewayError:
    """Our error for a gRPC failure."""
    status, message = problem.status() or "", problem.message() or ""
    if status == "StatusCode.UNAVAILABLE" and "exceeds maximum queue size" in message.lower():
        return UpstreamOverloaded(retry_after_s=1)
    kind = BY_STATUS.get(status, InternalError)
    return kind(retry_after_s=1 if kind is not ModelContractError else None)
