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
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare batches")


def sources_from(options: argparse.Namespace) -> Sources:
    """The material named on the command line."""
    return Sources(options.clones, options.manifests, options.teachers, options.cache)
