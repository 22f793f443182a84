"""Go on from served weights: an exported file back into the network that it was exported from.

A checkpoint does not outlive the machine that made it; model.onnx does. Exports fold each batch normalisation into the convolution
before it. Here the convolution gets the folded weights, and the normalisation the statistics that it sees on some pictures, together with
the weight and bias that undo them: the network answers as before, and trains on.
"""

from __future__ import annotations

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from scripts.train.averaged import FIRST, part


@torch.no_grad()
def restore(net: nn.Module, path: Path, example: Tensor) -> None:
    """Load the weights of `path` (of the first network in it) into `net`, in place. `example` is a batch of usual inputs.

    Layers are matched in their order of execution. Raises AssertionError when the file is of another network.
    """
    model = onnx.load(path)
    averaged = any(tensor.name.startswith(FIRST) for tensor in model.graph.initializer)
    graph = (part(model, FIRST) if averaged else model).graph
    tensors = {tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy()) for tensor in graph.initializer}
    weights = [node.input for node in graph.node if node.op_type in ("Conv", "Gemm") and node.input[1] in tensors]
    layers = iter([[tensors[name] for name in names[1:]] for names in weights])

    def seen(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        if isinstance(module, nn.BatchNorm2d):
            mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
            module.running_mean, module.running_var = mean, variance  # type: ignore[assignment]
            module.weight.copy_(torch.sqrt(variance + module.eps))
            module.bias.copy_(mean + module.folded_bias)  # type: ignore[operator]
            return inputs[0] + module.folded_bias[:, None, None]  # type: ignore[index]
        weight, *bias = next(layers)
        assert module.weight.shape == weight.shape, f"{tuple(module.weight.shape)} does not fit {tuple(weight.shape)}"  # type: ignore[union-attr]
        module.weight.copy_(weight)  # type: ignore[operator, union-attr]
        run = nn.functional.conv2d if isinstance(module, nn.Conv2d) else nn.functional.linear
        options = {"stride": module.stride, "padding": module.padding, "groups": module.groups} if isinstance(module, nn.Conv2d) else {}
        if module.bias is not None:
            module.bias.copy_(bias[0])  # type: ignore[operator, union-attr]
            return run(inputs[0], module.weight, module.bias, **options)  # type: ignore[arg-type, operator]
        pending.append(bias[0])
        return run(inputs[0], module.weight, None, **options)  # type: ignore[arg-type, operator]

    pending: list[Tensor] = []

    def before(module: nn.Module, _: tuple[Tensor, ...]) -> None:
        module.folded_bias = pending.pop()  # type: ignore[assignment]

    hooks = []
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            hooks.append(module.register_forward_pre_hook(before))
        if isinstance(module, nn.BatchNorm2d | nn.Conv2d | nn.Linear):
            hooks.append(module.register_forward_hook(seen))
    net.eval()
    net(example)
    for hook in hooks:
        hook.remove()
    for module in net.modules():
        if hasattr(module, "folded_bias"):
            del module.folded_bias
    assert next(layers, None) is None, "the file has more layers than the network"
