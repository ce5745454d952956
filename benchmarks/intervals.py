"""How often a 95% interval holds the number of the population: the method before beside the method now.

    python benchmarks/intervals.py [--classes 3 20 80] [--images 100 500] [--samples 100] [--metrics coco ap_tau ...]
    python benchmarks/intervals.py --write FOLDER

A population of 3,000 images is made for each number of classes: about 8 objects an image, classes by Zipf's law (the
rarest of 80 classes has 2 objects in 100 images), images and classes that are easier or harder than others, detections
that are shifted, doubled, of the wrong class, missed or made up. There are two models, A and B, of which B is a little
better. Samples are drawn from it with replacement, so the population is endless and its own numbers are the truth.

The table gives of each number the truth, what samples have beyond it on average (its bias), what `evaluate` says of
that bias, how many samples have an interval that holds the truth, before (the middle 95% of bootstrap draws, the
percentile interval) and now (`apiece.metrics._kit.half_samples`; of those samples that have one), and how many samples
have one now. Then the same for B - A, as `compare` gives it. "Of a class" pools all classes. With 100 samples a share
of 95% is known to 4 points either way (twice its standard error).

It calls the metrics, the halves and the differences of apiece itself; nothing of them is written anew here.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apiece import formats
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.evaluation import difference
from apiece.metrics import Batch, Halves, Metric, Settings, load
from apiece.metrics._kit.half_samples import halved
from apiece.metrics.contract import Number, Resampling

POPULATION = 3000
SIZE = (360, 480)
METRICS = ("coco", "ap_tau", "confusion", "counts")
PER_CLASS = ("mask_ap", "mask_ap50", "ap_tau50", "confusion_recall")
_DRAWS = 200
_ENDS = (0.025, 0.975)

Image = tuple[Instances, Instances, Instances]
"""Truth, what A found, what B found."""
Name = tuple[str | None, str]
"""Class (None: all), and key of a number."""


def population(classes: int, images: int = POPULATION, seed: int = 0) -> list[Image]:
    """Return truth, and what A and B find in it, of ``images`` images."""
    rng = np.random.default_rng([seed, classes])
    share = 1 / np.arange(1, classes + 1)
    scene = _Scene(rng, tuple(f"class {k}" for k in range(classes)), share / share.sum(), rng.normal(0, 0.6, classes))
    return [scene.image() for _ in range(images)]


@dataclass(frozen=True)
class _Scene:
    rng: np.random.Generator
    classes: tuple[str, ...]
    share: np.ndarray
    ease: np.ndarray

    def image(self) -> Image:
        rng, mood = self.rng, self.rng.normal(0, 0.6)
        label, centre, side = self._objects(rng.poisson(8))
        ease = self.ease[label] + mood + rng.normal(0, 0.7, len(label))
        strays = (*self._objects(rng.poisson(3 * np.exp(-0.5 * mood))), rng.normal(-1.2, 1, 100))
        truth = Instances(_boxes(centre, side), label, self.classes)
        a, b = (self._found(label, centre, side, ease + gain, strays) for gain in (0.0, 0.15))
        return truth, a, b

    def _objects(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class, centre and sides of each."""
        label = self.rng.choice(len(self.classes), number, p=self.share)
        centre = self.rng.uniform(0, 1, (number, 2)) * SIZE[::-1]
        side = np.exp(self.rng.uniform(np.log(16), np.log(180), (number, 1)) + self.rng.normal(0, 0.2, (number, 2)))
        return label, centre, side

    def _found(
        self, label: np.ndarray, centre: np.ndarray, side: np.ndarray, ease: np.ndarray, strays: tuple[np.ndarray, ...]
    ) -> Instances:
        """What one model finds: easy objects more often, with better boxes and higher scores, some of them twice."""
        rng = self.rng
        ease = ease + rng.normal(0, 0.5, len(ease))
        times = (rng.random(len(ease)) < 1 / (1 + np.exp(-1.3 - ease))) * (1 + (rng.random(len(ease)) < 0.12))
        row = np.repeat(np.arange(len(ease)), times)
        noise = 0.16 * np.exp(-0.45 * ease[row])[:, None]
        moved = centre[row] + 0.6 * noise * side[row] * rng.normal(0, 1, (len(row), 2))
        grown = side[row] * np.exp(noise * rng.normal(0, 1, (len(row), 2)))
        named = np.where(rng.random(len(row)) < 0.1, rng.choice(len(self.classes), len(row), p=self.share), label[row])
        logit = 0.4 + 0.9 * ease[row] + rng.normal(0, 0.9, len(row))
        kept = np.flatnonzero(rng.random(len(strays[0])) < 0.7)
        labels, moved, grown, logit = (
            np.concatenate([own, stray[kept]]) for own, stray in zip((named, moved, grown, logit), strays, strict=True)
        )
        return Instances(_boxes(moved, grown), labels, self.classes, 1 / (1 + np.exp(-logit)))


def _boxes(centre: np.ndarray, side: np.ndarray) -> Masks:
    low = np.clip(np.floor(centre - side / 2), 0, np.array(SIZE[::-1]) - 2)
    high = np.clip(np.ceil(centre + side / 2), low + 1, SIZE[::-1])
    return Masks.from_boxes(np.concatenate([low, high], 1).astype(int), SIZE)


