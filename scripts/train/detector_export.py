"""Export `face_detector` from a checkpoint. Run: python -m scripts.train.detector_export --checkpoint runs/detector.pt."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from scripts.graphs.geometry import CANDIDATES, DETECTOR_SIDE_PX
from scripts.train.detector_net import FaceDetector, cells, decode_maps
from scripts.train.export import export

SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "pictures" / "astronaut.jpg"


class Served(nn.Module):
    """The network with decoding: DETECTOR_INPUT UINT8 [B,3,S,S] RGB -> CANDIDATES [B,C,15], best score first.

    A candidate is score 0..1, box xyxy and five points, in pixels of the square.
    """

    def __init__(self, net: FaceDetector) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("grid", torch.from_numpy(cells(DETECTOR_SIDE_PX)))

    def forward(self, image: Tensor) -> Tensor:
        logit, boxes, points = decode_maps(self.net(image.float()), self.grid)
        table = torch.cat([logit.sigmoid()[..., None], boxes, points], 2)
        best = torch.topk(logit, CANDIDATES, 1).indices
        return torch.gather(table, 1, best[..., None].expand(-1, -1, 15))


def load(checkpoint: Path) -> FaceDetector:
    """The averaged weights of a checkpoint."""
    net = FaceDetector()
    net.load_state_dict(torch.load(checkpoint, map_location="cpu")["average"])
    return net.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True)
    options = parser.parse_args()
    picture = cv2.resize(cv2.imread(str(SAMPLE)), (DETECTOR_SIDE_PX, DETECTOR_SIDE_PX))[..., ::-1]
    example = np.ascontiguousarray(np.stack([picture, picture[:, ::-1]]).transpose(0, 3, 1, 2)).astype(np.uint8)
    export(Served(load(options.checkpoint)), "face_detector", example, "DETECTOR_INPUT", ["CANDIDATES"], 0.05)


if __name__ == "__main__":
    main()
