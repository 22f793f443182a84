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

    def __init__(self, view: View, strength: float = 1.0, reach: float = 1.0) -> None:
        """`strength` scales everything, `reach` only how far the crop is moved, turned and scaled."""
        self._view, self._strength, self._reach = view, strength, reach

    def __call__(self, crop: Image, rng: np.random.Generator) -> tuple[Image, NDArray[np.float64]]:
        """BGR crop [160,160,3] -> RGB planes uint8 [3,S,S] and the map [2,3] from crop pixels to view pixels."""
        matrix = self._matrix(rng, bool(rng.random() < 0.5))
        warped = cv2.warpAffine(crop, matrix, (self._view.size,) * 2, borderMode=cv2.BORDER_REPLICATE).astype(np.uint8)
        warped = degrade(warped, rng, 0.6 * self._strength)
        if rng.random() < 0.2 * self._strength:
            _cover(warped, rng)
        return np.ascontiguousarray(warped[..., ::-1].transpose(2, 0, 1)), matrix

    def _matrix(self, rng: np.random.Generator, mirrored: bool) -> NDArray[np.float64]:
        view, amount = self._view, self._strength * self._reach
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


class Views(Dataset[tuple[Tensor, Tensor]]):
    """What the training loop draws from: anything indexed that knows which pass over the data this is."""

    epoch = 0

    def __len__(self) -> int:
        raise NotImplementedError


class Crops(Views):
    """(view uint8 [3,S,S], targets float [T]). `move` says what the map from crop to view does to the targets."""

    def __init__(
        self,
        sets: list[NDArray[np.uint8]],
        index: NDArray[np.int64],
        targets: NDArray[np.float32],
        jitter: Jitter,
        seed: int,
        move: Callable[[NDArray[np.float32], NDArray[np.float64]], NDArray[np.float32]] | None = None,
    ) -> None:
        self._sets, self._index, self._targets = sets, index, targets
        self._jitter, self._seed, self._move = jitter, seed, move

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        return self.finish(*self.raw(item))

    def raw(self, item: int) -> tuple[Image, NDArray[np.float32], np.random.Generator]:
        """The untouched BGR crop, its targets and this item's generator."""
        which, row = self._index[item]
        return np.asarray(self._sets[which][row]), self._targets[item], np.random.default_rng([self._seed, self.epoch, item])

    def finish(self, crop: Image, target: NDArray[np.float32], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The augmented view and its targets."""
        view, matrix = self._jitter(crop, rng)
        return torch.from_numpy(view), torch.from_numpy(self._move(target, matrix) if self._move else target)


def plain(crops: NDArray[np.uint8], rows: NDArray[np.int64]) -> Tensor:
    """Untouched crops as served: RGB uint8 [B,160,160,3]."""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(crops[rows])[..., ::-1]))
