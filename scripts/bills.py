"""The bills of materials (CycloneDX) of the images' Python parts: `python -m scripts.bills FOLDER`.

One file an image, NAME.cdx.json, from the pins that it installs; docker/release.md says what else a release ships.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ("gateway", "triton")


def write(folder: Path) -> list[Path]:
    """Write them into `folder`, which is made. Raises CalledProcessError."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for image in IMAGES:
        pins, bill = ROOT / "docker" / image / "requirements.txt", folder / f"{image}.cdx.json"
        command = [sys.executable, "-m", "cyclonedx_py", "requirements", str(pins), "--output-reproducible", "--output-file", str(bill)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        written.append(bill)
    return written


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m scripts.bills FOLDER")
    sys.stdout.writelines(f"{path}\n" for path in write(Path(sys.argv[1])))
