"""Train and export `face_demographics`: age, gender, race. Run: python -m scripts.train.demographics --help."""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from scripts.train.attribute_net import View, look
from scripts.train.attribute_training import held_out, recipe_from, started_from, train
from scripts.train.command import common_arguments, sources_from, training_arguments
from scripts.train.crop_batches import Crops, Jitter, plain
from scripts.train.efficientnet_lite import FEATURES, EfficientNetLite0, from_imagenet
from scripts.train.export import export
from scripts.train.face_crops import AGE, CropSet, load
from scripts.train.fairface import BAND_EDGES, BANDS, RACES, SEVEN, UTK_RACES, served_race
from scripts.train.taught import taught

VIEW = View(size=112)  # of training, where crops are also scaled
# What is served sees a little less, which at 96 px was as good on held-out faces (gender .905 for .903, races .579 for .574).
SERVED_VIEW = View(left=4, top=4, side=152, size=112)
AGES = 101
SHARES = {"fairface": 0.58, "utkface": 0.24, "lfw": 0.08, "celeba10k": 0.10}  # of the samples
IN_RANGE = 0.8  # share of held-out faces whose age lies in AGE_RANGE
TAUGHT_SIGMA, TAUGHT_WEIGHT = 4.0, 0.4  # of a teacher's age, years
HELD_OUT_ONE_IN = {"fairface": 32, "utkface": 24}
# Columns of a target row. A race is a set of the seven, any of which is right; an age is a band, and where it is known a year.
AGE_LOW, AGE_HIGH, AGE_WEIGHT, AGE_YEARS, AGE_SIGMA, YEARS_WEIGHT, IS_MALE, GENDER_WEIGHT, RACE_WEIGHT, RACE_FIRST = range(10)
COLUMNS = RACE_FIRST + len(SEVEN)

Outputs = tuple[Tensor, Tensor, Tensor]
Floats = NDArray[np.float32]


class Demographics(nn.Module):
    """RGB -128..128 / 64 [B,3,S,S] -> logits of 101 ages, 2 genders (male, female), 7 races (SEVEN)."""

    def __init__(self, trunk: EfficientNetLite0 | None = None, frozen_blocks: int = 3) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0() if trunk is None else trunk
        self.trunk.freeze(frozen_blocks)
        self.drop = nn.Dropout(0.2)
        self.age, self.gender, self.race = nn.Linear(FEATURES, AGES), nn.Linear(FEATURES, 2), nn.Linear(FEATURES, len(SEVEN))

    def forward(self, x: Tensor) -> Outputs:
        kept = self.drop(self.trunk(x / 2))  # ImageNet's trunk knows values from -1 to 1
        return self.age(kept), self.gender(kept), self.race(kept)


def both_ways(logits: Tensor) -> Tensor:
    """Logits [2B,K] of crops and of their mirror images -> mean probabilities [B,K]."""
    return logits.softmax(1).reshape(2, -1, logits.shape[1]).mean(0)


class Served(nn.Module):
    """FACE_CROPS UINT8 [B,160,160,3] -> AGE [B,1] and AGE_RANGE [B,2] years, GENDER [B,2] (male, female), RACE [B,6].

    Everything is the mean over the crop and its mirror image. The age is the median of its distribution, the range what lies between
    two of its quantiles, `tail` from either end. Logits are divided by `temperatures` (gender, race; Guo et al., 2017).
    """

    def __init__(self, net: Demographics, tail: float = 0.1, temperatures: tuple[float, float] = (1.0, 1.0)) -> None:
        super().__init__()
        self.net = net
        self.temperatures = (1.0, *temperatures)
        self.register_buffer("quantiles", torch.tensor([0.5, tail, 1 - tail]))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        seen = look(crops, SERVED_VIEW)
        answers = self.net(torch.cat([seen, seen.flip(3)]))
        age, gender, seven = (both_ways(logits / t) for logits, t in zip(answers, self.temperatures, strict=True))
        below = age.cumsum(1) - age
        # Of each year of age the share that lies under the quantile; the year N reaches from N - 0.5 to N + 0.5.
        passed = ((self.quantiles[:, None, None] - below) / age.clamp(min=1e-9)).clamp(0, 1)
        years = (passed.sum(2).T - 0.5).clamp(min=0)
        return years[:, :1], years[:, 1:], gender, torch.cat([seven[:, :2].sum(1, keepdim=True), seven[:, 2:]], 1)


