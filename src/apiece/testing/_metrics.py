"""What every metric promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np

from apiece.core.instances import Instances
from apiece.metrics import Batch, Judges, Metric, MetricResult, Number, Searched, Settings
from apiece.metrics.contract import Resampling
from apiece.testing._pairs import pairs
from apiece.testing._promises import expect

CLASSES = ("a", "b")
_SETTINGS = Settings(max_dets=(1, 3, 5))
_EVERYWHERE = Searched(absent=frozenset(CLASSES))

Pair = tuple[Instances, Instances]


def fed(kind: type[Metric], given: Sequence[Pair], cuts: Sequence[int] = ()) -> Metric:
    """Return the metric after it took in these images, in batches that begin at ``cuts``."""
    metric = kind(CLASSES, _SETTINGS)
    for first, end in zip((0, *cuts), (*cuts, len(given)), strict=True):
        batch = Batch.of(first, given[first:end], CLASSES)
        metric.update(replace(batch, searched=(_EVERYWHERE,) * batch.count))
    return metric


def distinct(given: Sequence[Pair], seed: int) -> list[Pair]:
    """Scores that repeat among images, but not within one: copies of an image then have one order only."""
    rng = np.random.default_rng(seed)
    return [(truth, found.replace(scores=rng.permutation(len(found)) / 16)) for truth, found in given]


def _with_ids(given: Sequence[Pair]) -> list[Pair]:
    """Tracking asks for ids."""
    return [(a.replace(ids=np.arange(len(a))), b.replace(ids=np.arange(len(b)))) for a, b in given]


def _expect_same(one: MetricResult, other: MetricResult, what: str) -> None:
    differing = [k for k in {*one.numbers, *other.numbers} if not _same(one.numbers.get(k), other.numbers.get(k))]
    expect(not differing, f"{what}: {differing}")


def _same(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and (a == b or (a != a and b != b))


def numbers(kind: type[Metric], folder: Path) -> None:
    """Its numbers are floats by key, of the whole and of each class; it says which predictions it judges."""
    expect(kind.judges in get_args(Judges), f"judges is {kind.judges!r}")
    found = fed(kind, _with_ids(pairs(1, images=6))).compute()
    odd = {key: value for key, value in found.numbers.items() if type(value) is not float}
    expect(not odd, f"no floats: {odd}")
    expect(set(found.per_class) == set(CLASSES), f"per_class has {set(found.per_class)}, the classes are {CLASSES}")


def batches(kind: type[Metric], folder: Path) -> None:
    """Batches add up: images taken in one by one, or all at once, give the same numbers."""
    given = _with_ids(pairs(1, images=6))
    whole = fed(kind, given).compute()
    for cuts in ([2], [1, 2, 3, 4, 5]):
        _expect_same(fed(kind, given, cuts).compute(), whole, f"batches from {cuts} differ in")


def state(kind: type[Metric], folder: Path) -> None:
    """`compute` changes nothing, and `reset` forgets everything."""
    metric = fed(kind, _with_ids(pairs(1, images=6)))
    whole = metric.compute()
    _expect_same(metric.compute(), whole, "a second compute gives other numbers")
    metric.reset()
    _expect_same(metric.compute(), kind(CLASSES, _SETTINGS).compute(), "after reset there are other numbers than anew")


def draws(kind: type[Metric], folder: Path) -> None:
    """`resample` finds for weights what the metric finds in images repeated so often; all ones give `compute`'s."""
    given = distinct(pairs(11, images=6), 11)
    metric = fed(kind, _with_ids(given), [2])
    if not isinstance(metric, Resampling):
        return
    rng = np.random.default_rng(1)
    weights = np.concatenate([np.ones((1, 6), np.int32), rng.multinomial(6, [1 / 6] * 6, 4).astype(np.int32)])
    found = metric.resample(weights)
    expect(set(found.numbers) <= set(metric.compute().numbers), "it has other numbers than compute")
    expect(set(found.per_class) <= set(CLASSES), f"per_class has {set(found.per_class)}")
    for r, row in enumerate(weights):
        literal = fed(kind, _with_ids([given[i] for i in np.repeat(np.arange(6), row)])).compute()
        sides = [(found.pooled(), literal.numbers)]
        sides += [(of_class, literal.per_class[name]) for name, of_class in found.per_class.items()]
        for drawn, wanted in sides:
            for key, values in drawn.items():
                expect(values.shape == (5,), f"{key}: shape {values.shape} for 5 draws")
                value = literal.about.get(key, Number()).of(wanted[key]).value
                close = np.isclose(values[r], value, rtol=0, atol=1e-12, equal_nan=True)
                expect(close, f"{key}, images drawn {row.tolist()} times: {values[r]}, should be {value}")


PROMISES = (numbers, batches, state, draws)
