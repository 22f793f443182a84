"""Everything that has to be measured on a GPU, unattended: `python -m scripts.benchmarking.gpu [--output FOLDER]`.

1. `scripts/benchmark.py --device gpu`, in full.
2. Every setting of LEVERS, in turns, with many clients.
3. What shows that the models run on the GPU: where Triton says each instance is, and which of its processes hold GPU memory. (A model
   that cannot have CUDA does not start with `--device gpu`.)
4. REST at a fixed arrival rate of half of the peak.

Needs onnxruntime-gpu in place of onnxruntime, and nvidia-smi. Writes gpu.json and gpu.md beside the results of 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import tritonclient.grpc as triton
from tqdm import tqdm

from gateway.models import ATTRIBUTE_MODELS, DETECTOR
from scripts.benchmarking import levers
from scripts.benchmarking.levers import Lever, copies, delay
from scripts.benchmarking.load import open_loop
from scripts.benchmarking.pictures import cases
from scripts.benchmarking.report import LEVER_COLUMNS, table
from scripts.benchmarking.server import Server
from scripts.benchmarking.targets import over_http

CASE, CLIENTS = "1 face 640x480", 128
LEARNED = (DETECTOR, *ATTRIBUTE_MODELS)
LEVERS = (
    Lever(levers.AS_SERVED, options=("--workers=8",)),
    Lever("no queue delay", options=("--workers=8",), edit=delay(0)),
    Lever("a queue delay of 5 ms", options=("--workers=8",), edit=delay(5000)),
    Lever("2 instances of every learned model", options=("--workers=8",), edit=copies(2, *LEARNED)),
    Lever("4 copies of face_align and face_prepare", options=("--workers=8",), edit=copies(4, "face_align", "face_prepare")),
    Lever("16 copies of face_align and face_prepare", options=("--workers=8",), edit=copies(16, "face_align", "face_prepare")),
    Lever("4 gateway processes", options=("--workers=4",)),
    Lever("16 gateway processes", options=("--workers=16",)),
)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/gpu"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "scripts.benchmarking", "--device=gpu", "--clients=128", "--workers=8", f"--output={options.output}"]
    subprocess.run(command, check=True)
    with tqdm(desc="GPU", bar_format="{desc} [{elapsed}]") as bar:
        rows = levers.compare(LEVERS, "gpu", {CASE: cases()[CASE]}, CLIENTS, options.seconds, options.rounds, bar.set_description)[CASE]
        with levers.served(LEVERS[0], "gpu") as server:
            results = {"levers": rows, "placement": placement(server), "half_of_peak": half_of_peak(server, rows[0]["images_per_s"])}
    (options.output / "gpu.json").write_text(json.dumps(results, indent=1) + "\n")
    (options.output / "gpu.md").write_text(f"# Settings on the GPU\n\n{CASE}, {CLIENTS} clients.\n\n{table(LEVER_COLUMNS, rows)}\n")
    return 0


def placement(server: Server) -> dict[str, Any]:
    """Where Triton runs each model, and the GPU memory of the processes that nvidia-smi knows."""
    with triton.InferenceServerClient(server.grpc) as client:
        kinds = {
            name: [group.Kind.Name(group.kind) for group in client.get_model_config(name).config.instance_group]
            for name in (*LEARNED, "face_prepare", "face_align")
        }
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader"]
    said = subprocess.run(query, check=True, capture_output=True, text=True).stdout
    ours = {process.pid for process in server.processes()}
    lines = [line for line in said.splitlines() if int(line.split(",")[0]) in ours]
    return {"instances": kinds, "processes_with_gpu_memory": lines}


def half_of_peak(server: Server, peak_per_s: float) -> dict[str, float]:
    """Latency, from when a request was due, at half of the sustained rate."""
    run = open_loop(over_http(server.base, cases()[CASE]), peak_per_s / 2, 20)
    return {
        "answered_per_s": round(run.per_second, 1),
        "p50_ms": round(run.percentile_ms(50), 1),
        "p95_ms": round(run.percentile_ms(95), 1),
    }


if __name__ == "__main__":
    sys.exit(main())
