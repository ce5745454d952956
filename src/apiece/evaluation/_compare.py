"""`compare`: whether B is really better than A, on the same images.

Both are evaluated on every image and on the same halves of the images (`metrics/_kit/half_samples`), so that what
makes an image hard for both falls out of their difference. A difference counts as real where its 95% interval leaves
out 0. It speaks of these two models on images of this kind; another training run of the same recipe is another model,
and may differ by as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from apiece import predict
from apiece.core.conf import Conf
from apiece.core.instances import Instances
from apiece.datasets.dataset import Dataset, Folders
from apiece.errors import ConfigError, Option
from apiece.evaluation._evaluate import HEADLINE, evaluate
from apiece.evaluation._pairing import Joined, join, open_truth
from apiece.formats import LabelSet
from apiece.metrics import ENOUGH, FEW, Evaluation, Halves
from apiece.metrics.ap_tau import accuracy


@dataclass(frozen=True)
class Difference:
    """One number of A and of B on the same images.

    Attributes
    ----------
    a, b : the number; NaN where it is undefined.
    low, high : 95% interval of b - a over images of this kind; NaN where none would hold.
    p : how easily chance alone gives such a difference, from 0 to 1; NaN without an interval.
    equal : whether both are equal on all images and on every half of them.
    """

    a: float
    b: float
    low: float
    high: float
    p: float
    equal: bool = False

    @property
    def difference(self) -> float:
        """``b - a``."""
        return self.b - self.a

    @property
    def verdict(self) -> Literal["higher", "lower", "same", "open", "unknown"]:
        """B is ``"higher"`` or ``"lower"``.

        ``"same"``: equal on all images and every half; ``"open"``: the images cannot tell; ``"unknown"``: no interval.
        """
        if self.equal:
            return "same"
        if math.isnan(self.low):
            return "unknown"
        return "higher" if self.low > 0 else "lower" if self.high < 0 else "open"


@dataclass(frozen=True)
class ImageChange:
    """How one image fares.

    Attributes
    ----------
    index, name : which image.
    a, b : TP / (TP + FP + FN) of the final answer, mean over IoU 0.5 to 0.95.
    """

    index: int
    name: str
    a: float
    b: float

    @property
    def difference(self) -> float:
        """``b - a``."""
        return self.b - self.a


@dataclass(frozen=True, eq=False)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    a, b : the two evaluations.
    by : the number that decides.
    numbers : every number that can be resampled, by key.
    per_class : the same for each class name, fewer keys.
    images : every image with anything to judge on both sides, the largest change first.
    draws : halves of the images that were asked for.
    notes : sentences to be read beside it.
    """

    a: Evaluation
    b: Evaluation
    by: str
    numbers: Mapping[str, Difference]
    per_class: Mapping[str, Mapping[str, Difference]]
    images: tuple[ImageChange, ...]
    draws: int
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In plain words, whether B is better."""
        return _sentence(self.numbers[self.by], self.by, self.a.images, less=self.a.about[self.by].aim == "less")


def compare(
    a: Path | str | predict.Model | LabelSet | Joined,
    b: Path | str | predict.Model | LabelSet | Joined,
    data: Path | str | Dataset | LabelSet,
    *,
    by: str | None = None,
    metrics: Sequence[str] | Literal["all"] = HEADLINE,
    max_dets: Sequence[int] = (1, 10, 100),
    conf: Conf | None = None,
    split: str | None = None,
    images: Folders = None,
    format: str | None = None,
    bootstrap: int = 200,
    seed: int = 0,
    watch: Callable[[Instances, Instances], None] = lambda truth, answer: None,
) -> Comparison:
    """Hold two models, or predictions in files, against the same labelled images.

    Parameters
    ----------
    a, b, data, metrics, max_dets, conf, split, images, format, watch : as for `apiece.evaluate`; ``watch`` is called
        for each image of A, then of B.
    by : the number that decides; of errors and their rates less is better. By default ``mask_ap``, or ``box_ap``
        where the predictions of a side are boxes without masks.
    bootstrap, seed : halves of the images, at most, from which the intervals come; 100 or more.

    Raises
    ------
    ConfigError
        for fewer than 100 halves, a number that is not resampled, or one of which neither more nor less is better.
    """
    if bootstrap < 100:
        raise ConfigError("a comparison needs 100 half-samples or more, got " + Option("bootstrap", bootstrap))
    truth = open_truth(data, split, images, format)
    # ap_tau tells how each image fares
    chosen = tuple(dict.fromkeys([*metrics, "ap_tau"])) if metrics != "all" else metrics
    sides = [cast(Joined, one) if hasattr(one, "answer") else join(one, truth, conf) for one in (a, b)]
    by = by or ("mask_ap" if all("mask" in side.kinds for side in sides) else "box_ap")
    found = []
    for side in sides:
        found.append(evaluate(side, metrics=chosen, max_dets=max_dets, bootstrap=bootstrap, seed=seed, watch=watch))
        _check_decides(by, found[-1])
    first, second = found
    numbers = _differences(first, second)
    per_class = {name: _differences(first, second, name) for name in first.halves if name}
    both = [note for note in first.notes if note in second.notes]
    notes = [
        f"{name}: " + note for name, one in zip("AB", found, strict=True) for note in one.notes if note not in both
    ]
    changes = _changes([ref.name for ref in truth.refs], first, second)
    return Comparison(first, second, by, numbers, per_class, changes, bootstrap, (*notes, *both))


def difference(a: Halves, b: Halves) -> Difference:
    """Return the difference of a number of A and of B, given both on the same halves of the images."""
    gained = b - a
    low, high = gained.interval or (math.nan, math.nan)
    return Difference(a.value, b.value, low, high, gained.p, gained.value == 0 and gained.fixed)


def _differences(a: Evaluation, b: Evaluation, label: str | None = None) -> dict[str, Difference]:
    """Of every number that is resampled on both sides; of one class, if ``label`` names one."""
    before, after = a.halves[label], b.halves[label]
    return {key: difference(before[key], after[key]) for key in before if key in after}


def _changes(names: Sequence[str], a: Evaluation, b: Evaluation) -> tuple[ImageChange, ...]:
    """Every image that both sides tell something of; none where a side has boxes only, which have no AP-tau."""
    if not all("ap_tau" in found.extras for found in (a, b)):
        return ()
    before, after = (accuracy(found.extras["ap_tau"]["counts"]).mean(0) for found in (a, b))
    change = after - before
    judged = np.flatnonzero(np.isfinite(change))
    order = judged[np.argsort(-np.abs(change[judged]), kind="stable")]
    return tuple(ImageChange(i, names[i], float(before[i]), float(after[i])) for i in order.tolist())


def _check_decides(by: str, found: Evaluation) -> None:
    fit = [key for key in found.halves[None] if found.about[key].aim != "neither"]
    if by in fit:
        return
    if by in found.halves[None]:
        raise ConfigError(f"neither more nor less {by} is better, so it cannot decide; these can: {', '.join(fit)}")
    raise ConfigError(f"no intervals are known for {by!r}; there are: {', '.join(fit)}")


def _sentence(found: Difference, key: str, images: int, *, less: bool = False) -> str:
    """``less``: less of it is better."""
    name = key.replace("_", " ").replace(" ap", " AP")
    values = f"{name} {found.b:.3f} against {found.a:.3f}"
    if not math.isfinite(found.difference):
        return f"Nothing to compare: {name} is undefined, there is no truth that counts."
    if found.verdict == "same":
        return f"No difference: {name} {found.b:.3f} for both, whichever of the images are taken."
    if images < ENOUGH:
        return f"Too few images to tell: {values}, on {images}. {ENOUGH} are the least, some {FEW} are wanted."
    if found.verdict == "unknown":
        return f"No verdict: {values}, but too few of the {images:,} images decide it to say what others would show."
    change = f"{found.difference:+.3f}"
    span = f"{found.low:+.3f} to {found.high:+.3f}"
    if found.verdict != "open":
        word = "better" if (found.verdict == "lower") == less else "worse"
        return f"B is {word}: {values}, {change} (95% interval {span}, over {images:,} images)."
    return (
        f"No clear difference: {values}, {change}, but with other images of this kind it may be anything from "
        f"{span} ({images:,} images). {_enough(found, images)}"
    )


def _enough(found: Difference, images: int) -> str:
    """How many images would show the difference if it is real: intervals narrow with the root of their number."""
    half = (found.high - found.low) / 2
    if abs(found.difference) * 10 < half:
        return "If there is a difference at all, it is too small for any reasonable number of images to show."
    needed = math.ceil(images * (half / abs(found.difference)) ** 2)
    digits = 10 ** max(len(str(needed)) - 2, 0)
    return f"If the difference is real, about {math.ceil(needed / digits) * digits:,} images would show it."