def loss(outputs: Outputs, target: Tensor) -> Tensor:
    """Likelihood of the age's band and of the set of races; label distribution (Gao et al., 2018) where the year is known."""
    age, gender, race = outputs
    years = torch.arange(AGES, device=age.device).float()
    log_age = age.log_softmax(1)
    inside = (years >= target[:, AGE_LOW : AGE_LOW + 1]) & (years <= target[:, AGE_HIGH : AGE_HIGH + 1])
    band_loss = -log_age.masked_fill(~inside, -30.0).logsumexp(1)
    true_age = target[:, AGE_YEARS : AGE_YEARS + 1]
    wanted = (-0.5 * ((years - true_age) / target[:, AGE_SIGMA : AGE_SIGMA + 1]) ** 2).softmax(1)
    expected = (log_age.exp() * years).sum(1)
    nearest = torch.maximum(torch.minimum(expected.detach(), target[:, AGE_HIGH]), target[:, AGE_LOW])
    outside = F.smooth_l1_loss(expected, nearest, reduction="none")
    years_loss = 0.5 * -(wanted * log_age).sum(1) + 0.1 * F.smooth_l1_loss(expected, true_age[:, 0], reduction="none")
    male = target[:, IS_MALE] * 0.98 + 0.01
    gender_loss = -(torch.stack([male, 1 - male], 1) * gender.log_softmax(1)).sum(1)
    allowed = target[:, RACE_FIRST:] > 0
    log_race = race.log_softmax(1)
    race_loss = -log_race.masked_fill(~allowed, -30.0).logsumexp(1) * 0.95 - 0.05 * log_race.mean(1)
    total: Tensor = (
        ((band_loss + 0.05 * outside) * target[:, AGE_WEIGHT]).mean()
        + (years_loss * target[:, YEARS_WEIGHT]).mean()
        + (gender_loss * target[:, GENDER_WEIGHT]).mean()
        + (race_loss * target[:, RACE_WEIGHT]).mean()
    )
    return total


def _blank(data: CropSet) -> NDArray[np.float32]:
    rows = np.zeros((len(data.rows), COLUMNS), np.float32)
    rows[:, AGE_HIGH], rows[:, AGE_YEARS], rows[:, AGE_SIGMA], rows[:, RACE_FIRST:] = 100, 40, 6, 1
    return rows


def fairface_targets(data: CropSet, said: Floats) -> NDArray[np.float32]:
    """All three as labelled; the age is a band, and within it the years are the teacher's."""
    rows = _blank(data)
    rows[:, [AGE_LOW, AGE_HIGH]] = [BANDS[band] for band in data.column("age")]
    rows[:, IS_MALE] = data.column("gender") == "Male"
    rows[:, RACE_FIRST:] = data.column("race")[:, None] == np.array(SEVEN)
    rows[:, [AGE_WEIGHT, RACE_WEIGHT]], rows[:, GENDER_WEIGHT] = 1, np.where(data.column("age") == "0-2", 0.5, 1)
    return _with_years(rows, said)


def _with_years(rows: NDArray[np.float32], said: Floats) -> NDArray[np.float32]:
    """The teacher's years, moved into the band, as a soft second label."""
    known = np.isfinite(said[:, AGE])
    rows[known, AGE_YEARS] = said[known, AGE].clip(rows[known, AGE_LOW], rows[known, AGE_HIGH])
    rows[known, AGE_SIGMA], rows[known, YEARS_WEIGHT] = TAUGHT_SIGMA, TAUGHT_WEIGHT
    return rows


def utk_targets(data: CropSet, _: Floats) -> NDArray[np.float32]:
    """True labels; the gender of the smallest children counts half."""
    rows = _blank(data)
    age = data.column("age").astype(np.float32)
    rows[:, AGE_YEARS], rows[:, AGE_SIGMA], rows[:, YEARS_WEIGHT] = age.clip(0, AGES - 1), 1.0 + 0.05 * age, 1
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = data.column("gender") == "M", np.where(age < 4, 0.5, 1.0)
    rows[:, RACE_FIRST:] = [[race in UTK_RACES[label] for race in SEVEN] for label in data.column("race")]
    rows[:, RACE_WEIGHT] = np.where(data.column("race") == "Other", 0.5, 1)
    return rows


