"""Serve the weighted mean of two networks with one contract as one file: python -m scripts.train.averaged --help.

Two networks that learned from different pictures err differently; their mean is better than either where both know something.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx
from onnx import compose, helper

from scripts.pipeline import REPOSITORY

FIRST, SECOND = "first/", "second/"


def averaged(first: onnx.ModelProto, second: onnx.ModelProto, weight: float) -> onnx.ModelProto:
    """`weight` of the first and the rest of the second, output by output. Raises ValueError when inputs or outputs differ."""
    names = [[tensor.name for tensor in model.graph.input] + [tensor.name for tensor in model.graph.output] for model in (first, second)]
    if names[0] != names[1]:
        raise ValueError(f"{names[0]} and {names[1]} are two contracts")
    merged = onnx.ModelProto()
    merged.CopyFrom(first)
    graph = merged.graph
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    for prefix, model in ((FIRST, first), (SECOND, second)):
        part = compose.add_prefix(model, prefix, rename_inputs=False, rename_edges=True, rename_outputs=True).graph
        graph.initializer.extend(part.initializer)
        graph.node.extend(part.node)
    for prefix, share in ((FIRST, weight), (SECOND, 1 - weight)):
        graph.initializer.append(helper.make_tensor(f"{prefix}share", onnx.TensorProto.FLOAT, [1], [share]))
    for output in first.graph.output:
        for prefix in (FIRST, SECOND):
            graph.node.append(helper.make_node("Mul", [f"{prefix}{output.name}", f"{prefix}share"], [f"{prefix}{output.name}/part"]))
        graph.node.append(helper.make_node("Add", [f"{FIRST}{output.name}/part", f"{SECOND}{output.name}/part"], [output.name]))
    onnx.checker.check_model(merged, full_check=True)
    return merged


def part(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """One of the two networks of an averaged file again, to train it on. Names of nodes and tensors keep the prefix."""
    found = onnx.ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    nodes = [node for node in graph.node if all(name.startswith(prefix) for name in node.output) and not node.output[0].endswith("/part")]
    weights = [tensor for tensor in model.graph.initializer if tensor.name.startswith(prefix) and tensor.name != f"{prefix}share"]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(weights)
    for output in graph.output:
        output.name = f"{prefix}{output.name}"
    onnx.checker.check_model(found)
    return found


def main() -> None:
    """Command line."""
    from scripts.train.export import write_sha256  # needs PyTorch, which `averaged` does not

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="of the model in the repository that gets the file")
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--weight", type=float, default=0.5, help="of the first (default %(default)s)")
    options = parser.parse_args()
    merged = averaged(onnx.load(options.first), onnx.load(options.second), options.weight)
    onnx.save(merged, REPOSITORY / options.name / "1" / "model.onnx")
    write_sha256(options.name)


if __name__ == "__main__":
    main()
