"""Export `face_detector` from a checkpoint. Run: python -m scripts.train.detector_export --checkpoint runs/detector.pt."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from scripts.graphs.geometry import CANDIDATES, DETECTOR_SIDE_PX
from scripts.train.detector_net import STRIDES, FaceDetector, cells, decode_maps
from scripts.train.export import export

# From scripts/train/detector_operating_point.py --precision 0.90 --pictures 400, on held-out training pictures.
LEVEL_BIAS = (-0.09, 0.0, -0.1, 0.09)
SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "pictures" / "astronaut.jpg"


class Served(nn.Module):
    """The network with decoding: DETECTOR_INPUT UINT8 [B,3,S,S] RGB -> CANDIDATES [B,C,15], best score first.

    A candidate is score 0..1, box xyxy and five points, in pixels of the square.
    """

    def __init__(self, net: FaceDetector, level_bias: tuple[float, ...]) -> None:
        super().__init__()
        self.net = net
        per_cell = np.repeat(level_bias, [(DETECTOR_SIDE_PX // stride) ** 2 for stride in STRIDES])
        self.register_buffer("bias", torch.from_numpy(per_cell).float())
        self.register_buffer("grid", torch.from_numpy(cells(DETECTOR_SIDE_PX)))

    def forward(self, image: Tensor) -> Tensor:
        raw, boxes, points = decode_maps(self.net(image.float()), self.grid)
        logit = raw + self.bias
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
    parser.add_argument(
        "--level-bias",
        type=float,
        nargs=len(STRIDES),
        default=LEVEL_BIAS,
        help="added to the logits of each stride, so that 0.5 is the operating point",
    )
    options = parser.parse_args()
    picture = cv2.resize(cv2.imread(str(SAMPLE)), (DETECTOR_SIDE_PX, DETECTOR_SIDE_PX))[..., ::-1]
    example = np.ascontiguousarray(np.stack([picture, picture[:, ::-1]]).transpose(0, 3, 1, 2)).astype(np.uint8)
    export(Served(load(options.checkpoint), tuple(options.level_bias)), "face_detector", example, "DETECTOR_INPUT", ["CANDIDATES"], 0.05)


if __name__ == "__main__":
    main()
