#!/usr/bin/env python3
"""Analyse a photograph over gRPC with tritonclient alone: no gateway, no code of this project.

    python scripts/grpc_client.py PHOTO [--host HOST:PORT]

Needs: pip install 'tritonclient[grpc]' opencv-python-headless. The tensors are documented in model_repository/README.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
OUTPUTS = ("NUM_FACES", "BOXES", "SCORES", "AGE", "GENDER", "EMOTION")


def main() -> int:
    """Command line. Returns the exit status."""
    parser = argparse.ArgumentParser(description="Analyse a photograph over gRPC.")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--host", default="127.0.0.1:8001", metavar="HOST:PORT", help="Triton's gRPC address (default %(default)s)")
    options = parser.parse_args()
    image = cv2.imdecode(np.fromfile(options.photo, np.uint8), cv2.IMREAD_COLOR) if options.photo.is_file() else None
    if image is None:
        return _fail(f"{options.photo} is not a readable image.")
    try:
        faces = analyze(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), options.host)
    except InferenceServerException as problem:
        return _fail(f"Triton at {options.host} did not answer: {problem.message()}")
    sys.stdout.write(f"{len(faces)} face{'' if len(faces) == 1 else 's'}\n" + "".join(f"{face}\n" for face in faces))
    return 0


def analyze(rgb: NDArray[Any], host: str) -> list[str]:
    """One line a face of an RGB uint8 picture [H,W,3]."""
    client = triton.InferenceServerClient(host)
    image = triton.InferInput("IMAGE", [1, *rgb.shape], "UINT8")
    image.set_data_from_numpy(rgb[None])
    answer = client.infer("face_analysis", [image], outputs=[triton.InferRequestedOutput(name) for name in OUTPUTS], client_timeout=30)
    count, boxes, scores, age, gender, emotion = (answer.as_numpy(name) for name in OUTPUTS)
    lines = []
    for row in range(int(count[0])):  # rows beyond NUM_FACES are padding
        x1, y1, x2, y2 = boxes[row].round().astype(int)
        sex = "male" if gender[row, 0] >= 0.5 else "female"
        lines.append(
            f"box {x1},{y1} to {x2},{y2}  score {scores[row]:.2f}  age {age[row, 0]:.0f}  {sex} {gender[row].max():.2f}"
            f"  {EXPRESSIONS[int(emotion[row].argmax())]} {emotion[row].max():.2f}"
        )
    return lines


def _fail(text: str) -> int:
    sys.stderr.write(text + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
