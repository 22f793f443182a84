"""Fuzz what parses: scripts/fuzz.py [TARGET ...] [--seconds N], or with --service URL --requests N a running service.

Without --service: coverage-guided (atheris; for Pythons that it has no wheel for, see its site), the targets take turns until the time is
used up. Starts from tests/corpus, learns in the output folder, exits 1 on a finding, whose input lies in that folder.
With it: odd forms of a photograph (variants.py, drawn.py) must give the plain one's face or a refusal; then mutated pictures and requests.
--seeds writes the corpus' generated inputs anew.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scripts.fuzzing import seeds, service
from scripts.fuzzing.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
TURN_S, RSS_LIMIT_MB, MAX_BYTES, HANG_S = 300, 3072, 8192, 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line. Returns the exit status."""
    options = _parser().parse_args(arguments)
    if options.seeds:
        seeds.write()
        return 0
    if options.service:
        return service.run(options.service, options.requests, options.forms, options.seed)
    return guided(options.targets or list(TARGETS), options.seconds, options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/fuzz.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], metavar="TARGET", help=f"default: all of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="in total over the targets (default %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs" / "fuzz", help="where it learns and reports (default %(default)s)")
    parser.add_argument("--service", metavar="URL", help="send mutated pictures and requests to this service")
    parser.add_argument("--requests", type=int, default=10_000, help="with --service: how many (default %(default)s)")
    parser.add_argument("--forms", type=int, default=2000, help="with --service: odd forms of a photograph, drawn (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="with --service: of the random numbers (default %(default)s)")
    parser.add_argument("--seeds", action="store_true", help="write the generated part of tests/corpus, then stop")
    return parser


def guided(targets: Sequence[str], seconds: int, output: Path) -> int:
    """Turns of at most five minutes for each target. Returns 1 when one of them found something."""
    runs: Counter[str] = Counter()
    spent: Counter[str] = Counter()
    findings: list[str] = []
    turn = min(TURN_S, max(1, seconds // len(targets)))
    end = time.monotonic() + seconds
    while time.monotonic() < end - 1:
        for target in targets:
            left = min(turn, round(end - time.monotonic()))
            if left > 0:
                done, status, text = _turn(target, left, output)
                runs[target] += done
                spent[target] += left
                if status:
                    findings.append(f"{target}: {text}")
        for target in targets:
            sys.stdout.write(f"{target}: {runs[target]} executions in {spent[target]} s\n")
        sys.stdout.flush()
    sys.stdout.writelines(f"FINDING {finding}\n" for finding in findings)
    return 1 if findings else 0


def _turn(target: str, seconds: int, output: Path) -> tuple[int, int, str]:
    """Executions, exit status and the end of what was printed."""
    learnt, found = output / target, output / "findings"
    for folder in (learnt, found):
        folder.mkdir(parents=True, exist_ok=True)
    options = {
        "max_total_time": seconds, "rss_limit_mb": RSS_LIMIT_MB, "max_len": MAX_BYTES, "timeout": HANG_S, "print_final_stats": 1,
        "artifact_prefix": f"{found}/{target}-",
    }  # fmt: skip
    command = [sys.executable, "-m", "scripts.fuzzing.guided", target, str(learnt), str(seeds.CORPUS / target)]
    command += [f"-{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    count = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    return int(count[1]) if count else 0, done.returncode, done.stdout[-3000:]


if __name__ == "__main__":
    sys.exit(main())
