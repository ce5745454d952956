"""Amodal masks: how well the whole object was found, and the part of it that others hide.

``amodal_ap``, ``amodal_ap50`` and ``amodal_ap75`` are COCO's AP of the full masks. ``hidden_ap`` and ``hidden_ap50``
are AP of the hidden parts alone (full mask without the visible one). By how much of an object is hidden, ``slight``
(below 20%), ``partial`` (20 to 70%) and ``heavy`` (above 70%), there are:

- ``amodal_partial_ap`` ...: AP of full masks where only such objects count; the others are neither found nor missed.
- ``amodal_partial_iou`` ...: mean IoU of full masks; ``hidden_partial_iou`` ...: mean IoU of hidden parts. Both are
  means over the objects of which something is hidden and whose visible mask was found at IoU 0.5 or more, so that
  models with the same visible masks are compared on the same objects. ``amodal_iou`` and ``hidden_iou`` are the means
  over all of these.

Rules:

- A prediction without full masks counts with its visible ones: that is the baseline which a model has to beat.
- An object without a hidden pixel has no hidden part, and neither is a prediction of one a mistake.
- Crowds, scores and ties are as in COCO (`apiece.metrics.coco`). -1 means undefined for AP, NaN for IoU.
- Images with labels and no full masks among them are left out; with no others, the metric does not apply.

Reference: Zhu et al., Semantic Amodal Segmentation, CVPR 2017, arXiv 1509.01329; Qi et al., KINS, CVPR 2019.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apiece._arrays import Bool, Float, Int, Int32
from apiece.core.run_overlap import shared
from apiece.core.runs import Runs
from apiece.metrics._kit.ap_counts import need_scores
from apiece.metrics._kit.ap_metric import AP_TITLES, ApMetric
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Grouped, Pairs, mask_pairs
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import Cells
from apiece.metrics.contract import MetricResult, Number, Resampled

__all__ = ["METRIC", "OCCLUSION", "Amodal"]

OCCLUSION = {"slight": (0.0, 0.2), "partial": (0.2, 0.7), "heavy": (0.7, 1.0)}
"""Share of an object that is hidden, above the first and up to the second number."""

_FOUND = 0.5  # IoU of visible masks
_KEPT = {"amodal": ("ap", "ap50", "ap75"), "hidden": ("ap", "ap50")}


class Amodal(ApMetric):
    """AP of full masks and of hidden parts, and their IoU, over a stream of batches.

    Memory: about 250 bytes per prediction.
    """

    own_kinds = ("amodal", "hidden", *(f"amodal_{name}" for name in OCCLUSION))

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        super().reset()
        # for each group: objects, their IoU of full masks, of hidden parts
        self._cells = Cells(len(self.classes), 3 * len(OCCLUSION))
        self._applies = False

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError where predictions have no scores."""
        truth, predicted = batch.truth, batch.predicted
        known, labelled = (np.bincount(truth.image, w, batch.count) > 0 for w in (truth.has_full, None))
        self._left_out = labelled & ~known
        self._applies |= bool(known.any())
        if self._left_out.all() and batch.count:
            need_scores(batch)
            self._ids += batch.ids or [None] * batch.count
            self._cells.add(batch.by_cell(*[np.zeros(0, np.int64)] * 3 * len(OCCLUSION)))
            return
        size = (int(truth.sizes[:, 0].max(initial=0)), int(truth.sizes[:, 1].max(initial=0)))
        self._hidden = {id(side): side.full.without(side.runs, size) for side in (truth, predicted)}
        self._rate = ratio(self._hidden[id(truth)].area, truth.full.area)[truth.mask]
        full, hidden = (truth.full, predicted.full), (self._hidden[id(truth)], self._hidden[id(predicted)])
        self._overlaps = {"amodal": _overlaps(batch, *full), "hidden": _overlaps(batch, *hidden)}
        super().update(batch)
        self._cells.add(self._ious(batch))

    def _pairs(self, batch: Batch, kind: str) -> Pairs:
        return self._overlaps[kind.split("_")[0]]

    def _view(self, batch: Batch, kind: str) -> Batch:
        """The batch with the areas of full masks or hidden parts; -1 where a row does not count."""
        kind, _, group = kind.partition("_")

        def measured(side: Side) -> Side:
            area = (side.full if kind == "amodal" else self._hidden[id(side)]).area[side.mask].astype(np.float64)
            if kind == "hidden":
                area[area == 0] = -1
            elif group and side is batch.truth:
                area[~self._in(group)] = -1
            area[self._left_out[side.image]] = -1
            return replace(side, area=area)

        return replace(batch, truth=measured(batch.truth), predicted=measured(batch.predicted))

    def _in(self, group: str) -> Bool:
        """Whether each row of truth is hidden as much as a group's."""
        low, high = OCCLUSION[group]
        return (self._rate > low) & (self._rate <= high)

    def _ious(self, batch: Batch) -> Float:
        """What each image and class adds to the means of IoU: float64 (images, classes, 3 * groups)."""
        truth, predicted, pairs = batch.truth, batch.predicted, batch.mask_pairs
        pairs = pairs.where((pairs.iou >= _FOUND) & ~truth.crowd[pairs.truth] & (self._rate[pairs.truth] > 0))
        pairs = pairs.where(heaviest(pairs.predicted, pairs.truth, pairs.iou))
        mask_t, mask_p = truth.mask[pairs.truth], predicted.mask[pairs.predicted]
        full = _iou(truth.full, mask_t, predicted.full, mask_p)
        part = _iou(self._hidden[id(truth)], mask_t, self._hidden[id(predicted)], mask_p)
        group = truth.group[pairs.truth]
        columns: list[Int | tuple[Int, Float]] = []
        for name in OCCLUSION:
            rows = self._in(name)[pairs.truth]
            columns += [group[rows], (group[rows], full[rows]), (group[rows], part[rows])]
        return batch.by_cell(*columns)

    def compute(self) -> MetricResult:
        """Return all numbers, per class too; extras: the `Curves` of each kind."""
        found = super().compute()
        sums = self._cells.sums()[0]
        by_class, numbers = _means(sums), _means(sums.sum(0))
        per_class = {
            name: {k: v for k, v in found.per_class[name].items() if k in self._about()}
            | {key: float(values[i]) for key, values in by_class.items()}
            for i, name in enumerate(self.classes)
        }
        return replace(
            found,
            numbers={k: v for k, v in found.numbers.items() if k in self._about()}
            | {key: float(value) for key, value in numbers.items()},
            per_class=per_class,
            applies=self._applies,
            notes=found.notes + (() if self._applies else ("the ground truth has no full masks",)),
        )

    def resample(self, weights: Int32) -> Resampled:
        """Return all numbers on each draw, per class AP; see `apiece.metrics.contract.Resampling`."""
        found, about = super().resample(weights), self._about()
        numbers = {key: values for key, values in found.numbers.items() if key in about}
        per_class = {
            name: {key: values for key, values in own.items() if key in about} for name, own in found.per_class.items()
        }
        return Resampled(numbers | _means(self._cells.sums(weights).sum(1)), per_class, found.fall)

    def _about(self) -> dict[str, Number]:
        what = {"amodal": "full masks", "hidden": "hidden parts"}
        titles = {f"{kind}_{key}": f"{AP_TITLES[key]}, {what[kind]}" for kind in _KEPT for key in _KEPT[kind]}
        titles |= {f"amodal_{name}_ap": f"AP, full masks, {name}ly hidden" for name in OCCLUSION}
        about = {key: Number(group="amodal", title=title, undefined=-1) for key, title in titles.items()}
        for kind, said in what.items():
            about[f"{kind}_iou"] = Number(group="amodal", title=f"IoU, {said}")
            for name in OCCLUSION:
                about[f"{kind}_{name}_iou"] = Number(group="amodal", title=f"IoU, {said}, {name}ly hidden", detail=True)
        return about


METRIC = Amodal


def _overlaps(batch: Batch, truth: Runs, predicted: Runs) -> Pairs:
    """Return overlaps within image and class of other masks than the visible ones."""
    t, p = batch.truth, batch.predicted
    if truth is t.runs and predicted is p.runs:
        return batch.mask_pairs
    return mask_pairs(Grouped(predicted, p.group, p.mask), Grouped(truth, t.group, t.mask), t.crowd)


def _iou(a: Runs, i: Int, b: Runs, j: Int) -> Float:
    both = shared(a, i, b, j)
    return ratio(both, a.area[i] + b.area[j] - both)


def _means(sums: Float) -> dict[str, Float]:
    """Return the means of IoU from sums with last axis (3 * groups)."""
    parts = np.moveaxis(sums.reshape(*sums.shape[:-1], len(OCCLUSION), 3), -1, 0)
    found = {}
    for kind, total in zip(("amodal", "hidden"), parts[1:], strict=True):
        found[f"{kind}_iou"] = ratio(total.sum(-1), parts[0].sum(-1))
        found |= {f"{kind}_{name}_iou": ratio(total[..., k], parts[0][..., k]) for k, name in enumerate(OCCLUSION)}
    return found