def fed(images: list[Image], side: int, names: tuple[str, ...]) -> list[Metric]:
    """Return the metrics after they took in the images, and what one side, 1 or 2, found there."""
    metrics = [load(name)(images[0][0].classes, Settings(kinds=("mask",), conf=0.5)) for name in names]
    for start in range(0, len(images), 256):
        pairs = [(image[0], image[side]) for image in images[start : start + 256]]
        batch = Batch.of(start, pairs, images[0][0].classes)
        for metric in metrics:
            metric.update(batch)
    return metrics


def numbers(metrics: list[Metric], weights: np.ndarray) -> dict[Name, np.ndarray]:
    """Return every number on each draw, float64 (draws,)."""
    found: dict[Name, np.ndarray] = {}
    for metric in metrics:
        if isinstance(metric, Resampling):
            drawn = metric.resample(weights)
            found |= {(None, key): values for key, values in drawn.pooled().items()}
            for label, of_class in drawn.per_class.items():
                found |= {(label, key): v for key, v in of_class.items() if key in PER_CLASS}
    return found


@dataclass
class Tally:
    """What happened to one number, or to one number of all classes, over the samples."""

    beyond: list[float] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    before: list[bool] = field(default_factory=list)
    now: list[bool] = field(default_factory=list)
    given: list[bool] = field(default_factory=list)

    def add(self, truth: float, value: float, bias: float, drawn: np.ndarray, span: tuple[float, float] | None) -> None:
        """Take in one sample."""
        if not np.isfinite([truth, value]).all():
            return
        self.beyond.append(value - truth)
        self.said.append(bias)
        known = drawn[np.isfinite(drawn)]
        if len(known):
            low, high = np.quantile(known, _ENDS)
            self.before.append(bool(low <= truth <= high))
        self.given.append(span is not None)
        if span is not None:
            self.now.append(span[0] <= truth <= span[1])

    def cells(self) -> list[str]:
        """Return the bias, the bias that `evaluate` states, coverage before and now, and the share with an interval."""
        now = f"{np.mean(self.now):4.0%}" if len(self.now) > 20 else "   –"
        return [f"{np.mean(self.beyond):+8.4f}", f"{np.nanmean(self.said):+8.4f}", f"{np.mean(self.before):6.0%}", now,
                f"{np.mean(self.given):6.0%}"]  # fmt: skip


def simulate(images: list[Image], count: int, samples: int, names: tuple[str, ...]) -> tuple[dict, dict]:
    """Return the truth of A by number, and the tallies of A and of B - A by side and key."""
    every = np.ones((1, len(images)), np.int32)
    truth = [{name: v[0] for name, v in numbers(fed(images, side, names), every).items()} for side in (1, 2)]
    about: dict[str, Number] = {}
    for metric in fed(images[:2], 1, names):
        about |= metric.compute().about
    for side in truth:
        side.update({n: v * count / len(images) for n, v in side.items() if about.get(n[1], Number()).unit == "count"})
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    rng = np.random.default_rng([len(images[0][0].classes), count])
    for sample in range(samples):
        chosen = [images[i] for i in rng.integers(0, len(images), count).tolist()]
        weights = rng.multinomial(count, np.full(count, 1 / count), _DRAWS).astype(np.int32)
        metrics = [fed(chosen, side, names) for side in (1, 2)]
        drawn = [numbers(side, weights) for side in metrics]
        halves = [dict(_flat(halved(side, about, count, _DRAWS, sample))) for side in metrics]
        for name, a in halves[0].items():
            kind = name[1] if name[0] is None else f"{name[1]} of a class"
            b = halves[1][name]
            tallies["A", kind].add(truth[0][name], a.value, a.bias, drawn[0][name], a.interval)
            found, change = difference(a, b), b - a
            span = None if np.isnan(found.low) else (found.low, found.high)
            gain = truth[1][name] - truth[0][name]
            tallies["B - A", kind].add(gain, change.value, change.bias, drawn[1][name] - drawn[0][name], span)
    return truth[0], tallies


def _flat(halves: Mapping[str | None, Mapping[str, Halves]]) -> Iterator[tuple[Name, Halves]]:
    for label, by_key in halves.items():
        yield from (((label, key), half) for key, half in by_key.items() if label is None or key in PER_CLASS)


def write(images: list[Image], folder: Path) -> None:
    """Write truth and the predictions of A and B as files, for ``apiece evaluate`` and ``apiece compare``."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = [ImageRef(folder / f"{i}.png", f"{i}.png", SIZE, i + 1) for i in range(len(images))]
    for side, name in enumerate(("truth", "a", "b")):
        records = [(ref, image[side]) for ref, image in zip(refs, images, strict=True)]
        formats.write(records, folder / f"{name}.json", "coco", classes=images[0][0].classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 20, 80])
    parser.add_argument("--images", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--metrics", nargs="+", default=METRICS)
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write 400 images with 3 classes")
    options = parser.parse_args()
    if options.write:
        write(population(3, 400), options.write)
        return
    for classes in options.classes:
        images = population(classes)
        for count in options.images:
            truth, tallies = simulate(images, count, options.samples, tuple(options.metrics))
            print(f"\n{classes} classes, {count} images, {options.samples} samples", flush=True)
            head = "    bias     said  before   now  given"
            print(f"{'':26}   truth{head}   B - A:{head[4:]}")
            for side, kind in tallies:
                if side == "A":
                    value = truth.get((None, kind))
                    shown = "        " if value is None else f"{value:8.3f}"
                    cells = [" ".join(tallies[one, kind].cells()) for one in ("A", "B - A")]
                    print(f"{kind:26}{shown}{cells[0]}   {cells[1]}")


if __name__ == "__main__":
    main()
