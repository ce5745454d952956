"""Why average precision is low: each error of masks by kind, and what each kind costs, in the way of TIDE.

Keys: ``dap_class``, ``dap_localisation``, ``dap_both``, ``dap_duplicate``, ``dap_background``, ``dap_missed``,
``dap_boundary``, ``dap_merge``, ``dap_split``, ``dap_false_positive`` and ``dap_false_negative`` are what mask AP at
IoU 0.5 would gain, from 0 to 1, were all errors of that kind mended, and no other; ``errors_class`` ... and
``errors_split`` are how many there are. The same at IoU 0.75 has ``dap75_`` and ``errors75_``: there inexact outlines
begin to count.

- Class, localisation, both, duplicate and background part the wrong predictions as TIDE does; missed is truth that
  none of them points at. Definitions, and where they differ from the authors' code: `apiece.metrics.errors._kinds`.
- Boundary, merge and split read the same errors a second time, by the form of the mask; most errors are none of them.
  Definitions: `apiece.metrics.errors._forms`.
- What mending does: `apiece.metrics.errors._cost`. Costs do not add up. They have no interval, their counts have: in
  simulations intervals of costs held the population's cost for 28 to 98% of the samples (docs/experiments.md).
- AP is COCO's (``mask_ap50``, ``mask_ap75``), with its limit: the largest of ``max_dets`` per image and class. TIDE's
  own limit is per image, and it counts 0 for a class that has predictions but no truth; COCO leaves it out.
- As in COCO's AP, labels are taken to be complete: what LVIS did not search an image for is not spared.
- NaN means undefined: there is no truth.

Reference: Bolya et al., TIDE, ECCV 2020, arXiv 2008.08115.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.core.runs import offsets_of
from apiece.metrics._kit.ap_counts import left_out, need_scores
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.ratios import mean_over
from apiece.metrics._kit.weighted import weighted_sums
from apiece.metrics.contract import FEWER, Judges, MetricResult, Number, Resampled, Settings
from apiece.metrics.errors._cost import ALL_KINDS, SPECIAL, Ledger, costs, counts, ordered
from apiece.metrics.errors._forms import FORMS, Forms, Near, forms
from apiece.metrics.errors._kinds import KINDS, Nearest, Verdicts, verdicts

__all__ = ["METRIC", "Decomposition", "Errors", "Faults", "decomposition"]


_LEVELS = (0.5, 0.75)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Decomposition:
    """Errors by kind and what they cost, at one IoU.

    Attributes
    ----------
    iou : from which a prediction can be right.
    classes : K class names.
    ap : average precision at this IoU, mean over classes with truth.
    kinds : the 9 kinds: TIDE's 6, then boundary, merge, split.
    cost : float64 (9,), AP gained by mending each kind.
    count : int64 (9,), errors of each kind; merges by prediction, splits and missed by truth.
    special : names of the 2 special errors, all false positives and all false negatives.
    special_cost : float64 (2,).
    ap_per_class, cost_per_class, count_per_class, special_per_class : (K,), (K, 9), (K, 9), (K, 2): the same for each
        class; NaN without truth. An error of class counts in the predicted class, and mending it gains in the true one.
    crossing : int64 (6, 4): predictions by kind (right, class, localisation, both, duplicate, background) and form
        (none, boundary, merge, split).
    """

    iou: float
    classes: tuple[str, ...]
    ap: float
    kinds: tuple[str, ...]
    cost: Float
    count: Int
    special: tuple[str, ...]
    special_cost: Float
    ap_per_class: Float
    cost_per_class: Float
    count_per_class: Int
    special_per_class: Float
    crossing: Int


@dataclass(frozen=True, eq=False)
class Faults:
    """What each prediction and each truth of every image is, at IoU 0.5, to be marked in a picture.

    Predictions of image i are the rows ``offsets[i]`` to ``offsets[i + 1] - 1``, those beyond ``max_dets`` left out;
    lost truth of image i the rows ``lost_offsets[i]`` to ``lost_offsets[i + 1] - 1``.

    Attributes
    ----------
    kinds, forms : names of kinds of predictions and truth, names of forms.
    offsets : int64 (images + 1,).
    index : int32 (P,), which prediction of its image.
    kind, form : int8 (P,), indices into ``kinds`` and ``forms``; -1: none.
    ignored : bool (P,), matched to a crowd.
    truth : int32 (P,), which truth of the image it matched, or its error is about; -1: none.
    lost_offsets : int64 (images + 1,).
    lost : int32 (L,), which truth of its image no prediction matched.
    missed : bool (L,), whether it is of the kind missed; if not, an error of class or localisation points at it.
    """

    kinds: tuple[str, ...]
    forms: tuple[str, ...]
    offsets: Int
    index: Int32
    kind: npt.NDArray[np.int8]
    form: npt.NDArray[np.int8]
    ignored: Bool
    truth: Int32
    lost_offsets: Int
    lost: Int32
    missed: Bool


def decomposition(ledger: Ledger, iou: float, classes: tuple[str, ...]) -> Decomposition:
    """Return the errors by kind and their costs, from the ledger of all images, ordered by class and descending score.

    >>> none, nothing = np.zeros(2, np.int32), np.full(2, -1, np.int8)
    >>> predicted = (none, none, np.array([0.9, 0.8]), np.array([4, -1], np.int8), nothing, nothing, none)
    >>> truth = (none[:1], none[:1], *np.zeros((3, 1), bool))
    >>> found = decomposition(Ledger(*predicted, *truth), 0.5, ("cell",))
    >>> round(found.ap, 6), round(float(found.cost[found.kinds.index("background")]), 6)
    (0.5, 0.5)
    """
    ap, cost, special = costs(ledger, len(classes))
    count = counts(ledger, ledger.label, ledger.truth_label, len(classes))
    crossing = np.bincount((ledger.kind + 1) * 4 + (ledger.form + 1), minlength=24).reshape(6, 4)
    pooled = float(mean_over(ap)), ALL_KINDS, mean_over(cost.T), count.sum(0), SPECIAL, mean_over(special.T)
    return Decomposition(iou, classes, *pooled, ap, cost, count, special, crossing)


class Errors:
    """Kinds of errors and their costs over a stream of batches.

    Memory: about 70 bytes per prediction.
    """

    judges: ClassVar[Judges] = "ranked"
    crosses_classes: ClassVar[bool] = True

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        self.limit = (settings or Settings()).max_dets[-1]
        self.reset()

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        self._ledgers: list[list[Ledger]] = [[] for _ in _LEVELS]
        self._faults: list[Faults] = []
        self._given = 0
        self.update(Batch.of(0, [], self.classes))

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError where predictions have no scores."""
        need_scores(batch)
        kept = batch.predicted.rank < self.limit
        self._given += len(kept)
        nearest = Nearest.of(batch)
        near = Near.of(batch, nearest, kept, max(_LEVELS))
        for k, found in enumerate(verdicts(batch, nearest, kept, _LEVELS)):
            shapes = forms(batch, near, found)
            self._ledgers[k].append(_ledger(batch, kept, found, shapes))
            if k == 0:
                self._faults.append(_faults(batch, kept, found, shapes))

    def compute(self) -> MetricResult:
        """Return all numbers; extras: ``"decomposition"`` and ``"decomposition75"``, `Decomposition`; ``"faults"``."""
        numbers: dict[str, Float] = {}
        by_class: dict[str, Float] = {}
        about: dict[str, Number] = {}
        extras: dict[str, object] = {}
        for level, ledgers, suffix in zip(_LEVELS, self._ledgers, ("", "75"), strict=True):
            made = decomposition(ordered(ledgers), level, self.classes)
            extras[f"decomposition{suffix}"] = made
            each = np.concatenate([made.cost_per_class, made.special_per_class, made.count_per_class], 1)
            numbers |= _keyed([*made.cost, *made.special_cost, *made.count], suffix)
            by_class |= _keyed(each.T, suffix)
            about |= _keyed([Number(aim="less")] * len(ALL_KINDS + SPECIAL) + [FEWER] * len(ALL_KINDS), suffix)
        extras["faults"] = faults = joined(self._faults, offsets=["offsets", "lost_offsets"])
        notes = left_out(self.limit, self._given - len(faults.index), self._given, "the kinds of errors")
        return MetricResult.of(self.classes, numbers, by_class, extras=extras, notes=notes, about=about)

    def resample(self, weights: Int32) -> Resampled:
        """Return the counts on each draw; see `apiece.metrics.contract.Resampling`."""
        numbers: dict[str, Float] = {}
        for ledgers, suffix in zip(self._ledgers, ("", "75"), strict=True):
            whole = joined(ledgers)
            by_image = counts(whole, whole.image, whole.truth_image, weights.shape[1])
            drawn = weighted_sums(weights, by_image).T
            numbers |= {f"errors{suffix}_{kind}": values for kind, values in zip(ALL_KINDS, drawn, strict=True)}
        return Resampled(numbers, {})


