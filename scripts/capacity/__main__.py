"""`python -m scripts.capacity`: what a deployment answers at several arrival rates. With --measure first measures this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.capacity.demand import measure
from scripts.capacity.simulation import Deployment, Work, simulate

MEASURED = Path(__file__).resolve().parents[2] / "docker" / "measured.json"
LOADS = (0.5, 0.7, 0.8, 0.9, 1.0, 1.5, 4.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.measure:
        options.measured.write_text(json.dumps(measure(), indent=1) + "\n")
    deployment = planned(options, json.loads(options.measured.read_text()))
    sys.stdout.write(report(deployment, options.rate or [round(deployment.limit_per_s * load, 1) for load in LOADS]))
    return 0


def planned(options: argparse.Namespace, measured: Mapping[str, Any]) -> Deployment:
    """The deployment that the options describe; what they leave out is as measured."""
    return Deployment(
        gateways=options.gateways,
        cores=options.cores,
        places=options.places,
        tritons=options.tritons,
        servers=options.servers,
        decoding=Work(options.gateway_ms or measured["gateway_ms"], options.variation),
        inference=Work(options.triton_ms or measured["triton_ms"], options.variation),
    )


def report(deployment: Deployment, rates_per_s: Sequence[float]) -> str:
    """A Markdown table, one row a rate."""
    lines = [
        f"{deployment.gateways} gateways of {deployment.cores} cores ({deployment.decoding.mean_ms:g} ms an image), "
        f"{deployment.tritons} Tritons of {deployment.servers} servers ({deployment.inference.mean_ms:g} ms an image): "
        f"at most {deployment.limit_per_s:.1f} images/s.",
        "",
        "| arriving/s | answered/s | refused or late | p50 ms | p95 ms | p99 ms |",
        "|---|---|---|---|---|---|",
    ]
    for rate in rates_per_s:
        outcome = simulate(deployment, rate)
        times = " | ".join(f"{outcome.latency_ms(share):.0f}" for share in (0.5, 0.95, 0.99))
        lines.append(f"| {rate:g} | {outcome.per_s:.1f} | {outcome.refused_share:.1%} | {times} |")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scripts.capacity", description=__doc__)
    parser.add_argument("--gateways", type=int, default=1, help="gateway pods (default %(default)s)")
    parser.add_argument("--cores", type=int, default=2, help="cores of a gateway pod (default %(default)s)")
    parser.add_argument("--places", type=int, default=32, help="requests that a gateway holds at a time (default %(default)s)")
    parser.add_argument("--tritons", type=int, default=1, help="Triton pods (default %(default)s)")
    parser.add_argument("--servers", type=int, default=4, help="cores of a Triton pod, or 1 for a GPU (default %(default)s)")
    parser.add_argument("--gateway-ms", type=float, help="core milliseconds of the gateway per image (default: measured)")
    parser.add_argument(
        "--triton-ms", type=float, help="server milliseconds of Triton per image: for a GPU 1000 / its images/s (default: measured)"
    )
    parser.add_argument("--variation", type=float, default=1.0, help="coefficient of variation of both (default %(default)s)")
    parser.add_argument("--rate", type=float, action="append", help="arrivals a second; may be given again (default: shares of the limit)")
    parser.add_argument("--measured", type=Path, default=MEASURED, help="file with the measured milliseconds")
    parser.add_argument("--measure", action="store_true", help="measure this machine first (half a minute), and write that file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
