"""How far a number would move had other images of the same kind been at hand: balanced halves of the images.

The images are put at random into G groups, G a power of 2. Each row of a Hadamard matrix says which groups make up one
half, and every half has its complement (balanced repeated replication, McCarthy 1969). A half is a set of real images,
each at most once, so a number on it is a literal evaluation, and nothing is matched again (see `_kit/weighted`). Images
are the unit because objects of one image go right and wrong together.

- **Width.** A half differs from the whole as much as the whole differs from the population, so the mean square of
  these differences is the variance. Rows of the matrix are orthogonal, so G - 1 halves and their complements give it
  without chance.
- **Bias.** Half of the images have a larger bias than all: twice as large for a quotient of sums, half as large again
  for average precision, which is too high because the best precision at this recall *or a higher one* rewards chance
  (`Resampled.fall`). So the bias of all images is a multiple of what the halves have beyond them on average. A mean
  over classes takes the bias of each class on the halves that show the class.
- **Interval.** The number less its bias, and Student's t times the standard error. The degrees of freedom come from how
  unequally the groups move the number (Satterthwaite 1946): a number that rests on a few images gets few. It reaches
  farther to the side to which a few groups move the number far (`_stretched`).
- **No interval** where it would not hold: fewer than `LEAST` degrees of freedom, a number of a class in fewer than
  `FEW` images, or a mean over classes that halves often lack. The bias is given all the same; with missing classes it
  is a lower bound.
- **Differences** of two models have no bias to take away, as both have about the same, and reach as far to both sides.
  They have an interval where one of the numbers, too, has the degrees of freedom for one.

`benchmarks/intervals.py` shows how often such intervals hold the number of the population.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.linalg import hadamard
from scipy.special import stdtr, stdtrit

from apiece._arrays import Float, Int32
from apiece.errors import ConfigError, Option
from apiece.metrics._kit.ratios import mean_over
from apiece.metrics.contract import Number, Resampled, Resampling, UnitResampling

FEW = 20
"""Images below which intervals are rough; numbers of a class in fewer have none."""
ENOUGH = 8
"""Images below which no number has `LEAST` degrees of freedom."""
LEAST = 7.0
"""Degrees of freedom below which there is no interval."""
_MISSING = 0.08
"""Share of the classes that halves may lack on average: a class in few images has a bias that halves do not show."""
_MISSING_BOTH = 0.2
"""The same for a difference, in which the bias of both falls out."""
_WEIGHTS = 1 << 24
"""Weights made at once: 64 MB."""


def groups(images: int, count: int) -> int:
    """Return the largest power of 2 that needs no more than ``count`` halves, and no more groups than images.

    >>> groups(500, 200), groups(40, 200), groups(1, 200)
    (64, 32, 1)
    """
    if count < 0:
        raise ConfigError(Option("bootstrap") + f" must be 0 half-samples or more, got {count}")
    if not count or images < 2:
        return 1
    return 1 << max(min(count // 2 + 1, images).bit_length() - 1, 1)


def half_samples(images: int, count: int, seed: int = 0) -> Iterator[Int32]:
    """Yield all images as one row, then halves, then their complements in the same order: int32 (some, images).

    The same numbers give the same halves, so two models judged on the same images meet the same halves.
    """
    number = groups(images, count)
    group = np.random.default_rng(seed).permutation(images) % number
    chosen = np.concatenate([np.ones((1, number), bool), _signs(number) > 0, _signs(number) < 0])
    some = max(_WEIGHTS // max(images, 1), 1)
    for start in range(0, len(chosen), some):
        yield chosen[start : start + some, group].astype(np.int32)


@lru_cache(maxsize=8)
def _signs(number: int) -> Float:
    """Which groups are in each half, 1, or in its complement, -1: float64 (number - 1, number)."""
    return np.asarray(hadamard(number, dtype=np.float64)[1:])


@dataclass(frozen=True, eq=False)
class Halves:
    """One number on all images, and on balanced halves of them.

    ``b - a`` is the difference of two, of which each has about the same bias: it has none.

    Attributes
    ----------
    value : on all images; NaN where it is undefined.
    on_halves : float64 (2 G - 2,), on each half, then on each complement.
    bias : how much too high the value probably is.
    missing : share of the classes (of a mean over classes), or of the halves, without the number.
    limit : how much may be missing.
    few : whether it is of a class in fewer than `FEW` images.
    sides : the more degrees of freedom of the two numbers whose difference this is; infinite if it is none.
    """

    value: float
    on_halves: Float
    bias: float
    missing: float
    limit: float = _MISSING
    few: bool = False
    sides: float = math.inf

    @classmethod
    def of(cls, values: Float, fall: float = 1.0, few: bool = False) -> Halves:
        """Return what rows of `half_samples` say: float64 (rows,), or (rows, classes) for a mean over classes.

        The bias falls with the power ``fall`` of the number of images; ``few`` as in the attributes.
        """
        number = mean_over(values) if values.ndim > 1 else values
        table = values.reshape(len(values), -1)
        table = table[:, np.isfinite(table[0])]
        if not table.size or len(values) < 2:
            return cls(float(number[0]), number[1:], math.nan, 1.0, few=few)
        known = np.isfinite(table[1:])
        seen = known.sum(0)
        rise = np.where(known, table[1:] - table[0], 0.0).sum(0)[seen > 0] / seen[seen > 0]
        bias = float(rise.mean()) / (2**fall - 1) if rise.size else math.nan
        return cls(float(number[0]), number[1:], bias, 1 - float(known.mean()), few=few)

    def __sub__(self, other: Halves) -> Halves:
        change = self.value - other.value, self.on_halves - other.on_halves
        missing, sides = max(self.missing, other.missing), max(self._spread[1], other._spread[1])
        return Halves(*change, 0.0, missing, _MISSING_BOTH, self.few or other.few, sides)

    @property
    def lacks(self) -> str:
        """Why there is no interval: too few ``"images"`` that differ in it, or of some ``"classes"``; or ``""``."""
        if not self.missing <= self.limit:
            return "classes"
        return "" if min(self._spread[1], self.sides) >= LEAST and not self.few else "images"

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval, or None."""
        if self.lacks:
            return None
        error, freedom, lean = self._spread
        centre, reach = self.value - self.bias, float(stdtrit(freedom, 0.975))
        lean = lean if math.isinf(self.sides) else 0.0
        return centre + error * _stretched(-reach, lean), centre + error * _stretched(reach, lean)

    @property
    def p(self) -> float:
        """How easily chance alone takes the number as far from 0, from 0 to 1; NaN without an interval."""
        if self.lacks:
            return math.nan
        error, freedom, _ = self._spread
        return 2 * float(stdtr(freedom, -abs(self.value - self.bias) / error))

    @property
    def fixed(self) -> bool:
        """Whether every half gives the value itself."""
        return bool((self.on_halves == self.value).all())

    @cached_property
    def _spread(self) -> tuple[float, float, float]:
        """Standard error; its degrees of freedom, 0 where nothing varies; how far groups' effects lean to a side."""
        known = np.isfinite(self.on_halves)
        if not known.any():
            return math.nan, 0.0, 0.0
        off = np.where(known, self.on_halves - self.on_halves[known].mean(), 0.0)
        number = len(off) // 2 + 1
        moved = (off[: number - 1] - off[number - 1 :]) @ _signs(number)  # by each group, up to a factor
        square = float((moved**2).sum())
        if not square:
            return 0.0, 0.0, 0.0
        # 1 / number where all groups move it alike, 3 / number where they do so by chance, 1 where one does it alone
        uneven = float((moved**4).sum()) / square**2
        freedom = min(2 / max(uneven - 1 / number, 1e-9), number - 1)
        return math.sqrt(float((off**2).sum()) / (2 * number)), freedom, float((moved**3).sum()) / square**1.5 / 6


