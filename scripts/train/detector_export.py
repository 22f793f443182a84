"""Export `face_detector` from a checkpoint. Run: python -m scripts.train.detector_export --checkpoint runs/detector.pt."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scripts.graphs.geometry import CANDIDATES, DETECTOR_SIZES_PX
from scripts.train.detector_net import STRIDES, FaceDetector, decode_maps
from scripts.train.export import export

# From scripts/train/detector_operating_point.py --pictures 260 --precision 0.95, on held-out training pictures, less 0.1, of the last
# stride less 0.42, which took heads with a covered face for faces.
LEVEL_BIAS = (-0.78, -0.07, 0.22, -0.20)
SAMPLE = Path(__file__).resolve().parents[2] / "tests" / "pictures" / "astronaut.jpg"


class Served(nn.Module):
    """The network with decoding: DETECTOR_INPUT UINT8 [B,3,h,w] RGB -> CANDIDATES [B,C,15], best score first.

    A candidate is score 0..1, box xyxy and five points, in pixels of the input. Sides are multiples of the coarsest stride.
    """

    def __init__(self, net: FaceDetector, level_bias: tuple[float, ...]) -> None:
        super().__init__()
        self.net, self.level_bias = net, level_bias

    def forward(self, image: Tensor) -> Tensor:
        grid, bias = self._cells(image)
        raw, boxes, points = decode_maps(self.net(image.float()), grid)
        logit = raw + bias
        table = torch.cat([logit.sigmoid()[..., None], boxes, points], 2)
        best = torch.topk(logit, CANDIDATES, 1).indices
        return torch.gather(table, 1, best[..., None].expand(-1, -1, 15))

    def _cells(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Centre and stride of every cell [C,3], as `detector_net.cells` has them, and its bias [C]."""
        rows, biases = [], []
        for stride, bias in zip(STRIDES, self.level_bias, strict=True):
            y, x = ((torch.arange(image.shape[axis] // stride) + 0.5) * stride for axis in (2, 3))
            every_y, every_x = (part.reshape(-1) for part in torch.meshgrid(y, x, indexing="ij"))
            rows.append(torch.stack([every_x, every_y, torch.full_like(every_x, stride)], 1))
            biases.append(torch.full_like(every_x, bias))
        return torch.cat(rows), torch.cat(biases)


def load(*checkpoints: Path) -> FaceDetector:
    """The averaged weights of a checkpoint; of several, which must be stages of one training, their mean."""
    states = [torch.load(checkpoint, map_location="cpu")["average"] for checkpoint in checkpoints]
    net = FaceDetector()
    net.load_state_dict({name: torch.stack([s[name].float() for s in states]).mean(0).to(first.dtype) for name, first in states[0].items()})
    return net.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True, help="of several, the mean of their weights")
    parser.add_argument(
        "--level-bias",
        type=float,
        nargs=len(STRIDES),
        default=LEVEL_BIAS,
        help="added to the logits of each stride, so that 0.5 is the operating point",
    )
    options = parser.parse_args()
    first, *others = (_example(*size) for size in DETECTOR_SIZES_PX)
    net = Served(load(*options.checkpoint), tuple(options.level_bias))
    export(net, "face_detector", first, "DETECTOR_INPUT", ["CANDIDATES"], 0.05, others)


def _example(height: int, width: int) -> NDArray[np.uint8]:
    """A photograph and its mirror image [2,3,h,w]."""
    picture = cv2.resize(cv2.imread(str(SAMPLE)), (width, height))[..., ::-1]
    return np.ascontiguousarray(np.stack([picture, picture[:, ::-1]]).transpose(0, 3, 1, 2)).astype(np.uint8)


if __name__ == "__main__":
    main()
