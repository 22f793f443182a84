"""What a teacher of age and gender sees in a face: 1,024 numbers a crop, for a student to imitate.

The teacher's network first learned a far larger set of faces than any here; its features carry that to pictures without labels
(FitNets: Romero et al., 2015). Run: python -m scripts.train.face_features --help.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tqdm import tqdm

from scripts.train.command import common_arguments, sources_from
from scripts.train.face_crops import load
from scripts.train.repositories import Sources

FEATURES = 1024
# Where the teacher's own crop (1.2 times the detector's box) lies in ours, px: of four squares tried on 300 training rows the one with the
# smallest age error (6.3 years).
LEFT_PX, TOP_PX, SPAN_PX, TEACHER_SIDE_PX = 13, 13, 134, 224
MEAN_BGR = np.array([103.939, 116.779, 123.68], np.float32)


def features(sources: Sources, name: str) -> NDArray[np.float16]:
    """Features [N,1024] of all crops of a set, zeros where a row is not for training. Asked once, then read from the cache."""
    file = sources.cache / "crops" / f"{name}.features.npy"
    if not file.exists():
        np.save(file, _ask(sources, name))
    return np.asarray(np.load(file))


def _ask(sources: Sources, name: str) -> NDArray[np.float16]:
    data = load(sources, name)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    net = ort.InferenceSession(str(sources.teachers / "hse_age_gender.onnx"), options, providers=["CPUExecutionProvider"])
    answers = np.zeros((len(data.rows), FEATURES), np.float16)
    rows = np.nonzero((data.column("split") == "train") & data.found)[0]
    for part in tqdm(np.array_split(rows, max(1, len(rows) // 16)), desc=name, unit="batch", mininterval=15):
        faces = [data.crops[row][TOP_PX : TOP_PX + SPAN_PX, LEFT_PX : LEFT_PX + SPAN_PX] for row in part]
        batch = np.stack([cv2.resize(face, (TEACHER_SIDE_PX,) * 2) for face in faces]).astype(np.float32) - MEAN_BGR
        answers[part] = net.run(["global_pooling/Mean:0"], {"input_1:0": batch})[0]
    return answers


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    parser.add_argument("sets", nargs="+")
    options = parser.parse_args()
    for set_name in options.sets:
        features(sources_from(options), set_name)
