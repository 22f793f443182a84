"""Triton backend `onnxruntime`, as a Python-based backend.

Triton's own C++ backend of this name is not on PyPI. This one takes the same config.pbtxt: batched and non-batched models,
dynamic shapes, `model_warmup`, and the parameters `intra_op_thread_count` and `cudnn_conv_algo_search`. One parameter is its own: the
process of a model with `niceness` yields the processor by that much. The attribute models do, so that when every core is busy
faces wait for them together and run as a batch, and nothing waits when it need not (which a queue delay cannot do).

ONNX Runtime keeps what the largest run so far needed. On the CPU, where rows one by one take no longer than together, a batch is
therefore run in slices of at most RUN_BYTES of input (one picture, a dozen faces), and no plan of the memory is kept for each size of
batch: otherwise the detector soon holds several times the memory, and is no faster. Giving memory back after each run, or not keeping any,
made it slower by a quarter and more.

What a request brings is wiped from the shared memory that Triton passes it in as soon as the model has run; Triton itself would leave it
there until another request is put in the same place. What a model answers stays until then: Triton reads it after this has returned. The
shared memory has no name any more when the model is ready: nobody finds it, and it is gone with the processes, however they end.

Environment (set by scripts/serve): VULTUS_DEVICE = auto | cpu | gpu; VULTUS_ORT_THREADS = threads per model, over the config's.
"""

import ctypes
import json
import os
from pathlib import Path

import numpy as np
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

RUN_BYTES = 5 * 2**18
# Blocks below this size glibc keeps for the next run. The numbers are those of its mallopt.
KEPT_BYTES, M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = 2**23, -1, -3
# Where the system keeps shared memory, and how the names begin that pools.py gives.
SHARED_MEMORY, NAMES = Path("/dev/shm"), "vultus_"  # noqa: S108


class TritonPythonModel:
    """One instance of one model; Triton runs each in a process of its own."""

    def initialize(self, args):
        """Open model.onnx. An exception here makes the model, and so the server, fail to start."""
        _keep_freed_memory()
        _take_name_back()
        config = json.loads(args["model_config"])
        self._batched = config["max_batch_size"] > 0
        self._outputs = [output["name"] for output in config["output"]]
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        folder = Path(args["model_repository"]) / args["model_version"]
        path = folder / (config.get("default_model_filename") or "model.onnx")
        options = ort.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("VULTUS_ORT_THREADS") or parameters.get("intra_op_thread_count", 1))
        options.inter_op_num_threads = 1
        # A waiting thread of one model would keep a core from the others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        os.nice(int(parameters.get("niceness", 0)))  # before the session's threads start
        providers = _providers(args, parameters)
        self._session = ort.InferenceSession(str(path), options, providers=providers)
        _check_provider(self._session, providers)
        self._run_bytes = RUN_BYTES if providers == ["CPUExecutionProvider"] else float("inf")

    def execute(self, requests):
        """Answer every request of this call, together when the model batches."""
        if not self._batched or len(requests) == 1:
            return [self._run([request])[0] for request in requests]
        return self._run(requests)

    def _run(self, requests):
        wanted = [name for name in self._outputs if any(name in request.requested_output_names() for request in requests)]
        try:
            feeds = [{tensor.name(): tensor.as_numpy() for tensor in request.inputs()} for request in requests]
            values = dict(zip(wanted, self._values(wanted, feeds), strict=True))
            ends = _ends(feeds)
        except Exception as problem:  # one bad request must not take the process with it
            error = pb_utils.TritonError(f"onnxruntime: {problem}")
            return [pb_utils.InferenceResponse(error=error) for _ in requests]
        finally:
            _wipe(requests)
        if len(requests) == 1:
            return [_response(requests[0], values)]
        return [
            _response(request, {name: value[start:end] for name, value in values.items()})
            for request, start, end in zip(requests, [0, *ends[:-1]], ends, strict=True)
        ]

    def _values(self, wanted, feeds):
        """Outputs for the rows of all `feeds`, in the order of `wanted`."""
        rows, size = _ends(feeds)[-1], sum(array.nbytes for feed in feeds for array in feed.values())
        step = rows if not self._batched or size <= self._run_bytes else max(1, int(rows * self._run_bytes // size))
        if len(feeds) == 1 and step >= rows:
            return self._session.run(wanted, feeds[0])
        parts = [self._session.run(wanted, _rows(feeds, at, at + step)) for at in range(0, rows, step)]
        return parts[0] if len(parts) == 1 else [np.concatenate(values) for values in zip(*parts, strict=True)]


def _ends(feeds):
    """Where the rows of each of `feeds` end when they stand one below the other."""
    return np.cumsum([len(next(iter(feed.values()))) for feed in feeds])


def _rows(feeds, start, end):
    """Rows `start` to `end` of `feeds` below one another; only these are copied, so that no copy is larger than a run."""
    ends = _ends(feeds)
    pieces = [
        {name: array[max(start - first, 0) : end - first] for name, array in feed.items()}
        for feed, first, last in zip(feeds, [0, *ends[:-1]], ends, strict=True)
        if first < end and start < last
    ]
    return pieces[0] if len(pieces) == 1 else {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def _response(request, values):
    tensors = [pb_utils.Tensor(name, np.ascontiguousarray(values[name])) for name in request.requested_output_names()]
    return pb_utils.InferenceResponse(output_tensors=tensors)


def _wipe(requests):
    """By its address: `as_numpy` gives a copy, and NumPy will not write into what DLPack shows."""
    for request in requests:
        for tensor in request.inputs():
            if tensor.is_cpu():
                shared = np.from_dlpack(tensor)
                ctypes.memset(shared.ctypes.data, 0, shared.nbytes)


def _take_name_back():
    """Both sides have this process's pool open by now; the name is among the arguments that Triton started this process with."""
    for argument in Path("/proc/self/cmdline").read_bytes().decode(errors="replace").split("\0"):
        if argument.startswith(NAMES):
            (SHARED_MEMORY / argument).unlink(missing_ok=True)


def _keep_freed_memory():
    """Every run needs the same blocks; given back to the system in between, as by the server around this process, they cost time."""
    libc = ctypes.CDLL(None)
    for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD):
        libc.mallopt(option, KEPT_BYTES)


def _providers(args, parameters):
    """CUDA where Triton gave this instance a GPU; the CPU provider stays for operations that CUDA lacks.

    When a GPU was asked for, the profile `gpu` says which models need one, and Triton refuses to load those where there is none.
    """
    asked = os.environ.get("VULTUS_DEVICE", "auto")
    if asked == "cpu" or args["model_instance_kind"] != "GPU":
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        if asked == "gpu":
            raise pb_utils.TritonModelException(
                "a GPU was asked for, but this onnxruntime has no CUDA provider: install onnxruntime-gpu, or start with --device cpu"
            )
        pb_utils.Logger.log_warn(f"{args['model_name']} runs on the CPU: there is a GPU, but this onnxruntime has no CUDA provider")
        return ["CPUExecutionProvider"]
    cuda = {
        "device_id": int(args["model_instance_device_id"] or 0),
        "cudnn_conv_algo_search": parameters.get("cudnn_conv_algo_search", "HEURISTIC"),
    }
    return [("CUDAExecutionProvider", cuda), "CPUExecutionProvider"]


def _check_provider(session, providers):
    """Onnxruntime falls back to the CPU without an error when CUDA cannot be initialised; we do not."""
    wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if session.get_providers()[0] != wanted:
        raise pb_utils.TritonModelException(
            f"a GPU was asked for, but {wanted} cannot be initialised here: check the driver and CUDA, or start with --device cpu"
        )
