"""A real gRPC server that speaks Triton's protocol and answers as told: slowly, with a status, or only when set free."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from gateway.models import GEOMETRY, read_config
from gateway.settings import REPOSITORY

UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "nobody here")


@dataclass
class Scripted(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """`failures` are given before right answers (NUM_FACES 0); each answer waits for `free`, which is set at first."""

    failures: list[tuple[grpc.StatusCode, str]] = field(default_factory=list)
    asked: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    free: threading.Event = field(default_factory=threading.Event)
    seconds_left: list[float] = field(default_factory=list)
    timeout_us: list[int] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.free.set()

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.asked += 1
        self.headers.append(dict(context.invocation_metadata()))
        self.seconds_left.append(context.time_remaining())
        self.timeout_us.append(request.parameters["timeout"].int64_param)
        context.add_callback(self.cancelled.set)
        self.entered.set()
        self.free.wait(20)
        if self.failures:
            context.abort(*self.failures.pop(0))
        return empty_answer()

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ServerReadyResponse(ready=True)

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelConfigResponse(config=read_config(REPOSITORY / request.name))

    def ModelReady(self, request: Any, context: grpc.ServicerContext) -> Any:
        return service_pb2.ModelReadyResponse(ready=True)


def empty_answer() -> Any:
    """The geometry tensors of a picture without faces."""
    tensors = {"NUM_FACES": ("INT32", np.zeros(1, np.int32)), "BOXES": ("FP32", np.zeros((1, 4), np.float32))}
    tensors |= {"SCORES": ("FP32", np.zeros(1, np.float32)), "KEYPOINTS": ("FP32", np.zeros((1, 5, 2), np.float32))}
    answer = service_pb2.ModelInferResponse(model_name="face_analysis")
    for name in GEOMETRY:
        kind, values = tensors[name]
        answer.outputs.add(name=name, datatype=kind, shape=values.shape)
        answer.raw_output_contents.append(values.tobytes())
    return answer


@contextmanager
def serving(servicer: Scripted, port: int = 0) -> Iterator[tuple[grpc.Server, int]]:
    """The server and its port on the loopback."""
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield server, bound
    finally:
        servicer.free.set()
        server.stop(0).wait()
