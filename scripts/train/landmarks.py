"""Train and export `face_landmarks`: 105 points, pupils, head pose. Run: python -m scripts.train.landmarks --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.graphs.geometry import measured_template
from scripts.train import drawn_points, face_crops, mesh_labels
from scripts.train.attribute_net import View, look
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.blocks import Basic, conv_bn_relu
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.drawn_points import OUTER_CORNERS, offsets
from scripts.train.export import export
from scripts.train.landmark_layout import POINTS, canonical, mirror_order, points105, pose_of

VIEW = View(left=16, top=22, side=128, size=128)
# The whole view is looked at in fewer pixels; the eyes, where a pixel counts, in all of them.
WHOLE_PX = 96
EYE_WIDTH, EYE_HEIGHT = 44, 32
SETS = {"ytf": 0.2, "lfw": 0.3, "celeba10k": 0.22, "utkface": 0.28}
# Columns of a target row, px and degrees of the crop (later of the view): points, pupils (x, y, radius), pose, weight of the pose.
PUPILS, POSE, POSE_WEIGHT, COLUMNS = 2 * POINTS, 2 * POINTS + 6, 2 * POINTS + 9, 2 * POINTS + 10
DISAGREE_DEGREES = 25.0
SURE = 0.6  # of the mesh that there is a face
EYES = (slice(24, 40), slice(40, 56))
EYE_POINTS = 16
MIRROR = mirror_order()


class Eye(nn.Module):
    """An image-left eye (or the other one mirrored) [B,3,32,44] -> 16 points, pupil: [B,16,2], [B,3] in px around the window's middle."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv_bn_relu(3, 24, 3, 2),
            Basic(24, 40, 2),
            Basic(40, 64, 2),
            Basic(64, 64),
            conv_bn_relu(64, 24, 1),
            nn.Flatten(),
            nn.Linear(24 * 24, 128),
            nn.ReLU(inplace=True),
            nn.Linear(128, 2 * EYE_POINTS + 3),
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raw = self.layers(x) * (EYE_WIDTH / 2)
        return raw[:, : 2 * EYE_POINTS].reshape(-1, EYE_POINTS, 2), raw[:, 2 * EYE_POINTS :]


def eye_corners() -> tuple[tuple[int, int], tuple[int, int]]:
    """(left, top) of both eyes' windows in the view."""
    middles = measured_template()[:2] - [VIEW.left, VIEW.top]
    return tuple((round(float(x - EYE_WIDTH / 2)), round(float(y - EYE_HEIGHT / 2))) for x, y in middles)  # type: ignore[return-value]


def _eye_middles() -> Tensor:
    """Middles of the windows from the view's middle [2,3]; the third number is 0, because a radius has no place."""
    corners = torch.tensor(eye_corners(), dtype=torch.float32)
    return F.pad(corners + torch.tensor([(EYE_WIDTH - 1) / 2, (EYE_HEIGHT - 1) / 2]) - (VIEW.size - 1) / 2, (0, 1))