def lfw_targets(data: CropSet, said: Floats) -> NDArray[np.float32]:
    """Gender from the name; the teacher's years."""
    rows = _blank(data)
    gender = data.column("gender")
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = gender == "M", np.isin(gender, ["M", "F"])
    return _with_years(rows, said)


def celeba_targets(data: CropSet, said: Floats) -> NDArray[np.float32]:
    """Gender as labelled; the teacher's years."""
    rows = _blank(data)
    rows[:, IS_MALE], rows[:, GENDER_WEIGHT] = data.column("Male") == "1", 1
    return _with_years(rows, said)


TARGETS = {"fairface": fairface_targets, "utkface": utk_targets, "lfw": lfw_targets, "celeba10k": celeba_targets}


def sampling_weights(names: dict[str, NDArray[np.str_]]) -> NDArray[np.float64]:
    """SHARES by set; within a set each group `names` (race, age band, sex) by the square root of its size."""
    parts = []
    for name, groups in names.items():
        share = SHARES[name]
        _, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
        weight = 1 / np.sqrt(counts[place])
        parts.append(share * weight / weight.sum())
    return np.concatenate(parts)


def _groups(name: str, data: CropSet) -> NDArray[np.str_]:
    if name == "fairface":
        columns = [data.column("race"), data.column("age"), data.column("gender")]
    elif name == "utkface":
        columns = [
            data.column("race"),
            np.digitize(data.column("age").astype(int), (3, 10, 20, 30, 40, 50, 60, 70, 80)).astype(str),
            data.column("gender"),
        ]
    else:
        columns = [data.column("gender" if name == "lfw" else "Male")]
    return np.array(["/".join(parts) for parts in zip(*columns, strict=True)])


