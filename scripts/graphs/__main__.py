"""Build what is not learned: `python -m scripts.graphs` writes, `python -m scripts.graphs --check` only compares."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import onnx

from gateway.models import ENSEMBLE
from scripts.graphs import face_align, face_prepare, gpu_profile, small_pools_profile
from scripts.graphs.ensemble import config_text

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"
# The one learned part of face_align: its weights (model_repository/face_align/model.toml).
POINTS = Path(__file__).resolve().parent / "points.onnx"


def contents() -> dict[Path, bytes]:
    """What every generated file must hold."""
    graphs = {"face_prepare": face_prepare.build(), "face_align": face_align.build(onnx.load(POINTS))}
    files = {REPOSITORY / name / "1" / "model.onnx": _serialised(graph) for name, graph in graphs.items()}
    files[REPOSITORY / ENSEMBLE / "config.pbtxt"] = config_text(REPOSITORY).encode()
    for profile in (gpu_profile, small_pools_profile):
        files |= {path: text.encode() for path, text in profile.profiles(REPOSITORY).items()}
    return files


def stale() -> list[Path]:
    """Generated files that are not what they should be."""
    return [path for path, content in contents().items() if not path.exists() or path.read_bytes() != content]


def _serialised(graph: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString(deterministic=True))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if parser.parse_args().check:
        for path in stale():
            sys.stderr.write(f"stale: {path.relative_to(REPOSITORY)}; run python -m scripts.graphs\n")
        return 1 if stale() else 0
    for path, content in contents().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (REPOSITORY / ENSEMBLE / "1").mkdir(exist_ok=True)
    (REPOSITORY / ENSEMBLE / "1" / ".gitkeep").touch()
    return 0


if __name__ == "__main__":
    sys.exit(main())
