"""What is measured: a plain loop over the ONNX files, Triton over gRPC with and without shared memory, the gateway's routes."""

from __future__ import annotations

import http.client
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import cv2
import numpy as np
import tritonclient.grpc as triton
from pydantic import SecretStr
from tritonclient.utils import shared_memory

from gateway.inference.triton import CHANNEL_OPTIONS, connect
from gateway.models import ATTRIBUTE_MODELS, ENSEMBLE, GEOMETRY, read_model
from scripts.benchmarking.load import Call
from scripts.benchmarking.pictures import Case
from scripts.pipeline import REPOSITORY, DirectPipeline
from scripts.traffic.questions import question

# What /v1 answers by default.
OUTPUTS = (*GEOMETRY, *(o.tensor for name in ATTRIBUTE_MODELS for o in read_model(REPOSITORY / name).outputs if o.by_default))


def plain_loop(pipeline: DirectPipeline, case: Case) -> Call:
    """Decode and run everything here: what a user would write by hand."""

    def call() -> float | None:
        bgr = cv2.imdecode(np.frombuffer(case.jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert bgr is not None  # noqa: S101
        pipeline.infer(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False), OUTPUTS)
        return None

    return call


def over_grpc(address: str, case: Case) -> Callable[[], Call]:
    """Pixels in the message."""
    rgb = case.rgb[None]

    def make() -> Call:
        client = triton.InferenceServerClient(address, channel_args=CHANNEL_OPTIONS)
        tensor = triton.InferInput("IMAGE", list(rgb.shape), "UINT8")
        tensor.set_data_from_numpy(rgb)
        wanted = [triton.InferRequestedOutput(name) for name in OUTPUTS]

        def call() -> float | None:
            client.infer(ENSEMBLE, [tensor], outputs=wanted, client_timeout=60)
            return None

        return call

    return make


@contextmanager
def over_shared_memory(address: str, secret: SecretStr, case: Case) -> Iterator[Callable[[], Call]]:
    """Pixels in a region of system shared memory, of which the message only names a part."""
    rgb = case.rgb[None]
    name = f"vultus-bench-{uuid.uuid4().hex[:12]}"
    region = shared_memory.create_shared_memory_region(name, f"/{name}", rgb.nbytes)
    owner = connect(address, secret)
    try:
        shared_memory.set_shared_memory_region(region, [rgb])
        owner.register_system_shared_memory(name, f"/{name}", rgb.nbytes)

        def make() -> Call:
            client = triton.InferenceServerClient(address, channel_args=CHANNEL_OPTIONS)
            tensor = triton.InferInput("IMAGE", list(rgb.shape), "UINT8")
            tensor.set_shared_memory(name, rgb.nbytes)
            wanted = [triton.InferRequestedOutput(output) for output in OUTPUTS]

            def call() -> float | None:
                client.infer(ENSEMBLE, [tensor], outputs=wanted, client_timeout=60)
                return None

            return call

        yield make
    finally:
        owner.unregister_system_shared_memory(name)
        shared_memory.destroy_shared_memory_region(region)


def over_http(base: str, case: Case, api: str = "vultus") -> Callable[[], Call]:
    """One kept-alive connection a client; the upload counts."""
    where, asked = urlsplit(base), question(api, case.name, case.jpeg)

    def make() -> Call:
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=60)

        def call() -> float | None:
            try:
                connection.request("POST", asked.path, asked.body, dict(asked.headers))
                answer = connection.getresponse()
                answer.read()
            except BaseException:
                connection.close()
                raise
            if answer.status not in (200, 422, 503):  # 422: no face, for some vendors
                raise RuntimeError(f"{asked.path} answered {answer.status}")
            return float(answer.headers.get("Retry-After", 0)) if answer.status == 503 else None

        return call

    return make