def validator(fair: CropSet, fair_rows: NDArray[np.int64], utk: CropSet, utk_rows: NDArray[np.int64], served_on: str) -> object:
    """Accuracy on held-out slices of the training rows."""
    band_of = np.array([list(BANDS).index(band) for band in fair.column("age")[fair_rows]])
    fair_male, fair_race = fair.column("gender")[fair_rows] == "Male", fair.column("race")[fair_rows]
    six = np.array([RACES.index(served_race(race)) for race in fair_race])
    ages, male = utk.column("age").astype(np.float32)[utk_rows], utk.column("gender")[utk_rows] == "M"

    @torch.no_grad()
    def validate(model: nn.Module) -> dict[str, float]:
        model.eval()
        served = Served(model).to(served_on).eval()  # type: ignore[arg-type]

        def answers(data: CropSet, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
            chunks = [served(plain(data.crops, chunk).to(served_on)) for chunk in np.array_split(rows, max(1, len(rows) // 64))]
            return tuple(torch.cat(part).cpu().numpy() for part in zip(*chunks, strict=True))

        age, _, gender, race = answers(fair, fair_rows)
        right, grown = (gender[:, 0] > 0.5) == fair_male, band_of >= 3
        said = np.digitize(np.round(age[:, 0]), BAND_EDGES)
        utk_age, _, utk_gender, _ = answers(utk, utk_rows)
        return {
            "fairface_gender_adults": round(float(right[grown].mean()), 4),
            "fairface_gender_worst": round(min(float(right[grown & (fair_race == race)].mean()) for race in SEVEN), 4),
            "fairface_race": round(float(np.mean([(race.argmax(1) == r)[six == r].mean() for r in range(6)])), 4),
            "fairface_band": round(float((said == band_of).mean()), 4),
            "fairface_band_within_one": round(float((abs(said - band_of) <= 1).mean()), 4),
            "utkface_age_mae": round(float(np.abs(utk_age[:, 0] - ages).mean()), 3),
            "utkface_age_mae_60": round(float(np.abs(utk_age[:, 0] - ages)[ages >= 60].mean()), 3),
            "utkface_gender_adults": round(float(((utk_gender[:, 0] > 0.5) == male)[ages >= 18].mean()), 4),
        }

    return validate


@torch.no_grad()
def settled(net: Demographics, fair: CropSet, fair_rows: NDArray[np.int64], utk: CropSet, utk_rows: NDArray[np.int64]) -> Served:
    """What is served: temperatures by the likelihood of held-out FairFace faces, the range by held-out UTKFace ages."""
    net = net.cpu().eval()

    def logits(data: CropSet, rows: NDArray[np.int64]) -> list[Tensor]:
        parts = []
        for chunk in np.array_split(rows, max(1, len(rows) // 64)):
            seen = look(plain(data.crops, chunk), SERVED_VIEW)
            parts.append([answer.reshape(2, len(chunk), -1) for answer in net(torch.cat([seen, seen.flip(3)]))])
        return [torch.cat(part, 1).reshape(-1, part[0].shape[2]) for part in zip(*parts, strict=True)]

    _, gender, race = logits(fair, fair_rows)
    male = torch.from_numpy((fair.column("gender")[fair_rows] != "Male").astype(np.int64))
    seven = torch.tensor([SEVEN.index(name) for name in fair.column("race")[fair_rows]])
    warmest = [_temperature(answer, truth) for answer, truth in ((gender, male), (race, seven))]
    ages = torch.from_numpy(utk.column("age")[utk_rows].astype(np.float32))[:, None]
    chance = both_ways(logits(utk, utk_rows)[0])
    # The share of the distribution under the true age, half of the year itself counted: inside the range when not in a tail.
    under = (chance * ((torch.arange(AGES) < ages).float() + 0.5 * (torch.arange(AGES) == ages).float())).sum(1)
    tail = float(torch.minimum(under, 1 - under).quantile(1 - IN_RANGE))
    print(f"temperatures {warmest}, tails {tail:.3f}")  # noqa: T201
    return Served(net, tail, (warmest[0], warmest[1]))


def _temperature(logits: Tensor, truth: Tensor) -> float:
    """By which logits [2B,K] are divided so that the truth [B] is most likely."""
    tried = np.arange(0.6, 2.5, 0.05).tolist()
    losses = [float(F.nll_loss(both_ways(logits / t).clamp(min=1e-6).log(), truth)) for t in tried]
    return float(tried[int(np.argmin(losses))])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    common_arguments(parser)
    training_arguments(parser, 12, 20_000)
    parser.add_argument("--sets", nargs="+", choices=SHARES, default=list(SHARES))
    options = parser.parse_args()
    sources = sources_from(options)
    sets = {name: load(sources, name) for name in options.sets}
    usable = {name: data.found & (data.column("split") == "train") for name, data in sets.items()}
    aside = {name: held_out(sets[name].column("path"), one_in) for name, one_in in HELD_OUT_ONE_IN.items()}
    rows = {name: np.nonzero(ours & ~aside[name] if name in aside else ours)[0] for name, ours in usable.items()}
    said = {name: np.zeros(0, np.float32) if name == "utkface" else taught(sources, name) for name in sets}
    targets = np.concatenate([TARGETS[name](data, said[name])[rows[name]] for name, data in sets.items()])
    index = np.concatenate([np.stack([np.full_like(chosen, which), chosen], 1) for which, chosen in enumerate(rows.values())])
    recipe = recipe_from(options, "demographics", average_decay=0.998)
    crops = Crops([data.crops for data in sets.values()], index, targets, Jitter(VIEW, 0.4, 1.6), recipe.seed)
    kept_back = {name: np.nonzero(usable[name] & left)[0] for name, left in aside.items()}
    net = train(
        recipe,
        started_from(Demographics(None if options.initial else from_imagenet()), options.initial, crops, VIEW),
        VIEW,
        crops,
        sampling_weights({name: _groups(name, data)[rows[name]] for name, data in sets.items()}),
        loss,
        validator(sets["fairface"], kept_back["fairface"], sets["utkface"], kept_back["utkface"], options.device),  # type: ignore[arg-type]
        options.output,
        options.device,
        options.workers,
    )
    example = plain(sets["fairface"].crops, rows["fairface"][:2]).numpy()
    final = settled(net, sets["fairface"], kept_back["fairface"], sets["utkface"], kept_back["utkface"])  # type: ignore[arg-type]
    export(final, "face_demographics", example, "FACE_CROPS", ["AGE", "AGE_RANGE", "GENDER", "RACE"], 0.02)


if __name__ == "__main__":
    main()
