"""How often a 95% interval holds the number of the population, for every number that has one.

    python benchmarks/intervals.py [--classes 3 20 80] [--images 100 500] [--samples 1000] [--metrics confusion ...]
    python benchmarks/intervals.py --write FOLDER

A population of 3,000 images is made for each number of classes: about 8 objects an image, classes by Zipf's law (the
rarest of 80 classes has 2 objects in 100 images), images and classes that are easier or harder than others, objects of
which others hide a part, detections that are shifted, doubled, of the wrong class, missed or made up. There are two
models, A and B, of which B is a little better. Samples are drawn from it with replacement, so the population is endless
and its own numbers are the truth.

The table gives of each number the truth, what samples have beyond it on average (its bias), what `evaluate` says of
that bias, the share of intervals that hold the truth (`apiece.metrics._kit.half_samples`; of those samples that have
one), and the share of samples that have one. Then the same for B - A, as `compare` gives it. "Of a class" pools all
classes. Below it stand the numbers that are farthest from 93 to 97%, with twice the error of the simulation: with 1,000
samples a share of 95% is known to 1.4 points either way. Numbers of one sample go up and down together.

It calls the metrics, the halves and the differences of apiece itself; nothing of them is written anew here. Metrics
that are sums over images see the population once, and a sample as how often each image was drawn; the others see every
sample.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from apiece import formats
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.evaluation import difference
from apiece.metrics import Batch, Halves, Metric, Settings, load
from apiece.metrics._kit.batch import Searched
from apiece.metrics._kit.half_samples import halved
from apiece.metrics._kit.ratios import mean_over
from apiece.metrics._kit.sums_per_image import CellMetric
from apiece.metrics.contract import Number, Resampled, Resampling

POPULATION = 3000
SIZE = (360, 480)
METRICS = (
    "coco", "ap_tau", "boundary", "lvis", "amodal", "aji", "calibration", "confusion", "counts", "errors", "panoptic",
    "presence", "semantic",
)  # fmt: skip
LEVELS = ("55", "60", "65", "70", "80", "85", "95")
"""Levels of AP-tau that are not counted class by class."""
_DRAWS = 200
_WORST = 10
_AROUND = np.linspace(0, 2 * np.pi, 14, endpoint=False)

Image = tuple[Instances, Instances, Instances, Searched]
"""Truth, what A found, what B found, and which classes LVIS searched for."""
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
        shown = np.where(rng.random(len(label)) < 0.5, rng.uniform(0, 1, len(label)), 1)
        truth = _instances(centre, side, shown, label, self.classes)
        a, b = (self._found(label, centre, side, shown, ease + gain, strays) for gain in (0.0, 0.15))
        there = np.isin(np.arange(len(self.classes)), label)
        absent, partial = ~there & (rng.random(len(there)) < 0.4), there & (rng.random(len(there)) < 0.1)
        named = (frozenset(np.array(self.classes)[some].tolist()) for some in (absent, partial))
        return truth, a, b, Searched(*named)

    def _objects(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class, centre and sides of each."""
        label = self.rng.choice(len(self.classes), number, p=self.share)
        centre = self.rng.uniform(0, 1, (number, 2)) * SIZE[::-1]
        side = np.exp(self.rng.uniform(np.log(16), np.log(180), (number, 1)) + self.rng.normal(0, 0.2, (number, 2)))
        return label, centre, side

    def _found(
        self,
        label: np.ndarray,
        centre: np.ndarray,
        side: np.ndarray,
        shown: np.ndarray,
        ease: np.ndarray,
        strays: tuple[np.ndarray, ...],
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
        seen = np.append(np.clip(shown[row] + rng.normal(0, 0.1, len(row)), 0, 1), np.ones(len(kept)))
        labels, moved, grown, logit = (
            np.concatenate([own, stray[kept]]) for own, stray in zip((named, moved, grown, logit), strays, strict=True)
        )
        return _instances(moved, grown, seen, labels, self.classes, 1 / (1 + np.exp(-logit)))


def _instances(
    centre: np.ndarray,
    side: np.ndarray,
    shown: np.ndarray,
    label: np.ndarray,
    classes: tuple[str, ...],
    score: np.ndarray | None = None,
) -> Instances:
    """Ellipses, whose right half others hide from a share of its width on."""
    x, y = (
        np.clip(centre[:, k, None] + side[:, k, None] / 2 * wave, 0, SIZE[1 - k])
        for k, wave in enumerate((np.cos(_AROUND), np.sin(_AROUND)))
    )
    edge = np.clip(centre[:, :1] + side[:, :1] / 2 * shown[:, None], 0, SIZE[1])
    full, masks = (
        Masks.from_polygons([[np.stack(ring, 1)] for ring in zip(across, y, strict=True)], SIZE)
        for across in (x, np.minimum(x, edge))
    )
    some = np.flatnonzero(masks.area)
    return Instances(masks[some], label[some], classes, None if score is None else score[some], full=full[some])


def fed(images: Sequence[Image], side: int, names: Sequence[str]) -> list[Metric]:
    """Return the metrics after they took in the images, and what one side, 1 or 2, found there."""
    classes = images[0][0].classes
    frequency = tuple("fcr"[min(3 * k // len(classes), 2)] for k in range(len(classes)))
    metrics = [load(name)(classes, Settings(conf=0.5, frequency=frequency)) for name in names]
    for start in range(0, len(images), 256):
        some = images[start : start + 256]
        batch = Batch.of(start, [(image[0], image[side]) for image in some], classes)
        batch = replace(batch, searched=tuple(image[3] for image in some), crossing=True)
        for metric in metrics:
            metric.update(batch)
    return metrics


@dataclass(frozen=True)
class Sample:
    """A metric on a sample of the images that it took in: a `Resampling` itself."""

    metric: Resampling
    images: int  # that the metric took in
    chosen: np.ndarray  # (images of the sample,) which they are

    def resample(self, weights: np.ndarray) -> Resampled:
        """Return the numbers on each draw of the sample."""
        drawn = np.zeros((self.images, len(weights)), np.int32)
        np.add.at(drawn, self.chosen, weights.T)
        return self.metric.resample(np.ascontiguousarray(drawn.T))


@dataclass(frozen=True)
class Kept:
    """A metric without what is not counted class by class: a `Resampling` itself."""

    metric: Resampling

    def resample(self, weights: np.ndarray) -> Resampled:
        """Return the numbers on each draw."""
        found = self.metric.resample(weights)
        per_class = {
            label: {key: v for key, v in own.items() if "_tau" not in key or not key.endswith(LEVELS)}
            for label, own in found.per_class.items()
        }
        return replace(found, per_class=per_class)


@dataclass
class Tally:
    """What happened to one number, or to one number of all classes, over the samples."""

    beyond: list[float] = field(default_factory=list)
    said: list[float] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    given: list[bool] = field(default_factory=list)

    def add(self, truth: float, value: float, bias: float, span: tuple[float, float] | None) -> None:
        """Take in one sample."""
        if not np.isfinite([truth, value]).all():
            return
        self.beyond.append(value - truth)
        self.said.append(bias)
        self.given.append(span is not None)
        if span is not None:
            self.held.append(span[0] <= truth <= span[1])

    def cells(self) -> str:
        """Return the bias, the bias that `evaluate` states, coverage, and the share with an interval."""
        held = f"{np.mean(self.held):6.1%}" if len(self.held) > 20 else "     –"
        return f"{np.mean(self.beyond):+8.4f} {np.nanmean(self.said):+8.4f} {held} {np.mean(self.given):6.0%}"

    @property
    def outside(self) -> float:
        """How far coverage is from 93 to 97%, beyond twice the error of the simulation."""
        off = abs(np.mean(self.held) - 0.95) - 0.02 if self.held else -1.0
        return float(off - 2 * np.sqrt(0.05 * 0.95 / max(len(self.held), 1)))


def simulate(images: list[Image], count: int, samples: int, names: Sequence[str]) -> tuple[dict, dict]:
    """Return the truth of A by number, and the tallies of A and of B - A by side and key."""
    sums = [name for name in names if issubclass(load(name), CellMetric) and name != "amodal"]
    rest = [name for name in names if name not in sums]
    whole = [fed(images, side, sums) for side in (1, 2)]
    truth, about = known(images, whole, rest, count)
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    rng = np.random.default_rng([len(images[0][0].classes), count])
    for sample in range(samples):
        chosen = rng.integers(0, len(images), count)
        drawn = [images[i] for i in chosen.tolist()]
        shown = images_of_classes(drawn)
        halves = []
        for side in (1, 2):
            own = [Kept(Sample(one, len(images), chosen)) for one in whole[side - 1]]
            own += [Kept(one) for one in fed(drawn, side, rest) if isinstance(one, Resampling)]
            halves.append(dict(flat(halved(own, about, shown, count, _DRAWS, sample))))
        for name, a in halves[0].items():
            kind = name[1] if name[0] is None else f"{name[1]} of a class"
            b = halves[1][name]
            tallies["A", kind].add(truth[0][name], a.value, a.bias, a.interval)
            found = difference(a, b)
            span = None if np.isnan(found.low) else (found.low, found.high)
            tallies["B - A", kind].add(truth[1][name] - truth[0][name], found.difference, 0.0, span)
    return truth[0], tallies


def known(images: list[Image], whole: list[list[Metric]], rest: list[str], count: int) -> tuple[list[dict], dict]:
    """Return the numbers of the population by side, counts as of ``count`` images, and what is known of each number."""
    every = np.ones((1, len(images)), np.int32)
    about: dict[str, Number] = {}
    truth: list[dict[Name, float]] = []
    for side in (1, 2):
        found: dict[Name, float] = {}
        for metric in (*whole[side - 1], *fed(images, side, rest)):
            about |= metric.compute().about
            if isinstance(metric, Resampling):
                drawn = metric.resample(every)
                found |= {(None, k): float(mean_over(v)[0] if v.ndim > 1 else v[0]) for k, v in drawn.numbers.items()}
                found |= {(label, k): float(v[0]) for label, own in drawn.per_class.items() for k, v in own.items()}
        counts = {name for name in found if about.get(name[1], Number()).unit == "count"}
        truth.append({name: v * count / len(images) if name in counts else v for name, v in found.items()})
    return truth, about


def images_of_classes(images: list[Image]) -> dict[str, int]:
    classes = images[0][0].classes
    shown = sum(np.isin(np.arange(len(classes)), image[0].labels).astype(int) for image in images)
    return dict(zip(classes, shown.tolist(), strict=True))


def flat(halves: Mapping[str | None, Mapping[str, Halves]]) -> Iterator[tuple[Name, Halves]]:
    for label, by_key in halves.items():
        yield from (((label, key), half) for key, half in by_key.items())


def told(truth: dict[Name, float], tallies: dict[tuple[str, str], Tally]) -> Iterator[str]:
    """Yield the table, then the numbers farthest from 93 to 97%."""
    head = "     bias     said   held  given"
    yield f"{'':30}   truth {head}   B - A: {head[5:]}"
    for side, kind in tallies:
        if side == "A":
            value = truth.get((None, kind))
            shown = "        " if value is None else f"{value:8.3f}"
            yield f"{kind:30}{shown} {tallies[side, kind].cells()}   {tallies['B - A', kind].cells()}"
    judged = {name: one for name, one in tallies.items() if len(one.held) > 20}
    worst = sorted((name for name in judged if judged[name].outside > 0), key=lambda name: -judged[name].outside)
    yield f"{len(judged)} numbers have intervals; of {len(worst)} less than 93 or more than 97% hold, beyond chance:"
    for side, kind in worst[:_WORST]:
        held, one = judged[side, kind].held, judged[side, kind]
        error = 2 * np.sqrt(0.05 * 0.95 / len(held))
        yield f"  {np.mean(held):6.1%} (± {error:.1%}) {side}, {kind}; {np.mean(one.given):.0%} of samples have one"


def write(images: list[Image], folder: Path) -> None:
    """Write truth and the predictions of A and B as files, for ``apiece evaluate`` and ``apiece compare``."""
    folder.mkdir(parents=True, exist_ok=True)
    refs = [ImageRef(folder / f"{i}.png", f"{i}.png", SIZE, i + 1) for i in range(len(images))]
    for side, name in enumerate(("truth", "a", "b")):
        records = [(ref, image[side].replace(full=None)) for ref, image in zip(refs, images, strict=True)]
        formats.write(records, folder / f"{name}.json", "coco", classes=images[0][0].classes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 20, 80])
    parser.add_argument("--images", type=int, nargs="+", default=[100, 500])
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--metrics", nargs="+", choices=METRICS, default=METRICS, metavar="NAME")
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write 1,200 images with 3 classes")
    options = parser.parse_args()
    if options.write:
        write(population(3, 1200), options.write)
        return
    for classes in options.classes:
        images = population(classes)
        for count in options.images:
            truth, tallies = simulate(images, count, options.samples, tuple(options.metrics))
            print(f"\n{classes} classes, {count} images, {options.samples} samples", flush=True)
            print("\n".join(told(truth, tallies)), flush=True)


if __name__ == "__main__":
    main()
