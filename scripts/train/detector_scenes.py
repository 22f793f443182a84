"""Compose detector training scenes: warped photographs, mosaics, close-ups and face-free pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from scripts.train.decoys import nothing, place_decoys
from scripts.train.detector_pictures import Picture
from scripts.train.photometry import degrade, paint
from scripts.train.repositories import decode

Image = NDArray[np.uint8]
Floats = NDArray[np.float32]

MIN_FACE_PX, MIN_VISIBLE = 6.0, 0.55
HEADS, HEAD_PX = 5000, 96.0  # kept decoded, for faces that are pasted
# How often a photograph is of which origin; origins that a machine lacks are left out.
SHARES = {
    "crowd": 0.32, "fairface": 0.18, "street": 0.14, "animals": 0.11, "celebrities": 0.06,
    "masks": 0.06, "lfw": 0.05, "maskon": 0.04, "spoof": 0.02, "utk": 0.02,
}  # fmt: skip
ALONE = {"lfw", "utk", "masks", "maskon", "spoof", "fairface", "celebrities"}  # pictures of one person


@dataclass(slots=True)
class Scene:
    """A canvas RGB-order-agnostic uint8 [S,S,3] with boxes [N,4], points [N,5,2] (NaN: unknown) and ignored boxes."""

    image: Image
    boxes: Floats
    points: Floats
    ignore: Floats


class SceneMaker:
    """Draws scenes of any size. Deterministic for a given generator."""

    def __init__(self, pictures: Sequence[Picture], weights: Sequence[Floats] | None = None) -> None:
        """`weights`: for each picture, how often each of its faces is shown, relative to the others [N]."""
        groups: dict[str, list[Picture]] = {}
        pictures = [_settled(picture) for picture in pictures]
        for picture in pictures:
            groups.setdefault(picture.origin, []).append(picture)
        self._groups = groups
        given = weights or [np.ones(len(picture.boxes), np.float32) for picture in pictures]
        self._face_odds = {id(picture): odds / odds.sum() for picture, odds in zip(pictures, given, strict=True) if len(odds)}
        odds = {id(picture): float(own.mean()) if len(own) else 1.0 for picture, own in zip(pictures, given, strict=True)}
        self._odds = {name: np.cumsum([odds[id(picture)] for picture in group]) for name, group in groups.items()}
        self._single = [p for p in pictures if len(p.boxes) == 1 and p.origin in ALONE]
        self._heads = [_stored(self._single[i]) for i in np.random.default_rng(1).permutation(len(self._single))[:HEADS]]
        self._crowded = [p for p in pictures if p.origin == "street" or (p.origin == "crowd" and len(p.boxes) > 2)]
        self._single_odds, self._crowded_odds = (np.cumsum([odds[id(p)] for p in some]) for some in (self._single, self._crowded))
        shares = {name: share for name, share in SHARES.items() if name in groups}
        self._shares = {name: share / sum(shares.values()) for name, share in shares.items()}

    def scene(self, side: int, rng: np.random.Generator) -> Scene:
        """One augmented scene of `side` px."""
        kind = rng.random()
        if kind < 0.26:
            scene = self._as_served(side, rng)
        elif kind < 0.44:
            scene = self._photo(side, rng)
        elif kind < 0.54:
            scene = self._mosaic(side, rng)
        elif kind < 0.60:
            scene = self._throng(side, rng)
        elif kind < 0.80:
            scene = self._close_up(side, rng)
        elif kind < 0.92:
            scene = without_faces(self._photo(side, rng) if rng.random() < 0.6 else self._close_up(side, rng), rng)
        else:
            scene = self._empty(side, rng)
        if kind < 0.80 and rng.random() < 0.5:
            self._paste(scene, rng)
        if rng.random() < 0.6:
            place_decoys(scene.image, np.concatenate([scene.boxes, scene.ignore]), rng)
        paint(scene.image, scene.boxes, scene.points, rng)
        scene.image = degrade(scene.image, rng, 0.7)
        return scene

    def _empty(self, side: int, rng: np.random.Generator) -> Scene:
        """No photograph of a face at all: what fills a frame otherwise, or an enlarged stretch of a background."""
        background = self._background(side, rng) if rng.random() < 0.5 else None
        none = np.zeros((0, 4), np.float32)
        scene = Scene(nothing(side, rng) if background is None else background, none, np.zeros((0, 5, 2), np.float32), none)
        if rng.random() < 0.4:
            place_decoys(scene.image, none, rng, largest=1.0)
        return scene

    def _pick(self, rng: np.random.Generator) -> Picture:
        names = list(self._shares)
        name = names[rng.choice(len(names), p=list(self._shares.values()))]
        return self._groups[name][_drawn(self._odds[name], rng)]

    def _face(self, picture: Picture, rng: np.random.Generator) -> int:
        return int(rng.choice(len(picture.boxes), p=self._face_odds[id(picture)])) if len(picture.boxes) else 0

    def _as_served(self, side: int, rng: np.random.Generator) -> Scene:
        """A photograph of many at about the size that a 640 px letterbox gives it: faces under 32 px, soft ones too."""
        picture = self._crowded[_drawn(self._crowded_odds, rng)]
        if not len(picture.boxes):
            return self._photo(side, rng)
        face = self._face(picture, rng)
        height = float(picture.boxes[face, 3] - picture.boxes[face, 1])
        return _place(picture, face, side, height * float(np.exp(rng.uniform(np.log(0.7), np.log(2.2)))), _angle(rng), None, rng)

    def _photo(self, side: int, rng: np.random.Generator) -> Scene:
        size = float(np.exp(rng.uniform(np.log(7), np.log(0.7 * side))))
        picture = self._pick(rng)
        return _place(picture, self._face(picture, rng), side, size, _angle(rng), self._background(side, rng), rng)

    def _close_up(self, side: int, rng: np.random.Generator) -> Scene:
        picture = self._single[_drawn(self._single_odds, rng)]
        return _place(picture, 0, side, side * rng.uniform(0.2, 0.97), _angle(rng), self._background(side, rng), rng)

    def _mosaic(self, side: int, rng: np.random.Generator) -> Scene:
        cells = int(rng.choice([2, 3, 4, 5], p=[0.42, 0.33, 0.17, 0.08]))
        cuts = [np.linspace(0, side, cells + 1).astype(int) for _ in range(2)]
        for cut in cuts:
            cut[1:-1] += rng.integers(-side // (5 * cells), side // (5 * cells) + 1, cells - 1)
        image, parts = np.zeros((side, side, 3), np.uint8), []
        for row in range(cells):
            for column in range(cells):
                left, right = cuts[0][column : column + 2]
                top, bottom = cuts[1][row : row + 2]
                part = self._cell(int(max(right - left, bottom - top)), rng)
                image[top:bottom, left:right] = part.image[: bottom - top, : right - left]
                parts.append(_crop(part, right - left, bottom - top, np.array([left, top], np.float32)))
        boxes, points, ignore = (np.concatenate([getattr(p, name) for p in parts]) for name in ("boxes", "points", "ignore"))
        return Scene(image, boxes, points, ignore)

    def _throng(self, side: int, rng: np.random.Generator) -> Scene:
        """Heads in rows, the nearer ones before the farther ones, as in a stand or a demonstration: faces that overlap."""
        scene = self._photo(side, rng)
        hidden = [0.0] * len(scene.boxes)  # share of each face that lies behind others
        face_px = float(np.exp(rng.uniform(np.log(9), np.log(side / 5))))
        row, bottom = rng.uniform(0.05, 0.5) * side, rng.uniform(0.6, 1.05) * side
        while row < bottom and face_px < side / 2 and len(scene.boxes) < 60:
            place = rng.uniform(-1, 1) * face_px
            while place < side:
                if rng.random() < 0.85:
                    head = _head(*self._heads[rng.integers(len(self._heads))], face_px * float(np.exp(rng.normal(0, 0.15))), rng)
                    _lay(scene, hidden, head, np.array([place, row + rng.normal(0, 0.25) * face_px]))
                place += face_px * rng.uniform(0.9, 2.2)
            row += face_px * rng.uniform(0.5, 1.6)
            face_px *= rng.uniform(1.0, 1.25)
        share = np.array(hidden)
        scene.ignore = np.concatenate([scene.ignore, scene.boxes[(share >= 0.35) & (share < 0.9)]])
        scene.boxes, scene.points = scene.boxes[share < 0.35], scene.points[share < 0.35]
        return scene

    def _paste(self, scene: Scene, rng: np.random.Generator) -> None:
        """Up to eight heads cut out as rectangles and laid on free places, in place: small faces without a photograph around them."""
        side = scene.image.shape[0]
        for _ in range(int(rng.integers(1, 9))):
            head = _head(*self._heads[rng.integers(len(self._heads))], float(np.exp(rng.uniform(np.log(9), np.log(0.3 * side)))), rng)
            height, width = head.image.shape[:2]
            if max(height, width) >= side:
                continue
            corner = rng.integers(0, [side - width, side - height])
            low, high = corner, corner + np.array([width, height])
            taken = np.concatenate([scene.boxes, scene.ignore])
            if ((taken[:, :2] < high) & (taken[:, 2:] > low)).all(1).any():
                continue
            scene.image[corner[1] : corner[1] + height, corner[0] : corner[0] + width] = head.image
            scene.boxes = np.concatenate([scene.boxes, head.boxes + np.tile(corner, 2).astype(np.float32)])
            scene.points = np.concatenate([scene.points, head.points + corner.astype(np.float32)])

    def _cell(self, side: int, rng: np.random.Generator) -> Scene:
        if rng.random() < 0.08:
            return without_faces(self._photo(side, rng), rng)
        size = float(np.exp(rng.uniform(np.log(7), np.log(0.9 * side))))
        picture = self._pick(rng)
        return _place(picture, self._face(picture, rng), side, size, _angle(rng), None, rng)

    def _background(self, side: int, rng: np.random.Generator) -> Image | None:
        """A stretch of a photograph that lies beside its faces, enlarged; None: plain colour."""
        if rng.random() < 0.5:
            return None
        name = str(rng.choice(["lfw", "crowd", "animals"]))
        group = self._groups[name if name in self._groups else "lfw"]
        picture = group[rng.integers(len(group))]
        image = decode(picture.data)
        if picture.origin in ("crowd", "animals") and not len(picture.boxes) + len(picture.ignore) and image is not None:
            return cv2.resize(image, (side, side)).astype(np.uint8)
        taken = np.concatenate([picture.boxes, picture.ignore])
        if image is None or not len(taken):
            return None
        left, right = int(taken[:, 0].min()) - 12, int(taken[:, 2].max()) + 12
        strip = image[:, :left] if left > image.shape[1] - right else image[:, right:]
        if min(strip.shape[:2]) < 24:
            return None
        return cv2.resize(strip, (side, side)).astype(np.uint8)


def _lay(scene: Scene, hidden: list[float], head: Scene, corner: NDArray[np.float64]) -> None:
    """Lay a head with shoulders, cut out softly, over the scene, in place, and add to `hidden` what it covers of the faces before it."""
    side = scene.image.shape[0]
    low = corner.round().astype(int)
    height, width = head.image.shape[:2]
    first, last = np.maximum(low, 0), np.minimum(low + np.array([width, height]), side)
    if (last <= first + 2).any():
        return
    box = head.boxes[0]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    mask = np.zeros((height, width), np.float32)
    reach = tuple(int(v) for v in np.maximum(half * [1.5, 1.45], 2))
    cv2.ellipse(mask, (int(middle[0]), int(middle[1] - 0.15 * half[1])), reach, 0, 0, 360, (1.0,), -1)
    across = np.array([-2.2, -0.8, 0.8, 2.2]) * half[0] + middle[0]
    shoulders = np.stack([across, [height, middle[1], middle[1], height]], 1)
    cv2.fillConvexPoly(mask, shoulders.round().astype(np.int32), (1.0,))
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.5, 0.04 * float(half[0])))
    seen = (slice(first[1] - low[1], last[1] - low[1]), slice(first[0] - low[0], last[0] - low[0]))
    window = scene.image[first[1] : last[1], first[0] : last[0]]
    alpha = soft[seen][..., None]
    window[:] = (window * (1 - alpha) + head.image[seen] * alpha).astype(np.uint8)
    body = np.concatenate([middle - half * 1.3 + low, middle + half * [1.3, 2.0] + low])
    boxes = scene.boxes
    common = (np.minimum(boxes[:, 2:], body[2:]) - np.maximum(boxes[:, :2], body[:2])).clip(0).prod(1)
    hidden[:] = (np.array(hidden) + common / (boxes[:, 2:] - boxes[:, :2]).prod(1).clip(1)).tolist()
    part = Scene(scene.image, head.boxes + np.tile(low, 2), head.points + low, np.zeros((0, 4), np.float32))
    new = _crop(part, side, side, np.zeros(2, np.float32))
    hidden += [0.0] * len(new.boxes)
    scene.boxes = np.concatenate([scene.boxes, new.boxes.astype(np.float32)])
    scene.points = np.concatenate([scene.points, new.points.astype(np.float32)])
    scene.ignore = np.concatenate([scene.ignore, new.ignore.astype(np.float32)])


def mirrored(scene: Scene) -> Scene:
    """The scene seen in a mirror."""
    width = scene.image.shape[1]
    turned = [np.stack([width - b[:, 2], b[:, 1], width - b[:, 0], b[:, 3]], 1).astype(np.float32) for b in (scene.boxes, scene.ignore)]
    points = (scene.points * [-1, 1] + [width, 0])[:, [1, 0, 2, 4, 3]].astype(np.float32)
    return Scene(np.ascontiguousarray(scene.image[:, ::-1]), turned[0], points, turned[1])


def _stored(picture: Picture) -> tuple[Image, Floats, Floats]:
    """The one face of a picture with what is around it, at most HEAD_PX high, decoded once: image, box [4], points [5,2]."""
    image = decode(picture.data)
    assert image is not None
    box = picture.boxes[0]
    low = (box[:2] - 0.8 * (box[2:] - box[:2])).clip(0).astype(int)
    high = np.minimum((box[2:] + 0.8 * (box[2:] - box[:2])).astype(int) + 1, image.shape[1::-1])
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = min(1.0, HEAD_PX / max(1.0, float(box[3] - box[1])))
    size = np.maximum((np.array(part.shape[1::-1]) * scale).round(), 4).astype(int)
    ratio = (size / np.array(part.shape[1::-1])).astype(np.float32)
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    corners = (box.reshape(2, 2) - low).clip(0) * ratio
    return small.astype(np.uint8), corners.reshape(4).astype(np.float32), ((picture.points[0] - low) * ratio).astype(np.float32)


def _head(image: Image, box: Floats, points: Floats, face_px: float, rng: np.random.Generator) -> Scene:
    """A stored head, `face_px` high, with a little or a lot around it, perhaps mirrored."""
    reach = (box[2:] - box[:2]) * rng.uniform(0.08, 0.8, 2)
    low = (box[:2] - reach).clip(0).astype(int)
    high = np.minimum((box[2:] + reach).astype(int) + 1, image.shape[1::-1])
    part = image[low[1] : high[1], low[0] : high[0]]
    scale = face_px / max(1.0, float(box[3] - box[1]))
    size = np.maximum((np.array(part.shape[1::-1]) * scale).round(), 4).astype(int)
    ratio = (size / np.array(part.shape[1::-1])).astype(np.float32)
    small = cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    corners, five = ((box.reshape(2, 2) - low).clip(0) * ratio).reshape(1, 4), (points - low) * ratio
    if rng.random() < 0.5:
        small, width = small[:, ::-1], small.shape[1]
        corners = np.array([[width - corners[0, 2], corners[0, 1], width - corners[0, 0], corners[0, 3]]])
        five = np.stack([width - five[:, 0], five[:, 1]], 1)[[1, 0, 2, 4, 3]]
    none = np.zeros((0, 4), np.float32)
    return Scene(small.astype(np.uint8), corners.astype(np.float32), five[None].astype(np.float32), none)


def _settled(picture: Picture) -> Picture:
    """Without doubtful boxes that are a second answer for a certain face."""
    middle = (picture.ignore[:, None, :2] + picture.ignore[:, None, 2:]) / 2
    inside = ((middle > picture.boxes[None, :, :2]) & (middle < picture.boxes[None, :, 2:])).all(2).any(1)
    return replace(picture, ignore=picture.ignore[~inside])


def _drawn(cumulative: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index with the odds whose running sum is given."""
    return int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))


