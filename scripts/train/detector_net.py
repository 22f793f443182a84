"""The face detector: network, target assignment, loss.

Anchor-free, one cell one prediction, strides 8/16/32/64 (YuNet: Wu et al., 2023; FCOS: Tian et al., 2019), with
a quality-focal classification loss (Li et al., 2020).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.train.blocks import Depthwise, conv_bn_relu

STRIDES = (8, 16, 32, 64)
# Which face sizes (square root of the area, px) a stride learns. They overlap on purpose.
SIZES = ((0.0, 40.0), (26.0, 96.0), (64.0, 220.0), (150.0, 1e9))


class FaceDetector(nn.Module):
    """BGR-agnostic: RGB uint8 values as float [B,3,S,S] -> raw maps [B,15,cells] (logit, box 4, points 10)."""

    def __init__(
        self, widths: tuple[int, ...] = (16, 24, 56, 112, 160, 160), depths: tuple[int, ...] = (1, 2, 3, 3, 2), neck: int = 56
    ) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, widths[0], 3, 2)
        self.stages = nn.ModuleList()
        for level, depth in enumerate(depths):
            kernel = 3 if level < 2 else 5
            blocks = [Depthwise(widths[level + 1], widths[level + 1], kernel) for _ in range(depth)]
            self.stages.append(nn.Sequential(Depthwise(widths[level], widths[level + 1], 3, 2), *blocks))
        self.lateral = nn.ModuleList(nn.Conv2d(width, neck, 1) for width in widths[2:])
        self.smooth = nn.ModuleList(Depthwise(neck, neck) for _ in STRIDES)
        self.tower = nn.ModuleList(Depthwise(neck, neck) for _ in STRIDES)
        self.out = nn.ModuleList(nn.Conv2d(neck, 15, 1) for _ in STRIDES)
        for layer in self.out:
            assert isinstance(layer, nn.Conv2d)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            with torch.no_grad():
                layer.bias[0] = -4.6  # type: ignore[index]
                layer.bias[3:5] = 1.0  # type: ignore[index]

    def forward(self, image: Tensor) -> Tensor:
        features = self.stem((image - 127.5) / 64)
        pyramid: list[Tensor] = []
        for level, stage in enumerate(self.stages):
            features = stage(features)
            if level:
                pyramid.append(features)
        above: Tensor | None = None
        maps: list[Tensor] = []
        for level in reversed(range(len(STRIDES))):
            here = self.lateral[level](pyramid[level])
            if above is not None:
                here = here + F.interpolate(above, scale_factor=2.0)
            above = self.smooth[level](here)
            maps.append(self.out[level](self.tower[level](above)).flatten(2))
        return torch.cat(maps[::-1], 2)


def cells(height: int, width: int) -> NDArray[np.float32]:
    """Centre x, centre y and stride of every cell, [cells,3] px."""
    rows = []
    for stride in STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride].reshape(2, -1)
        rows.append(np.stack([(x + 0.5) * stride, (y + 0.5) * stride, np.full(x.shape, stride)], 1))
    return np.concatenate(rows).astype(np.float32)


def decode_maps(raw: Tensor, grid: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Raw maps [B,15,C] and cells [C,3] -> logits [B,C], boxes xyxy px [B,C,4], points px [B,C,10]."""
    centre, stride = grid[:, :2].T, grid[:, 2]
    middle = centre + raw[:, 1:3] * stride
    half = raw[:, 3:5].clamp(-6, 6).exp() * stride / 2
    boxes = torch.cat([middle - half, middle + half], 1).transpose(1, 2)
    points = raw[:, 5:15] * stride + centre.repeat(5, 1)
    return raw[:, 0], boxes, points.transpose(1, 2)


def assign(boxes: NDArray[np.float32], points: NDArray[np.float32], ignore: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Targets per cell [C,16]: state (1 face, 0 none, -1 do not care), box 4, points 10, has-points."""
    grid = cells(side, side)
    target = np.zeros((len(grid), 16), np.float32)
    nearest = np.full(len(grid), np.inf, np.float32)
    x, y, stride = grid.T
    for left, top, right, bottom in ignore:
        target[(x > left) & (x < right) & (y > top) & (y < bottom), 0] = -1
    limits = np.repeat(np.asarray(SIZES, np.float32), [(side // s) ** 2 for s in STRIDES], 0)
    for box, five in zip(boxes, points, strict=True):
        middle, extent = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        size = float(np.sqrt(extent.prod()))
        distance = np.maximum(abs(x - middle[0]), abs(y - middle[1]))
        reach = (0.17 * size + 0.25 * stride).clip(0.55 * stride, 1.6 * stride)
        fits = (size >= limits[:, 0]) & (size < limits[:, 1])
        grey = (distance < np.maximum(reach * 1.7, 0.33 * size)) & (target[:, 0] == 0)
        target[grey, 0] = -1
        chosen = fits & (distance < reach) & (distance / size < nearest)
        nearest[chosen] = distance[chosen] / size
        known = not np.isnan(five).any()
        target[chosen] = np.concatenate([[1], box, np.nan_to_num(five).reshape(-1), [known]])
    return target


def detection_loss(raw: Tensor, target: Tensor, grid: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Sum of classification, box (distance IoU) and point losses, each normalised by the number of face cells."""
    logit, boxes, points = decode_maps(raw, grid)
    state = target[..., 0]
    face = state == 1
    count = face.sum().clamp(min=1)
    true_box, true_points = target[..., 1:5][face], target[..., 5:15][face]
    iou, distance_iou = _overlaps(boxes[face], true_box)
    wanted = torch.zeros_like(logit)
    wanted[face] = 0.5 + 0.5 * iou.detach().clamp(0, 1)
    care = (state >= 0).float()
    focus = (wanted - logit.sigmoid()).abs().detach() ** 2
    class_loss = (F.binary_cross_entropy_with_logits(logit, wanted, reduction="none") * focus * care).sum() / count
    box_loss = (1 - distance_iou).sum() / count
    size = (true_box[:, 2:] - true_box[:, :2]).prod(1).sqrt().clamp(min=8)[:, None]
    offset = F.smooth_l1_loss((points[face] / size), true_points / size, beta=0.03, reduction="none").mean(1)
    point_loss = (offset * target[..., 15][face]).sum() / count
    parts = {"class": float(class_loss), "box": float(box_loss), "points": float(point_loss)}
    return 3 * class_loss + 2 * box_loss + 8 * point_loss, parts


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    common = (high - low).clamp(min=0).prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - common
    iou = common / union.clamp(min=1e-6)
    hull = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    gap = ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(1)
    return iou, iou - gap / hull.square().sum(1).clamp(min=1e-6)
