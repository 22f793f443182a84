"""The trunk that attribute models share in shape (not in weights), and how a served crop becomes its input."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.graphs.geometry import CROP_SIDE_PX
from scripts.train.blocks import Basic, conv_bn_relu


@dataclass(frozen=True, slots=True)
class View:
    """What a network sees of the crop: the square at (left, top) with `side`, px of the crop, resized to `size` px; grey or RGB."""

    left: float = 0.0
    top: float = 0.0
    side: float = CROP_SIDE_PX
    size: int = 96
    grey: bool = False


class Trunk(nn.Module):
    """Stages of residual blocks to one feature vector. Input float [B,C,S,S], roughly -2..2. Each stage halves the size."""

    def __init__(self, channels: int, stem: int, stem_stride: int, stages: tuple[tuple[int, int], ...], features: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_bn_relu(channels, stem, 3, stem_stride)]
        inputs = stem
        for outputs, depth in stages:
            layers += [Basic(inputs if index == 0 else outputs, outputs, 2 if index == 0 else 1) for index in range(depth)]
            inputs = outputs
        self.layers = nn.Sequential(*layers, conv_bn_relu(inputs, features, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y


def look(crops: Tensor, view: View) -> Tensor:
    """FACE_CROPS UINT8 [B,160,160,3] RGB -> the network's input [B,C,S,S], as served."""
    left, top, side = int(view.left), int(view.top), int(view.side)
    part = crops[:, top : top + side, left : left + side].permute(0, 3, 1, 2).float()
    if side != view.size:
        part = F.interpolate(part, size=(view.size, view.size), mode="bilinear", align_corners=False)
    return normalise(part, view)


def normalise(part: Tensor, view: View) -> Tensor:
    """RGB 0..255 [B,3,S,S] -> centred and scaled, grey if the view says so. A grey view also evens out exposure."""
    if not view.grey:
        return (part - 127.5) / 64
    grey = part[:, :1] * 0.299 + part[:, 1:2] * 0.587 + part[:, 2:] * 0.114
    centred = grey - grey.mean((1, 2, 3), keepdim=True)
    spread = torch.sqrt(centred.square().mean((1, 2, 3), keepdim=True) + 25.0)
    return centred / spread
