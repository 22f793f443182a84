"""The weighted mean of two or more models, a model of its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
import onnx.checker
from onnx import TensorProto, helper

from gateway.models import Config, read_model
from scripts.graphs import gpu_profile
from scripts.slots import card, compose
from scripts.slots.contract import Slot, slot_of
from scripts.slots.foreign import CONVERTED_OPSET
from scripts.slots.graph import Graph
from scripts.slots.wrap import FACES, batching


def write(folder: Path, attribute: str, weights: Mapping[str, float], repository: Path) -> None:
    """The folder of the mean. `repository` holds the models that it is made of."""
    slot = slot_of(attribute)
    (folder / "1").mkdir(parents=True)
    onnx.save(_graph(slot, weights), folder / "1" / "model.onnx")
    (folder / "config.pbtxt").write_text(_config(slot, weights))
    (folder / "configs").mkdir()
    (folder / "configs" / f"{gpu_profile.NAME}.pbtxt").write_text(gpu_profile.text(folder))
    card.write(folder, _facts(slot, weights, repository))


def _graph(slot: Slot, weights: Mapping[str, float]) -> onnx.ModelProto:
    graph, total = Graph(), sum(weights.values())
    parts = [graph("Mul", compose.part(slot.tensor, name), graph.floats([weight / total])) for name, weight in weights.items()]
    graph.named("Sum", slot.tensor, *parts)
    values = [helper.make_tensor_value_info(compose.part(slot.tensor, name), TensorProto.FLOAT, [FACES, slot.width]) for name in weights]
    answer = helper.make_tensor_value_info(slot.tensor, TensorProto.FLOAT, [FACES, slot.width])
    whole = helper.make_graph(graph.nodes, compose.mean_name(slot.attribute), values, [answer], graph.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", CONVERTED_OPSET)], ir_version=8, producer_name="vultus")
    onnx.checker.check_model(model, full_check=True)
    return model


def _config(slot: Slot, weights: Mapping[str, float]) -> str:
    config = Config(name=compose.mean_name(slot.attribute), backend="onnxruntime", max_batch_size=128)
    warm = config.model_warmup.add(name="one", batch_size=1)
    for name in weights:
        tensor = compose.part(slot.tensor, name)
        config.input.add(name=tensor, data_type="TYPE_FP32", dims=[slot.width])
        warm.inputs[tensor].data_type, warm.inputs[tensor].zero_data = config.input[-1].data_type, True
        warm.inputs[tensor].dims[:] = [slot.width]
    config.output.add(name=slot.tensor, data_type="TYPE_FP32", dims=[slot.width])
    config.instance_group.add(kind="KIND_CPU", count=1)  # a few additions need no second process
    return batching(config)


def _facts(slot: Slot, weights: Mapping[str, float], repository: Path) -> card.Facts:
    models, total = [read_model(repository / name) for name in weights], sum(weights.values())
    versions = [f"{weights[model.name] / total:.3g} {model.name} {model.version}" for model in models]
    return card.Facts(
        version=" + ".join(versions),
        summary=f"Weighted mean of {', '.join(weights)} for {slot.attribute}",
        recipe="none: arithmetic",
        data=[f"see {name}" for name in weights],
        licence=" and ".join(dict.fromkeys(model.licence for model in models)),
        commercial_use=f"See {', '.join(weights)}.",
        limits=["Not measured as a mean in this deployment."],
        outputs=[(slot.built_in, "A weighted mean: see the limits of its parts.")],
    )