class Landmarks(nn.Module):
    """Input [B,3,128,128] -> points and pupils in halves of the view's side around its middle, pose in 45 degrees: [B,219]."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = Eye()
        self.register_buffer("middles", _eye_middles(), persistent=False)
        self.register_buffer("back", torch.tensor([[1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]]), persistent=False)  # the second eye is mirrored
        self.layers = nn.Sequential(
            conv_bn_relu(3, 24, 3, 2),
            Basic(24, 32, 2),
            Basic(32, 32),
            Basic(32, 64, 2),
            Basic(64, 64),
            Basic(64, 128, 2),
            Basic(128, 128),
            conv_bn_relu(128, 48, 1),
            nn.Flatten(),  # the places matter: no pooling
            nn.Linear(48 * 36, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, POSE_WEIGHT),
        )

    def forward(self, x: Tensor) -> Tensor:
        raw = self.layers(F.interpolate(x, size=(WHOLE_PX, WHOLE_PX), mode="bilinear", align_corners=False))
        points, pupils = self._eyes(x)
        rest = raw[:, :PUPILS].reshape(-1, POINTS, 2)
        placed = torch.cat([rest[:, : EYES[0].start], points, rest[:, EYES[1].stop :]], 1)
        return torch.cat([placed.flatten(1), pupils.flatten(1), raw[:, POSE:]], 1)

    def _eyes(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Points [B,32,2] and pupils [B,2,3] of both eyes, in the units of the whole."""
        (left, top), (right, _) = eye_corners()
        rows = slice(top, top + EYE_HEIGHT)
        windows = (x[:, :, rows, left : left + EYE_WIDTH], x[:, :, rows, right : right + EYE_WIDTH].flip(3))
        points, pupils = self.eye(torch.cat(windows))
        half = VIEW.side / 2
        points = points.reshape(2, -1, EYE_POINTS, 2) * self.back[:, None, None, :2] + self.middles[:, None, None, :2]
        pupils = pupils.reshape(2, -1, 3) * self.back[:, None] + self.middles[:, None]
        order = torch.from_numpy(MIRROR[EYES[1]] - EYES[0].start)
        return torch.cat([points[0], points[1][:, order]], 1) / half, pupils.transpose(0, 1) / half


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3], CROP_TO_IMAGE [B,2,3] -> LANDMARKS [B,105,2] px, PUPILS [B,2,3] px, POSE [B,3] degrees."""

    def __init__(self, net: Landmarks) -> None:
        super().__init__()
        self.net = net

    def forward(self, crops: Tensor, to_image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.net(look(crops, VIEW))
        turn, shift = to_image[:, :, :2].transpose(1, 2), to_image[:, :, 2][:, None]
        pupils = raw[:, PUPILS:POSE].reshape(-1, 2, 3)
        places = torch.cat([raw[:, :PUPILS].reshape(-1, POINTS, 2), pupils[:, :, :2]], 1)
        middle = torch.tensor([VIEW.left, VIEW.top]) + (VIEW.side - 1) / 2
        placed = (places * (VIEW.side / 2) + middle) @ turn + shift
        scale = torch.sqrt(to_image[:, 0, 0] ** 2 + to_image[:, 1, 0] ** 2)[:, None, None]
        radius = pupils[:, :, 2:].abs() * (VIEW.side / 2) * scale
        angles = raw[:, POSE:] * 45
        rotation = torch.atan2(to_image[:, 1, :1], to_image[:, 0, :1]) * (180 / torch.pi)
        return placed[:, :POINTS], torch.cat([placed[:, POINTS:], radius], 2), torch.cat([angles[:, :2], angles[:, 2:] + rotation], 1)


def loss(raw: Tensor, target: Tensor) -> Tensor:
    """Smooth absolute errors: points in view pixels, pose in degrees."""
    half = VIEW.size / 2
    point = F.smooth_l1_loss(raw[:, :PUPILS] * half, target[:, :PUPILS] - half + 0.5, beta=1.0)
    pupil = raw[:, PUPILS:POSE].reshape(-1, 2, 3) * half
    wanted = target[:, PUPILS:POSE].reshape(-1, 2, 3)
    place = F.smooth_l1_loss(pupil[:, :, :2], wanted[:, :, :2] - half + 0.5, beta=0.5)
    radius = F.smooth_l1_loss(pupil[:, :, 2], wanted[:, :, 2], beta=0.3)
    turned = F.smooth_l1_loss(raw[:, POSE:] * 45, target[:, POSE:POSE_WEIGHT], beta=3.0, reduction="none").mean(1)
    return point + place + 0.3 * radius + 0.12 * (turned * target[:, POSE_WEIGHT]).mean()


def move(target: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """A target row in pixels of the crop -> in pixels of the view that `matrix` [2,3] makes of it."""
    moved = target.copy()
    mirrored = bool(np.linalg.det(matrix[:, :2]) < 0)
    points = target[:PUPILS].reshape(-1, 2) @ matrix[:, :2].T + matrix[:, 2]
    pupils = target[PUPILS:POSE].reshape(2, 3)
    places = pupils[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    scale = np.hypot(*matrix[:, 0])
    both = np.hstack([places, pupils[:, 2:] * scale])
    yaw, pitch, roll = target[POSE:POSE_WEIGHT]
    down = np.rad2deg(np.arctan2(-matrix[0, 1], matrix[1, 1]))  # by how much the picture's vertical was turned clockwise
    if mirrored:
        points, both, yaw, roll = points[MIRROR], both[::-1], -yaw, -roll
    moved[:PUPILS], moved[PUPILS:POSE] = points.reshape(-1), both.reshape(-1)
    moved[POSE:POSE_WEIGHT] = yaw, pitch, roll + down
    return moved


def targets(told: mesh_labels.MeshSet, shape: NDArray[np.float64], pitch_offset: float, away: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of COLUMNS in pixels of the crop; the pose is the mean of mesh and FSA-Net where they agree.

    `away` [105,2] moves the mesh's points to where people draw them (`drawn_points.offsets`).
    """
    known = np.isfinite(told.presence)
    rows = np.zeros((len(known), COLUMNS), np.float32)
    points = points105(np.nan_to_num(told.mesh[..., :2]))
    unit = np.linalg.norm(points[:, OUTER_CORNERS[1]] - points[:, OUTER_CORNERS[0]], axis=1)
    rows[:, :PUPILS] = (points + unit[:, None, None] * away).reshape(len(rows), -1)
    rows[:, PUPILS:POSE] = told.irises.reshape(len(rows), -1)
    pose, apart = consensus(told, shape, pitch_offset)
    rows[:, POSE:POSE_WEIGHT] = pose
    rows[:, POSE_WEIGHT] = known & (np.nan_to_num(apart, nan=1e9) < DISAGREE_DEGREES)
    return np.nan_to_num(rows)


