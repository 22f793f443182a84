"""Arguments that every recipe takes."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.train.repositories import Sources


def common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add where the material lies and where results go."""
    parser.add_argument("--clones", type=Path, required=True, help="folder of git clones, <owner>/<name>.git each")
    parser.add_argument("--manifests", type=Path, required=True, help="folder of the CSV manifests")
    parser.add_argument("--teachers", type=Path, required=True, help="folder of the teachers' ONNX files")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "vultus-train")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="checkpoints, metrics and curves")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of the training itself (default: one a core)")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")


def training_arguments(parser: argparse.ArgumentParser, epochs: int, samples_per_epoch: int) -> None:
    """Add how long to train and from where. The numbers are the defaults."""
    parser.add_argument("--epochs", type=int, default=epochs)
    parser.add_argument("--samples-per-epoch", type=int, default=samples_per_epoch)
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="the highest of the schedule (default %(default)s)")
    parser.add_argument("--initial", type=Path, help="checkpoint of an earlier training to start from")
    parser.add_argument("--export-only", action="store_true", help="no training: export what the checkpoint in --output or --initial holds")


def sources_from(options: argparse.Namespace) -> Sources:
    """The material named on the command line."""
    return Sources(options.clones, options.manifests, options.teachers, options.cache)
