"""Clone what a recipe reads: python -m scripts.train.clones --clones clones [--manifests manifests] [RECIPE ...]."""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from pathlib import Path

from scripts.train.detector_pictures import ANIMALS, CROWDS
from scripts.train.face_crops import SETS
from scripts.train.ferplus import FERPLUS
from scripts.train.liveness_crops import SPOOF_SCENES
from scripts.train.repositories import Sources

MASKS = ("marellanoc/MaskON", "chandrikadeb7/Face-Mask-Detection", "prajnasb/observations")
FACES = tuple(SETS[name] for name in ("fairface", "utkface", "lfw", "celeba10k"))
RECIPES: dict[str, tuple[str, ...]] = {
    "detector": (*FACES[:3], *MASKS, SPOOF_SCENES, "matush97/faceRecognition", *dict.fromkeys(place[0] for place in (*CROWDS, ANIMALS))),
    "points": (*FACES[1:], SETS["ytf"]),
    "demographics": FACES,
    "expression": (*FACES, SETS["fer2013"], FERPLUS),
    "landmarks": (*FACES[1:], SETS["ytf"]),
    "accessories": (*FACES, *MASKS),
    "liveness": (SETS["lfw"], SETS["fairface"], SPOOF_SCENES),
    "quality": FACES[1:3],
    "beauty": (*FACES[1:], SETS["mebeauty"]),
}
# Recipes and measurements that also read every repository that a manifest names.
NAMED_BY = {"liveness": ("liveness_replay",), "wild": ("wild_wider", "wild_london", "wild_cfd", "wild_replay")}


def needed(recipes: list[str], manifests: Path) -> list[str]:
    """`owner/name` of every repository that the recipes read, each once."""
    found = [repository for recipe in recipes for repository in RECIPES.get(recipe, ())]
    for name in (name for recipe in recipes for name in NAMED_BY.get(recipe, ())):
        with (manifests / f"{name}.csv").open(newline="") as file:
            found += [row["repo"] for row in csv.DictReader(file)]
    return list(dict.fromkeys(found))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clones", type=Path, required=True)
    parser.add_argument("--manifests", type=Path, required=True)
    parser.add_argument("--server", default="https://github.com", help="where owner/name lies (default %(default)s)")
    parser.add_argument("recipes", nargs="*", help=f"default: all of {', '.join([*RECIPES, 'wild'])}")
    options = parser.parse_args()
    sources = Sources(options.clones, options.manifests, Path(), Path())
    for repository in needed(options.recipes or [*RECIPES, "wild"], options.manifests):
        try:
            sources.clone(repository)
        except FileNotFoundError:
            sys.stdout.write(f"cloning {repository}\n")
            place = options.clones / f"{repository}.git"
            subprocess.run(["git", "clone", "--quiet", "--bare", f"{options.server}/{repository}", str(place)], check=True)


if __name__ == "__main__":
    main()
