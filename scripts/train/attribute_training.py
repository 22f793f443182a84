"""The loop that attribute recipes share: weighted sampling, cosine schedule, averaged weights, resume, metrics."""

from __future__ import annotations

import argparse
import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import DataLoader, WeightedRandomSampler
from tqdm import tqdm

from scripts.train.attribute_net import View, normalise
from scripts.train.blocks import Average
from scripts.train.crop_batches import Views
from scripts.train.from_onnx import restore


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides the weights, besides data and loss."""

    name: str
    epochs: int
    samples_per_epoch: int
    batch: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    average_decay: float = 0.999
    seed: int = 11


def train(
    recipe: Recipe,
    model: nn.Module,
    view: View,
    crops: Views,
    weights: NDArray[np.float64],
    loss: Callable[[Any, Tensor], Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
    folder: Path,
    device: str,
    workers: int,
) -> nn.Module:
    """Run or resume. The checkpoint holds the averaged model of the last epoch; metrics go to <name>.jsonl."""
    torch.manual_seed(recipe.seed)
    folder.mkdir(parents=True, exist_ok=True)
    model = model.to(device, memory_format=torch.channels_last)
    average = Average(model, recipe.average_decay)
    learned = [p for p in model.parameters() if p.requires_grad]
    decay = [p for p in learned if p.ndim > 1]
    other = [p for p in learned if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": recipe.weight_decay}, {"params": other, "weight_decay": 0.0}], recipe.learning_rate
    )
    steps = recipe.samples_per_epoch // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, max(1, steps * recipe.epochs), pct_start=0.08)
    checkpoint, first = folder / f"{recipe.name}.pt", 0
    parts = {"model": model, "average": average.model, "optimiser": optimiser, "schedule": schedule}
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        for key, part in parts.items():
            part.load_state_dict(state[key])
        first = state["epoch"]
    for epoch in range(first, recipe.epochs):
        started = time.monotonic()
        crops.epoch = epoch
        generator = torch.Generator().manual_seed(recipe.seed + epoch)
        sampler = WeightedRandomSampler(weights.tolist(), steps * recipe.batch, generator=generator)
        batches = DataLoader(crops, recipe.batch, sampler=sampler, num_workers=workers, drop_last=True)
        model.train()
        total = 0.0
        for views, targets in tqdm(batches, desc=f"{recipe.name} {epoch + 1}/{recipe.epochs}", unit="batch", mininterval=15):
            inputs = normalise(views.to(device).float(), view).contiguous(memory_format=torch.channels_last)
            value = loss(model(inputs), targets.to(device))
            value.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
            average.update(model)
            total += float(value.detach())
        metrics = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - started),
            "loss": round(total / steps, 4),
            **validate(average.model),
        }
        with (folder / f"{recipe.name}.jsonl").open("a") as log:
            log.write(json.dumps(metrics) + "\n")
        torch.save({**{key: part.state_dict() for key, part in parts.items()}, "epoch": epoch + 1}, checkpoint)
    return average.model


def recipe_from(options: argparse.Namespace, name: str, **other: Any) -> Recipe:
    """The recipe that `training_arguments` describe."""
    epochs = 0 if options.export_only else options.epochs
    if options.threads:
        torch.set_num_threads(options.threads)
    return Recipe(name, epochs, options.samples_per_epoch, learning_rate=options.learning_rate, **other)


def started_from(model: nn.Module, initial: Path | None, crops: Views, view: View) -> nn.Module:
    """The model with the averaged weights of an earlier training: of a checkpoint, or of the model.onnx that is served."""
    if initial and initial.suffix == ".onnx":
        rows = np.random.default_rng(0).permutation(len(crops))[:64]
        restore(model, initial, normalise(torch.stack([crops[int(row)][0] for row in rows]).float(), view))
    elif initial:
        model.load_state_dict(torch.load(initial, map_location="cpu")["average"], strict=False)
    return model


def held_out(keys: NDArray[np.str_], one_in: int, remainder: int = 0) -> NDArray[np.bool_]:
    """A stable slice of the training rows for validation: everything of one key on the same side.

    Sets whose `eval` rows are those of CRC-32 remainder 0 need another remainder.
    """
    return np.array([zlib.crc32(key.encode()) % one_in == remainder for key in keys])