def _stretched(errors: float, lean: float) -> float:
    """Move an end, in standard errors, to where it leaves as much out as the other end does (Efron 1987).

    A larger count has a larger standard error: 9 is then within 4.3 and 16.7, in place of 3.1 and 14.9.
    """
    moved = errors + lean
    return moved / (1 - lean * moved) ** 2


def halved(
    metrics: Iterable[object],
    about: Mapping[str, Number],
    shown: Mapping[str, int],
    images: int,
    count: int,
    seed: int = 0,
) -> dict[str | None, dict[str, Halves]]:
    """Return every number of the ``metrics`` that can be resampled on all images and halves, by class (None: all), key.

    Counts of a half are scaled to all images; ``about`` says which numbers are counts. ``shown`` is how many images
    have truth of each class. A `UnitResampling` metric has halves of its units.
    """
    by_units: dict[int, list[Callable[[Int32], Resampled]]] = {}
    for metric in metrics if count else ():
        if isinstance(metric, Resampling):
            by_units.setdefault(images, []).append(metric.resample)
        elif isinstance(metric, UnitResampling) and (units := metric.units()[0]):
            by_units.setdefault(units, []).append(metric.resample_units)
    found: dict[str | None, dict[str, Halves]] = {None: {}}
    for units, able in by_units.items():
        for label, numbers in _on_halves(able, about, units, count, seed).items():
            few = label is not None and shown[label] < FEW
            own = {key: Halves.of(values, fall, few) for key, (values, fall) in numbers.items()}
            found.setdefault(label, {}).update(own)
    return found


def _on_halves(
    able: Iterable[Callable[[Int32], Resampled]], about: Mapping[str, Number], units: int, count: int, seed: int
) -> dict[str | None, dict[str, tuple[Float, float]]]:
    """Return the values of every number on all units and on halves, counts scaled to all, and its bias's fall."""
    parts: dict[str | None, dict[str, list[Float]]] = {None: {}}
    fall: dict[str, float] = {}
    sizes = []
    for weights in half_samples(units, count, seed):
        sizes.append(weights.sum(1))
        for resampled in [resample(weights) for resample in able]:
            for label, numbers in ((None, resampled.numbers), *resampled.per_class.items()):
                for key, values in numbers.items():
                    fall[key] = resampled.fall
                    parts.setdefault(label, {}).setdefault(key, []).append(values)
    scale = units / np.concatenate(sizes)

    def joined(key: str, pieces: list[Float]) -> tuple[Float, float]:
        values = np.concatenate(pieces)
        return values * scale if about.get(key, Number()).unit == "count" else values, fall[key]

    return {label: {key: joined(key, each) for key, each in own.items()} for label, own in parts.items()}
