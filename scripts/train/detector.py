"""Train `face_detector`. Run: python -m scripts.train.detector --help."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from scripts.train.blocks import Average
from scripts.train.command import common_arguments, sources_from
from scripts.train.detector_misses import face_weights
from scripts.train.detector_net import FaceDetector, assign, cells, detection_loss
from scripts.train.detector_pictures import Picture, is_held_out, load
from scripts.train.detector_scenes import Scene, SceneMaker, mirrored
from scripts.train.from_onnx import restore
from scripts.train.photometry import degrade

Weights = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the weights, besides the pictures."""

    steps: int = 7000
    seed: int = 7
    learning_rate: float = 2.5e-3
    weight_decay: float = 0.02
    average_decay: float = 0.998
    # (canvas px, batch) and how often: of small canvases more are seen, large ones teach faces that fill the frame. With one batch in
    # eight of 640 px the boxes of such faces grew without bounds.
    canvases: tuple[tuple[int, int, float], ...] = ((320, 16, 0.45), (640, 4, 0.55))


class SceneBatches(IterableDataset[tuple[Tensor, Tensor]]):
    """Endless batches, reproducible for (seed, first step, worker)."""

    def __init__(self, pictures: list[Picture], weights: Weights | None, recipe: Recipe, first_step: int) -> None:
        self._maker = SceneMaker(pictures, weights)
        self._recipe, self._first = recipe, first_step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self._recipe.seed, self._first, info.id if info else 0])
        shares = [share for *_, share in self._recipe.canvases]
        while True:
            side, batch, _ = self._recipe.canvases[rng.choice(len(shares), p=shares)]
            scenes = [self._maker.scene(side, rng) for _ in range(batch)]
            yield _batch(scenes)
            # Composing a scene costs more than a step: each is seen again, mirrored and in other light.
            again = [mirrored(scene) for scene in scenes]
            for scene in again:
                scene.image = degrade(scene.image, rng, 0.7)
            yield _batch(again)


def _batch(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    images = np.stack([scene.image[..., ::-1].transpose(2, 0, 1) for scene in scenes])
    targets = np.stack([assign(scene.boxes, scene.points, scene.ignore, scene.image.shape[0]) for scene in scenes])
    return torch.from_numpy(np.ascontiguousarray(images)), torch.from_numpy(targets)


def train(
    recipe: Recipe,
    pictures: list[Picture],
    weights: Weights | None,
    folder: Path,
    device: str,
    workers: int,
    initial: Path | None = None,
) -> FaceDetector:
    """Run or resume the recipe; checkpoint and metrics go to `folder`. Returns the averaged model."""
    torch.manual_seed(recipe.seed)
    model = FaceDetector()
    if initial and initial.suffix == ".onnx":
        images, _ = next(iter(SceneBatches(pictures, weights, recipe, 0)))
        restore(model, initial, images.float())
    elif initial:
        model.load_state_dict(torch.load(initial, map_location="cpu")["average"])
    model = model.to(device, memory_format=torch.channels_last)
    average = Average(model, recipe.average_decay)
    optimiser = torch.optim.AdamW(model.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, recipe.steps, pct_start=0.05)
    step, checkpoint = 0, folder / "detector.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        for part, name in ((model, "model"), (average.model, "average"), (optimiser, "optimiser"), (schedule, "schedule")):
            part.load_state_dict(state[name])
        step = state["step"]
    batches = DataLoader(
        SceneBatches(pictures, weights, recipe, step), batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )
    grids: dict[int, Tensor] = {}
    folder.mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=recipe.steps, initial=step, desc="face_detector", unit="step", mininterval=10)
    started = time.monotonic()
    model.train()
    for images, targets in batches:
        if step >= recipe.steps:
            break
        side = images.shape[-1]
        grid = grids.setdefault(side, torch.from_numpy(cells(side, side)).to(device))
        raw = model(images.to(device).float().contiguous(memory_format=torch.channels_last))
        loss, parts = detection_loss(raw, targets.to(device), grid)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        average.update(model)
        step += 1
        bar.update()
        if step % 50 == 0:
            with (folder / "detector.jsonl").open("a") as log:
                log.write(
                    json.dumps(
                        {
                            "step": step,
                            "seconds": round(time.monotonic() - started),
                            "side": side,
                            **{k: round(v, 4) for k, v in parts.items()},
                        }
                    )
                    + "\n"
                )
        if step % 500 == 0 or step == recipe.steps:
            torch.save(
                {
                    "model": model.state_dict(),
                    "average": average.model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "step": step,
                    "recipe": asdict(recipe),
                },
                checkpoint,
            )
    return average.model  # type: ignore[return-value]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--learning-rate", type=float, default=Recipe().learning_rate)
    parser.add_argument(
        "--initial", type=Path, help="start from the averaged weights of a checkpoint of an earlier run, or from model.onnx"
    )
    parser.add_argument("--missed-by", type=Path, help="model.onnx; faces that it misses are shown more often")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    sources = sources_from(options)
    recipe = Recipe(steps=options.steps, learning_rate=options.learning_rate)
    pictures = [picture for picture in load(sources) if not is_held_out(picture)]
    weights = face_weights(pictures, options.missed_by, sources.cache / "detector") if options.missed_by else None
    train(recipe, pictures, weights, options.output, options.device, options.workers, options.initial)


if __name__ == "__main__":
    main()
