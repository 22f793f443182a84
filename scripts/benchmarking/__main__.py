"""Measure this machine: scripts/benchmark.py [--quick] [--output FOLDER].

Starts a scripts/serve of its own on free ports. Results: results.json, README.md and plots in the output folder.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from tqdm import tqdm

from scripts.benchmarking import levers, report
from scripts.benchmarking.measure import REST, Bench, stages
from scripts.benchmarking.pictures import cases, crowds, sizes
from scripts.benchmarking.server import serving

MAIN_CASE = "1 face 1280x720"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(prog="scripts/benchmark.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two rounds of three seconds, fewer cases")
    parser.add_argument("--seconds", type=float, help="length of a round (default 5; quick 3)")
    parser.add_argument("--rounds", type=int, help="rounds after the warm-up (default 3; quick 2)")
    parser.add_argument("--clients", type=int, default=16, help="concurrent clients (default %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="gateway processes (default %(default)s)")
    parser.add_argument(
        "--device", choices=("cpu", "gpu"), default="cpu", help="gpu: the gpu profile, and a failure where a model would not run there"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/benchmark"), help="folder for the results (default %(default)s)")
    options = parser.parse_args()
    seconds, rounds = options.seconds or (3 if options.quick else 5), options.rounds or (2 if options.quick else 3)
    results = _measure(options, seconds, rounds)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "results.json").write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    text = report.markdown(results)
    (options.output / "README.md").write_text(text)
    report.plots(results, options.output)
    sys.stdout.write(text)
    return 0


def _measure(options: argparse.Namespace, seconds: float, rounds: int) -> dict[str, Any]:
    pictures = cases()
    chosen = list(pictures)[1:4:1] if options.quick else list(pictures)
    with (
        serving(f"--workers={options.workers}", f"--device={options.device}") as server,
        tqdm(desc="measuring", bar_format="{desc} [{elapsed}]") as bar,
    ):
        bench = Bench(server, os.cpu_count() or 1, seconds, rounds, bar.set_description)
        memory = {"start": server.memory_mb()}
        side_by_side = {name: bench.side_by_side(pictures[name], options.clients) for name in chosen}
        results: dict[str, Any] = {
            "machine": _machine() | {"device": options.device},
            "seconds": seconds,
            "rounds": rounds,
            "clients": options.clients,
            "side_by_side": side_by_side,
            "routes": bench.vendors(pictures[MAIN_CASE], options.clients),
            "stages": {name: stages(server, pictures[name]) for name in chosen},
        }
        sustained = next(r["images_per_s"] for r in side_by_side[MAIN_CASE] if r["target"] == REST and r["clients"] == options.clients)
        if not options.quick:
            results["growth"] = bench.growth(pictures[MAIN_CASE], (1, 2, 4, 8, 16, 32, 64, 128, 256))
            results["sizes"] = bench.against(sizes(), options.clients)
            results["crowds"] = bench.against(crowds(), options.clients)
        results["arrivals"] = bench.arrivals(pictures[MAIN_CASE], (0.5, 0.9) if options.quick else (0.25, 0.5, 0.75, 0.9, 1.5), sustained)
        results["memory_mb"] = memory | {"end": server.memory_mb()}
        if not options.quick and options.device == "cpu":
            compared = {MAIN_CASE: pictures[MAIN_CASE]}
            results["levers"] = levers.compare(levers.LEVERS, "cpu", compared, options.clients, seconds, rounds, bar.set_description)
    return results


def _machine() -> dict[str, str]:
    packages = ("nvidia-pytriton", "onnxruntime", "numpy", "opencv-python-headless", "flask", "gunicorn", "grpcio")
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "?")
    return {
        "processor": model,
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "Python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


if __name__ == "__main__":
    sys.exit(main())
