"""Write `model.int8.onnx` beside models: which is served on CPUs. Run: python -m scripts.train.quantise NAME... --help.

The convolutions between the first and the answers get 8-bit weights (a scale a channel) and activations (a scale a tensor, from training
pictures); what prepares the picture and what makes answers of the features stays as it is. Weights take 7 bits of the 8: sums of two
products do not overflow then on CPUs without VNNI instructions.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from tqdm import tqdm

from gateway.models import QUANTISED
from scripts.pipeline import REPOSITORY, DirectPipeline
from scripts.train.command import common_arguments, sources_from
from scripts.train.detector_pictures import Picture, is_held_out, load
from scripts.train.repositories import decode

EXACT = "model.onnx"
# Operations whose inputs may be int8; they keep their own precision unless they lie between two convolutions.
SINKS = ("Conv", "Gemm")
Feeds = dict[str, NDArray[Any]]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", help="names of models of the repository")
    common_arguments(parser)
    parser.add_argument("--pictures", type=int, default=160, help="training pictures to take the ranges from (default %(default)s)")
    options = parser.parse_args()
    pictures = [picture for picture in load(sources_from(options)) if not is_held_out(picture)]
    chosen = [pictures[i] for i in np.random.default_rng(2).permutation(len(pictures))[: options.pictures]]
    seen = list(tqdm(_tensors(chosen), desc="calibration pictures", total=len(chosen), unit="pic", mininterval=10))
    for name in options.models:
        quantise(REPOSITORY / name, seen)


def quantise(folder: Path, seen: Iterable[Mapping[str, NDArray[Any]]]) -> None:
    """Write the 8-bit file of one model from the tensors of some pictures, and its hash into model.toml."""
    path, target = folder / "1" / EXACT, folder / "1" / QUANTISED
    inputs = [tensor.name for tensor in onnx.load(path).graph.input]
    with tempfile.TemporaryDirectory() as scratch:
        prepared = Path(scratch) / EXACT
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(target),
            _Reader([{name: tensors[name] for name in inputs} for tensors in seen]),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=between_convolutions(onnx.load(prepared).graph),
        )
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    card = folder / "model.toml"
    card.write_text(re.sub(r'(?m)^int8_sha256 = ".*"$', f'int8_sha256 = "{digest}"', card.read_text()))


def between_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes after the first convolution that end in a further one, or in a layer that reads features."""
    made_by = {output: node for node in graph.node for output in node.output}
    after: set[str] = set()
    for node in graph.node:  # in topological order
        sources = [made_by[name] for name in node.input if name in made_by]
        if any(source.op_type == "Conv" or source.name in after for source in sources):
            after.add(node.name)
    before: set[str] = set()
    for node in reversed(graph.node):
        if node.op_type in SINKS or node.name in before:
            before |= {made_by[name].name for name in node.input if name in made_by}
    return [node.name for node in graph.node if node.name in after & before and node.op_type != "Gemm"]


def _tensors(pictures: Iterable[Picture]) -> Iterator[Mapping[str, NDArray[Any]]]:
    """What the models before the attributes make of pictures, with their exact weights."""
    pipeline = DirectPipeline(attributes=(), exact=True)
    names = ("DETECTOR_INPUT", "FACE_CROPS", "WIDE_CROPS", "CROP_TO_IMAGE")
    for picture in pictures:
        image = decode(picture.data)
        assert image is not None
        yield pipeline.infer(np.ascontiguousarray(image[..., ::-1]), names)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: list[Feeds]) -> None:
        self._feeds = iter(feeds)

    def get_next(self) -> Feeds | None:
        """The next input, None at the end."""
        return next(self._feeds, None)


if __name__ == "__main__":
    main()