def _angle(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.68:
        return float(rng.normal(0, 7))
    if kind < 0.93:
        return float(rng.uniform(-45, 45))
    return float(rng.uniform(-100, 100)) if kind < 0.97 else float(rng.uniform(-180, 180))


def _place(
    picture: Picture, face: int, side: int, face_px: float, angle: float, background: Image | None, rng: np.random.Generator
) -> Scene:
    """Warp a photograph so that face number `face` of it is about `face_px` high somewhere on the canvas."""
    image = decode(picture.data)
    assert image is not None
    box = picture.boxes[face] if len(picture.boxes) else np.array([0, 0, image.shape[1] / 4, image.shape[0] / 4], np.float32)
    scale = face_px / max(1.0, float(box[3] - box[1]))
    if rng.random() < 0.85:  # mostly no small picture on a plain ground
        scale = max(scale, 0.85 * side / max(image.shape[:2]))
        face_px = scale * float(box[3] - box[1])
    scale = min(scale, 8.0)
    centre = (box[:2] + box[2:]) / 2
    margin = min(0.5 * side, face_px * 0.5)
    target = rng.uniform(margin, side - margin, 2) if rng.random() < 0.95 else rng.uniform(0, side, 2)
    flip = rng.random() < 0.5
    turn = np.deg2rad(angle)
    matrix = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    if flip:
        matrix = matrix @ np.diag([-1.0, 1.0])
    stretch = np.exp(rng.normal(0, 0.12))
    matrix = np.diag([stretch, 1 / stretch]) @ matrix
    shift = target - matrix @ centre
    shrunk, matrix_used = _pyramid(image, matrix, scale)
    full = np.hstack([matrix_used, shift[:, None]]).astype(np.float32)
    fill = tuple(int(v) for v in rng.integers(0, 256, 3)) if rng.random() < 0.6 else (0, 0, 0)
    canvas = cv2.warpAffine(shrunk, full, (side, side), flags=cv2.INTER_LINEAR, borderValue=fill)
    if background is not None:
        inside = cv2.warpAffine(np.full(shrunk.shape[:2], 255, np.uint8), full, (side, side), flags=cv2.INTER_NEAREST)
        canvas[inside == 0] = background[inside == 0]
    points = picture.points @ matrix.T.astype(np.float32) + shift.astype(np.float32)
    if flip:
        points = points[:, [1, 0, 2, 4, 3]]
    scene = Scene(
        canvas.astype(np.uint8), _turned(picture.boxes, matrix, shift), points.astype(np.float32), _turned(picture.ignore, matrix, shift)
    )
    return _crop(scene, side, side, np.zeros(2, np.float32))


def _pyramid(image: Image, matrix: NDArray[np.float64], scale: float) -> tuple[Image, NDArray[np.float64]]:
    """Shrink by averaging before a strong reduction, so that the warp does not alias."""
    if scale > 0.6:
        return image, matrix
    factor = max(scale * 1.3, 2 / min(image.shape[:2]))
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    ratio = np.array([size[0] / image.shape[1], size[1] / image.shape[0]])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8), matrix / ratio