def consensus(
    told: mesh_labels.MeshSet, shape: NDArray[np.float64], pitch_offset: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pose [N,3] in degrees of the crop, and by how much the teachers differ at most [N]."""
    known = np.isfinite(told.presence)
    mesh_pose = np.full((len(known), 3), np.nan, np.float32)
    mesh_pose[known] = pose_of(told.mesh[known], shape)
    fsa = np.stack([-told.fsa[:, 0], -told.fsa[:, 1] - pitch_offset, told.fsa[:, 2] + told.turn], 1)
    return (mesh_pose + fsa) / 2, np.abs(mesh_pose - fsa).max(1)


def frame(told: mesh_labels.MeshSet) -> tuple[NDArray[np.float64], float]:
    """The shape that pose is measured against and FSA-Net's pitch offset to it, from the frontal faces of one set (LFW)."""
    known = np.nan_to_num(told.presence) > 0.9
    frontal = known & (np.abs(np.nan_to_num(told.fsa[:, 0], nan=90)) < 8)
    shape = canonical(told.mesh, frontal)
    mesh_pitch = pose_of(told.mesh[frontal], shape)[:, 1]
    return shape, float(np.median(-told.fsa[frontal, 1] - mesh_pitch))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 10, 12_000)
    options = parser.parse_args()
    sources = sources_from(options)
    data = {name: face_crops.load(sources, name) for name in SETS}
    told = {name: mesh_labels.load(sources, name) for name in SETS}
    shape, pitch_offset = frame(told["lfw"])
    options.output.mkdir(parents=True, exist_ok=True)
    np.savez(options.output / "pose_frame.npz", shape=shape, pitch_offset=pitch_offset)
    known = np.nan_to_num(told["ytf"].presence)[:, None, None] > SURE
    away = offsets(np.where(known, points105(told["ytf"].mesh[..., :2]), np.nan), drawn_points.load(sources))
    index, rows, weights = [], [], []
    aside = np.zeros(0, np.int64)
    for which, (name, share) in enumerate(SETS.items()):
        usable = np.nan_to_num(told[name].presence) > SURE
        usable &= data[name].column("split") == "train"
        keys = data[name].column("name" if name == "lfw" else "path")
        kept = np.nonzero(usable & ~held_out(keys, 20, 1))[0]
        if name == "lfw":
            aside = np.nonzero(usable & held_out(keys, 20, 1))[0]
        target = targets(told[name], shape, pitch_offset, away)
        index.append(np.stack([np.full_like(kept, which), kept], 1))
        rows.append(target[kept])
        # Turned heads are rare and count more.
        turned = 1 + np.minimum(np.abs(target[kept, POSE]), 45) / 15
        weights.append(share * turned / turned.sum())
    truth = targets(told["lfw"], shape, pitch_offset, away)[aside]
    recipe = recipe_from(options, "landmarks", weight_decay=0.01)
    crops = Crops([d.crops for d in data.values()], np.concatenate(index), np.concatenate(rows), Jitter(VIEW), recipe.seed, move)
    identity = torch.tensor([[1.0, 0, 0], [0, 1, 0]])

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        served = Served(model).eval()  # type: ignore[arg-type]
        parts = [served(plain(data["lfw"].crops, chunk), identity.expand(len(chunk), 2, 3)) for chunk in np.array_split(aside, 10)]
        points, pupils, pose = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        wanted = truth[:, :PUPILS].reshape(-1, POINTS, 2)
        size = np.linalg.norm(wanted[:, OUTER_CORNERS[1]] - wanted[:, OUTER_CORNERS[0]], axis=1)
        iris = truth[:, PUPILS:POSE].reshape(-1, 2, 3)
        sure = truth[:, POSE_WEIGHT] > 0
        return {
            "nme_percent": round(float((np.linalg.norm(points - wanted, axis=2).mean(1) / size).mean() * 100), 3),
            "pupils_percent": round(float((np.linalg.norm(pupils - iris, axis=2).mean(1) / size).mean() * 100), 3),
            "pose_degrees": round(float(np.abs(pose - truth[:, POSE:POSE_WEIGHT])[sure].mean()), 3),
        }

    net = train(
        recipe,
        started_from(Landmarks(), options.initial, crops, VIEW),
        VIEW,
        crops,
        np.concatenate(weights),
        loss,
        validate,
        options.output,
        options.device,
        options.workers,
    )
    example = (plain(data["lfw"].crops, aside[:2]).numpy(), np.tile(np.array([[0.7, -0.2, 30], [0.2, 0.7, 50]], np.float32), (2, 1, 1)))
    export(
        Served(net),  # type: ignore[arg-type]
        "face_landmarks",
        example,
        ("FACE_CROPS", "CROP_TO_IMAGE"),
        ["LANDMARKS", "PUPILS", "POSE"],
        0.05,
    )


if __name__ == "__main__":
    main()
