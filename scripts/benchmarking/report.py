"""Results as Markdown and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = (
    ("target", "target"),
    ("clients", "clients"),
    ("images_per_s", "images/s"),
    ("spread", "+-"),
    ("faces_per_s", "faces/s"),
    ("p50_ms", "p50 ms"),
    ("p95_ms", "p95 ms"),
    ("p99_ms", "p99 ms"),
    ("cpu_ms_per_image", "CPU ms/image"),
    ("errors", "errors"),
)
LEVER_COLUMNS = (
    ("lever", "otherwise"),
    ("images_per_s", "images/s"),
    ("spread", "+-"),
    ("p95_ms", "p95 ms"),
    ("alone_p50_ms", "p50 ms of one client"),
    ("batch", "batch"),
    ("refused", "503"),
    ("errors", "errors"),
)


def markdown(results: dict[str, Any]) -> str:
    """The whole report."""
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    parts = [
        "# Benchmark",
        "Made by `scripts/benchmark.py`; every number is a median over interleaved rounds, `+-` half the range of the throughput.",
        f"Machine and versions: {machine}.",
        f"Rounds: {results['rounds']} of {results['seconds']} s. Clients run on the same machine and take their share of it.",
    ]
    for case, rows in results["side_by_side"].items():
        parts += [f"## {case}", table(COLUMNS, rows), _ratios(case, results)]
    if results.get("routes"):
        parts += ["## Every route, upload included", table(COLUMNS, results["routes"])]
    if results.get("growth"):
        parts += [
            "## More and more clients",
            table((*COLUMNS[:-1], ("refused", "503"), ("refused_p95_ms", "p95 ms of 503"), COLUMNS[-1]), results["growth"]),
        ]
    for key, title in (("sizes", "Larger pictures, one face"), ("crowds", "More faces, 1920x1080")):
        if results.get(key):
            parts += [f"## {title}", table((("case", "picture"), *COLUMNS[1:]), results[key])]
    if results.get("levers"):
        parts += [
            "## What each choice brings",
            f"Servers that differ from the one that is served in one thing, in turns: {results['clients']} clients, then one. `batch` is of "
            "`face_demographics`.",
        ]
        for case, rows in results["levers"].items():
            parts += [f"### {case}", table(LEVER_COLUMNS, rows)]
    if results.get("arrivals"):
        names = ("arrivals_per_s", "answered_per_s", "p50_ms", "p95_ms", "p99_ms", "refused", "refused_p95_ms", "errors")
        parts += ["## Fixed arrival rates (open loop)", table([(name, name.replace("_", " ")) for name in names], results["arrivals"])]
    parts += [
        "## Where the time goes",
        "One client, median milliseconds: " + "; ".join(f"{case}: {_pairs(stages)}" for case, stages in results["stages"].items()) + ".",
        f"Average batch under {results['clients']} clients: "
        + "; ".join(f"{case}: {_pairs(_rest(rows)['average_batch'])}" for case, rows in results["side_by_side"].items())
        + ".",
        f"Triton's milliseconds (queue and computing) an image under {results['clients']} clients: "
        + "; ".join(f"{case}: {_pairs(_rest(rows)['ms_per_image'])}" for case, rows in results["side_by_side"].items())
        + ".",
        f"Resident memory of all server processes: {results['memory_mb']['start']:.0f} MB at the start, {results['memory_mb']['end']:.0f} MB at the end.",
    ]
    return "\n\n".join(parts) + "\n"


def _rest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return next(row for row in rows if row["target"] == "REST /v1" and row["clients"] > 1)


def _pairs(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def _ratios(case: str, results: dict[str, Any]) -> str:
    """The figures that the targets are about, against the plain loop of the same rounds."""
    rows = results["side_by_side"][case]
    loop = rows[0]
    lines = [
        f"{row['target']} with {row['clients']} clients: {row['images_per_s'] / loop['images_per_s']:.2f} of the plain loop"
        for row in rows
        if row["clients"] > 1
    ]
    alone = [row for row in rows[1:] if row["clients"] == 1]
    lines += [f"p50 of {row['target']} with one client: plain loop {row['p50_ms'] - loop['p50_ms']:+.1f} ms" for row in alone]
    return "; ".join(lines) + "."


def table(columns: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: (key, title) of every column."""
    lines = ["| " + " | ".join(title for _, title in columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join("" if row.get(key) is None else str(row[key]) for key, _ in columns) + " |" for row in rows]
    return "\n".join(lines)


def plots(results: dict[str, Any], folder: Path) -> list[Path]:
    """Throughput and latency against clients, image size and number of faces. Needs matplotlib (extra `dev`)."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    drawn: list[Path] = []
    if results.get("growth"):
        figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
        for target in dict.fromkeys(row["target"] for row in results["growth"]):
            rows = [row for row in results["growth"] if row["target"] == target]
            left.plot([row["clients"] for row in rows], [row["images_per_s"] for row in rows], marker="o", label=target)
        left.set(xlabel="clients", ylabel="images/s", xscale="log", ylim=(0, None))
        left.legend()
        patient = [row for row in results["growth"] if row["target"] == "REST /v1"]
        for name in ("p50_ms", "p95_ms", "p99_ms"):
            right.plot([row["clients"] for row in patient], [row[name] for row in patient], marker="o", label=name.removesuffix("_ms"))
        right.set(xlabel="clients", ylabel="ms", xscale="log", yscale="log")
        right.legend()
        drawn.append(_save(figure, folder / "clients.png"))
    if results.get("sizes"):
        figure, panels = plt.subplots(1, 2, figsize=(10, 4))
        for axes, key, label in zip(panels, ("sizes", "crowds"), ("megapixels", "faces"), strict=True):
            rows = results[key]
            for count in sorted({row["clients"] for row in rows}):
                chosen = [row for row in rows if row["clients"] == count]
                axes.plot(
                    [_amount(row["case"]) for row in chosen], [row["images_per_s"] for row in chosen], marker="o", label=f"{count} clients"
                )
            axes.set(xlabel=label, ylabel="images/s", ylim=(0, None))
            axes.legend()
        drawn.append(_save(figure, folder / "growth.png"))
    figure, axes = plt.subplots(figsize=(9, 4))
    names = list(results["side_by_side"])
    targets = [row["target"] for row in results["side_by_side"][names[0]] if row["clients"] != 1 or row["target"] == "plain loop"]
    for place, target in enumerate(targets):
        heights = [
            next(
                row["images_per_s"] for row in results["side_by_side"][n] if row["target"] == target and (row["clients"] != 1 or place == 0)
            )
            for n in names
        ]
        axes.bar([i + 0.2 * place for i in range(len(names))], heights, 0.2, label=target)
    axes.set_xticks([i + 0.3 for i in range(len(names))], names, fontsize=8)
    axes.set_ylabel("images/s")
    axes.legend()
    drawn.append(_save(figure, folder / "cases.png"))
    return drawn


def _amount(case: str) -> float:
    """Megapixels of "640x480", faces of "5 faces"."""
    width, _, height = case.partition("x")
    return int(width) * int(height) / 1e6 if height else float(case.split()[0])


def _save(figure: Any, path: Path) -> Path:
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    return path
