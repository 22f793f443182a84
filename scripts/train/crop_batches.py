"""Augmented views of aligned crops."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from scripts.train.attribute_net import View
from scripts.train.photometry import degrade

Image = NDArray[np.uint8]


class Jitter:
    """Draws a view of a crop as training sees it: moved, turned, scaled, mirrored, degraded, partly covered."""

    def __init__(self, view: View, strength: float = 1.0) -> None:
        self._view, self._strength = view, strength

    def __call__(self, crop: Image, rng: np.random.Generator) -> tuple[Image, bool]:
        """BGR crop [160,160,3] -> RGB planes uint8 [3,S,S] and whether it was mirrored."""
        mirrored = bool(rng.random() < 0.5)
        warped = cv2.warpAffine(crop, self._matrix(rng, mirrored), (self._view.size,) * 2, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
        warped = degrade(warped, rng, 0.6 * self._strength)
        if rng.random() < 0.2 * self._strength:
            _cover(warped, rng)
        return np.ascontiguousarray(warped[..., ::-1].transpose(2, 0, 1)), mirrored

    def _matrix(self, rng: np.random.Generator, mirrored: bool) -> NDArray[np.float64]:
        view, amount = self._view, self._strength
        scale = view.size / view.side * np.exp(rng.normal(0, 0.06 * amount))
        turn = np.deg2rad(rng.normal(0, 6 * amount))
        matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        if mirrored:
            matrix = matrix @ np.diag([-1.0, 1.0])
        centre = np.array([view.left, view.top]) + (view.side - 1) / 2
        shift = (view.size - 1) / 2 + rng.normal(0, 0.02 * amount * view.size, 2) - matrix @ centre
        return np.hstack([matrix, shift[:, None]])


def _cover(image: Image, rng: np.random.Generator) -> None:
    size = image.shape[0]
    height, width = (int(v) for v in rng.integers(size // 8, size // 3, 2))
    top, left = (int(v) for v in rng.integers(0, size - size // 8, 2))
    image[top : top + height, left : left + width] = rng.integers(0, 256, 3 if rng.random() < 0.5 else 1)


class Crops(Dataset[tuple[Tensor, Tensor]]):
    """(view uint8 [3,S,S], targets float [T]). `mirror` says what mirroring does to the targets."""

    def __init__(
        self,
        sets: list[NDArray[np.uint8]],
        index: NDArray[np.int64],
        targets: NDArray[np.float32],
        jitter: Jitter,
        seed: int,
        mirror: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> None:
        self._sets, self._index, self._targets = sets, index, targets
        self._jitter, self._seed, self._mirror = jitter, seed, mirror
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self._seed, self.epoch, item])
        which, row = self._index[item]
        view, mirrored = self._jitter(np.asarray(self._sets[which][row]), rng)
        target = self._targets[item]
        if mirrored and self._mirror:
            target = self._mirror(target)
        return torch.from_numpy(view), torch.from_numpy(target)


def plain(crops: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
    """Untouched crops as served: RGB uint8 [B,160,160,3]."""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(crops[rows])[..., ::-1]))
