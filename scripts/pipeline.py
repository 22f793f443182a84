"""The model repository run in this process by ONNX Runtime: the same files as Triton serves, without a server.

What a user would write by hand; the ceiling that scripts/benchmark.py measures against, and what scripts/evaluate.py runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from gateway.models import ENSEMBLE, FACE_STEPS, read_config, served_file

REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
Tensors = dict[str, NDArray[Any]]


class DirectPipeline:
    """Implements `gateway.inference.analyzer.Inference` on `repository`, `threads` a model. Exact: the fp32 files, as served on GPUs."""

    def __init__(
        self, repository: Path = REPOSITORY, threads: int = 1, attributes: Sequence[str] | None = None, exact: bool = False
    ) -> None:
        self._repository, self._threads, self._exact = repository, threads, exact
        self._steps = [self._session(name) for name in FACE_STEPS]
        ensemble = read_config(repository / ENSEMBLE).ensemble_scheduling
        self._wiring = {step.model_name: step for step in ensemble.step if step.model_name not in FACE_STEPS}
        self._attributes = {name: self._session(name) for name in (self._wiring if attributes is None else attributes)}
        self._owner = {tensor: name for name in self._attributes for tensor in self._wiring[name].output_map.values()}

    def infer(self, image: NDArray[np.uint8], outputs: Sequence[str]) -> Mapping[str, NDArray[Any]]:
        """As the ensemble: IMAGE [H,W,3] RGB, only the models that `outputs` need."""
        tensors: Tensors = {"IMAGE": image[None]}
        for step in self._steps:
            tensors |= _run(step, tensors)
        for output in outputs:
            self._answer(output, tensors)
        return {name: tensors[name] for name in outputs}

    def _answer(self, output: str, tensors: Tensors) -> None:
        """Add a tensor of the ensemble, and what it is made of, unless it is there."""
        if output in tensors or output not in self._owner:
            return
        name = self._owner[output]
        wiring = self._wiring[name]
        for tensor in wiring.input_map.values():
            self._answer(tensor, tensors)
        answers = _run(self._attributes[name], {own: tensors[tensor] for own, tensor in wiring.input_map.items()})
        tensors.update({tensor: answers[own] for own, tensor in wiring.output_map.items()})

    def attributes(self, model: str, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
        """One attribute model on what `face_align` would give it."""
        return _run(self._attributes[model], tensors)

    def _session(self, name: str) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = self._threads, 1, 3
        # Threads of one model that spin while the next one works would slow it many times over.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        folder = self._repository / name
        path = folder / "1" / ("model.onnx" if self._exact else served_file(read_config(folder)))
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _run(session: ort.InferenceSession, tensors: Mapping[str, NDArray[Any]]) -> Tensors:
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {tensor.name: tensors[tensor.name] for tensor in session.get_inputs()})
    return dict(zip(names, values, strict=True))