METRIC = Errors


def _keyed(values: Iterable[T], suffix: str) -> dict[str, T]:
    """Costs, then counts, by key."""
    costs = [f"dap{suffix}_{name}" for name in (*ALL_KINDS, *SPECIAL)]
    return dict(zip([*costs, *(f"errors{suffix}_{name}" for name in ALL_KINDS)], values, strict=True))


def _ledger(batch: Batch, kept: Bool, found: Verdicts, shapes: Forms) -> Ledger:
    truth, predicted = batch.truth, batch.predicted
    row, single = np.flatnonzero(kept & ~found.ignored), np.flatnonzero(~truth.crowd)
    claim = np.where(found.gains, np.append(truth.label, -1)[found.about], -1)
    return Ledger(
        label=predicted.label[row].astype(np.int32),
        image=(batch.first + predicted.image[row]).astype(np.int32),
        score=predicted.score[row],
        kind=found.kind[row],
        form=shapes.form[row],
        claim=claim[row].astype(np.int32),
        gains=shapes.gains[row].astype(np.int32),
        truth_label=truth.label[single].astype(np.int32),
        truth_image=(batch.first + truth.image[single]).astype(np.int32),
        missed=found.missed[single],
        lost=found.lost[single],
        split=shapes.split[single],
    )


def _faults(batch: Batch, kept: Bool, found: Verdicts, shapes: Forms) -> Faults:
    truth, predicted = batch.truth, batch.predicted
    row, lost = np.flatnonzero(kept), np.flatnonzero(found.lost)
    about = np.where(found.match >= 0, found.match, found.about)
    return Faults(
        KINDS,
        FORMS,
        offsets_of(predicted.image[row], batch.count),
        predicted.index[row].astype(np.int32),
        found.kind[row],
        shapes.form[row],
        found.ignored[row],
        np.append(truth.index, -1)[about][row].astype(np.int32),
        offsets_of(truth.image[lost], batch.count),
        truth.index[lost].astype(np.int32),
        found.missed[lost],
    )
