"""Measure the committed models on `eval` rows: python -m scripts.evaluate --help.

Needs clones, manifests and teachers (scripts/train/README.md) and the packages of the extra `train`. With --record the figures go
into results.json beside each model.toml, from where GET /v1/attributes and the model cards take them. Plots go into --output.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.evaluation import plots
from scripts.evaluation.appearance import beauty, quality
from scripts.evaluation.attributes import demographics, expression
from scripts.evaluation.detection import detector
from scripts.evaluation.liveness import liveness
from scripts.evaluation.shape import landmarks
from scripts.evaluation.wild import wild
from scripts.evaluation.worn import accessories
from scripts.pipeline import REPOSITORY, DirectPipeline
from scripts.train.command import common_arguments, sources_from
from scripts.train.repositories import Sources

SUITES: dict[str, Callable[[Sources, DirectPipeline], dict[str, Any]]] = {
    "face_detector": detector,
    "face_demographics": demographics,
    "face_expression": expression,
    "face_liveness": liveness,
    "face_accessories": accessories,
    "face_landmarks": landmarks,
    "face_quality": quality,
    "face_beauty": beauty,
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("models", nargs="*", help=f"default: all of {', '.join(SUITES)}")
    parser.add_argument("--all", action="store_true", help="all models, which is also what naming none does")
    parser.add_argument("--record", action="store_true", help="write results.json into the model repository")
    parser.add_argument("--exact", action="store_true", help="measure the fp32 files where int8 is served on CPUs")
    parser.add_argument(
        "--wild", action="store_true", help="on strangers' pictures instead; with --record into wild.json beside each model"
    )
    options = parser.parse_args()
    if options.exact and options.record:
        parser.error("what is recorded is what is served: leave out --exact or --record")
    pipeline = DirectPipeline(exact=options.exact)
    folder: Path
    options.output.mkdir(parents=True, exist_ok=True)
    if options.wild:
        for name, figures in wild(sources_from(options), pipeline, options.output).items():
            folder = REPOSITORY / name if options.record else options.output
            (folder / ("wild.json" if options.record else f"{name}.wild.json")).write_text(json.dumps(figures, indent=1) + "\n")
        return
    for name in options.models or SUITES:
        results = SUITES[name](sources_from(options), pipeline)
        folder = REPOSITORY / name if options.record else options.output
        (folder / ("results.json" if options.record else f"{name}.json")).write_text(json.dumps(results, indent=1) + "\n")
        plots.draw(name, results, options.output)
        for tensor, figures in results.items():
            sys.stdout.write(f"{name} {tensor}: {figures['summary']}\n")


if __name__ == "__main__":
    main()
