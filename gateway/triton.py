"""The only module that speaks gRPC. Status codes become our errors here and nowhere else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from gateway import call, metrics, tracing
from gateway.breaker import Breaker
from gateway.errors import GatewayError, InternalError, ModelContractError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.models import ENSEMBLE, Config
from gateway.retry import QUEUE_FULL, QUEUED_TOO_LONG, nobody_there, retrying
from gateway.shared_pixels import SharedPixels

Tensors = dict[str, NDArray[Any]]

# gRPC status to error. UNAVAILABLE is also what Triton answers for its queues, hence the look at the message below.
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
# For a target with several addresses: each request goes to the next one that is connected. No healthCheckConfig: Triton answers the
# health service's Watch, which gRPC would use, with UNIMPLEMENTED (2.51); it opens its port only when its models are loaded.
BALANCING: dict[str, object] = {"loadBalancingConfig": [{"round_robin": {}}]}
# A lost server is looked for again soon: without these gRPC waits up to two minutes between attempts.
CHANNEL_OPTIONS = [
    ("grpc.service_config", json.dumps(BALANCING)),
    ("grpc.dns_min_time_between_resolutions_ms", 5000),
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
        self._breaker = Breaker(lambda: self.is_ready(0.5))

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> Tensors:
        """Run the ensemble on one RGB uint8 picture [H,W,3], asking for `outputs` only, within what is left of the current call.

        Raises UpstreamUnavailable, UpstreamOverloaded, UpstreamTimeout, ModelContractError, CallerGone.
        """
        answer = self._guarded(image, [triton.InferRequestedOutput(name) for name in outputs])
        return {name: answer.as_numpy(name) for name in outputs}

    def _guarded(self, image: NDArray[np.uint8], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """Ask behind the breaker, again where nobody was there."""
        self._breaker.check()
        current, started_s = call.current(self._deadline_s), time.monotonic()
        try:
            answer = retrying(current)(self._attempt, current, image, wanted)
        except InferenceServerException as problem:
            self._judge(problem, time.monotonic() - started_s)
            raise as_gateway_error(problem) from None
        self._breaker.succeeded()
        return answer

    def _judge(self, problem: InferenceServerException, waited_s: float) -> None:
        """Tell the breaker. A timeout counts only when the wait was long: a caller may have asked for a short one."""
        if problem.status() == "StatusCode.DEADLINE_EXCEEDED":
            if waited_s >= self._deadline_s / 2:
                self._breaker.failed()
        elif nobody_there(problem):
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def _attempt(self, current: call.Call, image: NDArray[np.uint8], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """One attempt, the pixels in shared memory where that works. A restarted server does not know the region: then anew."""
        tensor = triton.InferInput("IMAGE", [1, *image.shape], "UINT8")
        region = self._shared.place(self._connection(), image, current.left_s)
        if region is None:
            tensor.set_data_from_numpy(np.ascontiguousarray(image)[None])
            return self._ask(current, [tensor], wanted)
        tensor.set_shared_memory(region.name, image.nbytes)
        settled = False
        try:
            answer = self._ask(current, [tensor], wanted)
            settled = True
        except InferenceServerException as problem:
            settled = problem.status() == "StatusCode.NOT_FOUND"  # also what it says of a region that it does not know
            if settled and self._shared.forgotten(self._connection(), region):
                region = None
                return self._attempt(current, image, wanted)
            raise
        finally:
            if region:
                self._shared.give_back(region, settled, current.left_s)
        return answer

    def _ask(self, current: call.Call, inputs: list[triton.InferInput], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """Send and wait, cancelled when the caller hangs up. Triton drops what waits in its queues for longer than the deadline."""
        left_s = current.left_s
        if left_s <= 0:
            metrics.REJECTED.labels("deadline").inc()
            raise UpstreamTimeout
        answer: Future[triton.InferResult] = Future()

        def settle(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
            answer.set_exception(error) if error else answer.set_result(result)

        with tracing.inference() as headers:
            sent = self._connection().async_infer(
                ENSEMBLE, inputs, settle, outputs=wanted, client_timeout=left_s, timeout=int(left_s * 1e6), headers=headers
            )
            return current.wait(answer, sent.cancel)

    def close(self) -> None:
        """Before this process ends: Triton keeps nothing of it."""
        with self._lock:
            client = self._client
        if client:
            self._shared.close(client)

    def is_ready(self, timeout_s: float = 1) -> bool:
        """Whether the server and the ensemble are ready; each of two calls may take `timeout_s`."""
        try:
            client = self._connection()
            return bool(client.is_server_ready(client_timeout=timeout_s) and client.is_model_ready(ENSEMBLE, client_timeout=timeout_s))
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
    status, message = problem.status() or "", (problem.message() or "").lower()
    if status == "StatusCode.UNAVAILABLE" and QUEUE_FULL in message:
        metrics.REJECTED.labels("triton_queue").inc()
        return UpstreamOverloaded(retry_after_s=1)
    if status == "StatusCode.UNAVAILABLE" and QUEUED_TOO_LONG in message:
        return UpstreamTimeout(retry_after_s=1)
    kind = BY_STATUS.get(status, InternalError)
    return kind(retry_after_s=1 if kind is not ModelContractError else None)