def _turned(boxes: Floats, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> Floats:
    """Boxes around the turned ellipses that the upright boxes inscribe."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2 @ matrix.T + shift
    half = np.sqrt(((boxes[:, 2:] - boxes[:, :2]) / 2) ** 2 @ (matrix**2).T)
    return np.hstack([centre - half, centre + half]).astype(np.float32)


def _crop(scene: Scene, width: int, height: int, offset: Floats) -> Scene:
    """Keep what is visible in [0,width]x[0,height], demote the rest to ignored, then move by `offset`."""
    limit = np.array([width, height, width, height], np.float32)
    clipped = scene.boxes.clip(0, limit)
    area, visible = ((b[:, 2:] - b[:, :2]).clip(0).prod(1) for b in (scene.boxes, clipped))
    keep = (visible >= MIN_VISIBLE * area) & ((scene.boxes[:, 2:] - scene.boxes[:, :2]).min(1, initial=1e9) >= MIN_FACE_PX)
    ignore = np.concatenate([clipped[~keep], scene.ignore.clip(0, limit)])
    ignore = ignore[(ignore[:, 2:] - ignore[:, :2]).min(1, initial=1e9) > 1]
    shift = np.tile(offset, 2)
    return Scene(scene.image, clipped[keep] + shift, scene.points[keep] + offset, ignore + shift)


def without_faces(scene: Scene, rng: np.random.Generator) -> Scene:
    """Cover every face with texture: what remains are bodies, hands, clothes, streets and letters.

    The cover is a rectangle, or an oval that leaves hair, ears and collar: a head of which only the face is missing is no face.
    """
    for box in np.concatenate([scene.boxes, scene.ignore]):
        if rng.random() < 0.5:
            _cover_oval(scene.image, box, rng)
            continue
        x1, y1, x2, y2 = box.round().astype(int)
        grow_x, grow_y = max(2, (x2 - x1) // 4), max(2, (y2 - y1) // 4)
        left, top = max(0, x1 - grow_x), max(0, y1 - grow_y)
        right, bottom = x2 + grow_x, y2 + grow_y
        patch = scene.image[top:bottom, left:right]
        if patch.size:
            patch[:] = _texture(patch.shape[0], patch.shape[1], rng)
    place_decoys(scene.image, np.zeros((0, 4), np.float32), rng, most=20, largest=1.0)
    none = np.zeros((0, 4), np.float32)
    return Scene(scene.image, none, np.zeros((0, 5, 2), np.float32), none)


def _cover_oval(image: Image, box: Floats, rng: np.random.Generator) -> None:
    """A turned oval over the whole face, in place: one colour (often that of the skin), a gradient, or texture."""
    half = (box[2:] - box[:2]) / 2 * rng.uniform(1.2, 1.6)
    middle = (box[:2] + box[2:]) / 2
    low, high = (middle - half.max()).clip(0).astype(int), (middle + half.max() + 1).astype(int)
    patch = image[low[1] : high[1], low[0] : high[0]]
    if not patch.size:
        return
    mask = np.zeros(patch.shape[:2], np.uint8)
    (x, y), (across, down) = (middle - low).round().astype(int).tolist(), half.round().astype(int).clip(1).tolist()
    cv2.ellipse(mask, (x, y), (across, down), float(rng.uniform(-20, 20)), 0, 360, (255,), -1)
    inside = mask > 0
    if not inside.any():
        return
    kind = rng.random()
    if kind < 0.7:
        colour = patch[inside].mean(0) * rng.uniform(0.7, 1.2) if kind < 0.3 else rng.uniform(0, 255, 3)
        ramp = np.linspace(-1, 1, mask.shape[0])[:, None, None] * (rng.uniform(-60, 60) if kind > 0.5 else 0)
        cover = np.broadcast_to(colour + ramp, patch.shape).clip(0, 255).astype(np.uint8)
    else:
        cover = _texture(patch.shape[0], patch.shape[1], rng)
    patch[inside] = cover[inside]


def _texture(height: int, width: int, rng: np.random.Generator) -> Image:
    grain = int(rng.integers(2, 12))
    coarse = rng.integers(0, 256, (grain, grain, 3)).astype(np.uint8)
    coarse = (coarse * rng.uniform(0.1, 1) + rng.integers(0, 120, 3)).clip(0, 255).astype(np.uint8)
    kind = cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
    return cv2.resize(coarse, (width, height), interpolation=kind).astype(np.uint8)
