"""The only module that speaks gRPC. Status codes become our errors here and nowhere else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures
from concurrent.futures import Future
from typing import Any, TypeAlias

import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from pydantic import SecretStr
from tritonclient.utils import InferenceServerException

from gateway import deadline, metrics, tracing
from gateway.errors import GatewayError, InternalError, ModelContractError, UpstreamOverloaded, UpstreamTimeout, UpstreamUnavailable
from gateway.inference.breaker import Breaker
from gateway.inference.retry import QUEUE_FULL, QUEUED_TOO_LONG, nobody_there, retrying
from gateway.inference.shared_pixels import Region, SharedPixels
from gateway.inference.tls import Tls
from gateway.models import ENSEMBLE, Config

Tensors = dict[str, NDArray[Any]]
Answer: TypeAlias = Future[triton.InferResult]

NO_SECRET, SECRET_HEADER = SecretStr(""), "triton-grpc-protocol-vultus"
DEADLINE, NOT_FOUND = "StatusCode.DEADLINE_EXCEEDED", "StatusCode.NOT_FOUND"  # the latter also: no such shared region
# A call that is not to be cancelled has so long beyond the deadline of its caller, and a process that ends waits so long for such calls.
GIVEN_UP_AFTER_S, LAST_ANSWERS_S = 30.0, 5.0

# gRPC status to error. UNAVAILABLE is also what Triton answers for its queues, hence the look at the message below.
BY_STATUS: dict[str, type[GatewayError]] = {
    "StatusCode.UNAVAILABLE": UpstreamUnavailable,
    DEADLINE: UpstreamTimeout,
    "StatusCode.RESOURCE_EXHAUSTED": UpstreamOverloaded,
    "StatusCode.CANCELLED": UpstreamUnavailable,
    NOT_FOUND: UpstreamUnavailable,
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

    def __init__(
        self,
        address: str,
        deadline_s: float,
        shared_memory: bool = True,
        cancels: bool = False,
        secret: SecretStr = NO_SECRET,
        tls: Tls | None = None,
    ) -> None:
        self._address, self._deadline_s, self._cancels, self._secret, self._tls = address, deadline_s, cancels, secret, tls
        self._shared = SharedPixels(address, shared_memory)
        self._lock = threading.Lock()
        self._client: triton.InferenceServerClient | None = None
        self._breaker = Breaker(lambda: self.is_ready(0.5))
        self._under_way: set[Answer] = set()

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> Tensors:
        """Run the ensemble on one RGB uint8 picture [H,W,3], asking for `outputs` only, within what is left of the current call.

        Raises UpstreamUnavailable, UpstreamOverloaded, UpstreamTimeout, ModelContractError, CallerGone.
        """
        answer = self._guarded(image, [triton.InferRequestedOutput(name) for name in outputs])
        return {name: answer.as_numpy(name) for name in outputs}

    def _guarded(self, image: NDArray[np.uint8], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """Ask behind the breaker, again where nobody was there."""
        self._breaker.check()
        current, started_s = deadline.current(self._deadline_s), time.monotonic()
        try:
            answer = retrying(current)(self._attempt, current, image, wanted)
        except InferenceServerException as problem:
            self._judge(problem, time.monotonic() - started_s)
            raise as_gateway_error(problem) from None
        self._breaker.succeeded()
        return answer

    def _judge(self, problem: InferenceServerException, waited_s: float) -> None:
        """Tell the breaker. A timeout counts only when the wait was long: a caller may have asked for a short one."""
        if problem.status() == DEADLINE:
            if waited_s >= self._deadline_s / 2:
                self._breaker.failed()
        elif nobody_there(problem):
            self._breaker.failed()
        else:
            self._breaker.succeeded()

    def _attempt(self, current: deadline.Call, image: NDArray[np.uint8], wanted: list[triton.InferRequestedOutput]) -> triton.InferResult:
        """One attempt, the pixels in shared memory where that works. A restarted server does not know the region: then anew."""
        tensor = triton.InferInput("IMAGE", [1, *image.shape], "UINT8")
        region = self._shared.place(self._connection(), image, current.left_s)
        if region is None:
            tensor.set_data_from_numpy(np.ascontiguousarray(image)[None])
            return self._ask(current, tensor, wanted, Future())
        tensor.set_shared_memory(region.name, image.nbytes)
        answer: Answer = Future()
        try:
            return self._ask(current, tensor, wanted, answer)
        except InferenceServerException as problem:
            if problem.status() == NOT_FOUND and self._shared.forgotten(self._connection(), region):
                region = None
                return self._attempt(current, image, wanted)
            raise
        finally:
            if region:
                self._when_read(answer, region, current)

    def _ask(
        self, current: deadline.Call, image: triton.InferInput, wanted: list[triton.InferRequestedOutput], answer: Answer
    ) -> triton.InferResult:
        """Send, and wait for what settles `answer`."""
        with tracing.inference() as headers:
            self._under_way.add(answer)
            answer.add_done_callback(self._under_way.discard)
            try:
                current.check()
                cancel = self._send(image, wanted, answer, current.left_s, headers)
            except BaseException:
                answer.cancel()
                raise
            try:
                return current.wait(answer, cancel if self._cancels else None)
            except TimeoutError:
                raise InferenceServerException("no answer within the deadline", DEADLINE) from None

    def _send(
        self, image: triton.InferInput, wanted: list[triton.InferRequestedOutput], answer: Answer, left_s: float, headers: dict[str, str]
    ) -> Callable[[], object]:
        """What cancels the call. Triton drops what waits in its queues for longer than `left_s`.

        gRPC's own deadline would cancel the call, too: where that is not wanted it is later.
        """

        def settle(result: triton.InferResult | None, error: InferenceServerException | None) -> None:
            answer.set_exception(error) if error else answer.set_result(result)

        ends_s = left_s if self._cancels else left_s + GIVEN_UP_AFTER_S
        sent = self._connection().async_infer(
            ENSEMBLE, [image], settle, outputs=wanted, client_timeout=ends_s, timeout=int(left_s * 1e6), headers=headers
        )
        cancel: Callable[[], object] = sent.cancel
        return cancel

    def _when_read(self, answer: Answer, region: Region, current: deadline.Call) -> None:
        """Give the region back, now or, after a call that is still under way at its deadline, when Triton has answered."""

        def give_back(ended: Answer) -> None:
            problem = None if ended.cancelled() else ended.exception()
            settled = problem is None or (isinstance(problem, InferenceServerException) and problem.status() == NOT_FOUND)
            self._shared.give_back(region, settled, current.left_s)

        answer.add_done_callback(give_back)

    def close(self) -> None:
        """Before this process ends: Triton keeps nothing of it, and finishes what this process asked for."""
        with self._lock:
            client = self._client
        if client:
            futures.wait(set(self._under_way), LAST_ANSWERS_S)
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
                self._client = connect(self._address, self._secret, self._tls)
            return self._client


def connect(address: str, secret: SecretStr = NO_SECRET, tls: Tls | None = None) -> triton.InferenceServerClient:
    """A client, by TLS if that is given, that shows `secret` with every call: Triton looks at it where it restricts a protocol."""

    def show(request: Any) -> None:
        request.headers = {**(request.headers or {}), SECRET_HEADER: secret.get_secret_value()}

    client = triton.InferenceServerClient(address, channel_args=CHANNEL_OPTIONS, **(tls.arguments() if tls else {}))
    if secret:
        client.register_plugin(show)
    return client


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
