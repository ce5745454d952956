"""COCO average precision and recall, of masks and of boxes: the twelve numbers of pycocotools, equal to 1e-9.

For masks the keys are ``mask_ap`` (mean over IoU 0.5 to 0.95 and over classes), ``mask_ap50``, ``mask_ap75``,
``mask_ap_small``, ``mask_ap_medium``, ``mask_ap_large``, ``mask_ar1``, ``mask_ar10``, ``mask_ar100`` (one per number in
``max_dets``), ``mask_ar_small``, ``mask_ar_medium``, ``mask_ar_large``; for boxes the same with ``box_``.

Rules, where pycocotools has choices:

- **-1 means undefined**: there is no truth that counts (of this class, of this size). Means leave such classes out.
  This is pycocotools' own sign, kept so that numbers can be compared as they are; average precision alone has it.
- Everything but ``ar<n>`` uses the largest of ``max_dets``. (pycocotools answers -1 for limits other than 1, 10, 100.)
- Equal scores of different images stay in the order the images come; pycocotools takes them by ascending image id.
- Small, medium, large and the box: see `apiece.metrics._kit.batch.Side`.
- An annotation id of 0 means nothing special here; pycocotools takes a match with it for no match.

Reference: Lin et al., Microsoft COCO, arXiv 1405.0312; cocoapi, ``cocoeval.py``.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from apiece._arrays import Array, Bool, Float, Int, Int32
from apiece.metrics._kit.ap_counts import Tally, joined, left_out, mean_defined, need_scores, summary, tally
from apiece.metrics._kit.ap_draws import resampled
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.match_ranked import Matches
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics.contract import Judges, MetricResult, Resampled, Settings

__all__ = ["METRIC", "Coco"]


class Coco:
    """COCO AP and AR of masks and boxes over a stream of batches.

    Memory: about 100 bytes per prediction.
    """

    judges: ClassVar[Judges] = "ranked"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        settings = settings or Settings()
        self.max_dets, self.kinds = settings.max_dets, settings.kinds
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tallies: dict[str, list[Tally]] = {kind: [] for kind in self.kinds}
        self._matches: list[Matches] = []
        self._given = 0

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch.

        Raises
        ------
        DataError
            if predictions have no scores.
        """
        need_scores(batch)
        kept = batch.predicted.rank < self.max_dets[-1]
        self._given += len(kept)
        for kind in self.kinds:
            pairs = batch.mask_pairs if kind == "mask" else batch.box_pairs
            made, first = tally(batch, pairs, kept)
            self._tallies[kind].append(made)
            if kind == "mask":
                self._matches.append(_matches(batch, pairs, first))

    def compute(self) -> MetricResult:
        """All numbers, per class too; extras: ``"mask"`` and ``"box"``, `Curves`; ``"matches"``, `Matches` of masks."""
        numbers: dict[str, float] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self.classes}
        extras: dict[str, object] = {}
        for kind in self.kinds:
            whole = joined(self._tallies[kind], len(self.classes))
            values, extras[kind] = summary(whole, self.classes, self.max_dets)
            for key, by_class in values.items():
                numbers[f"{kind}_{key}"] = mean_defined(by_class)
                for name, column in zip(self.classes, by_class, strict=True):
                    per_class[name][f"{kind}_{key}"] = mean_defined(column)
        if "mask" in self.kinds:
            extras["matches"] = _joined_matches(self._matches, self.classes)
        counted = sum(len(t.label) for t in self._tallies[self.kinds[0]])
        return MetricResult(numbers, per_class, extras, left_out(self.max_dets[-1], self._given, counted))

    def resample(self, weights: Int32) -> Resampled:
        """All numbers on each draw; see `apiece.metrics.contract.Resampling`."""
        numbers: dict[str, Float] = {}
        per_class: dict[str, dict[str, Float]] = {name: {} for name in self.classes}
        for kind in self.kinds:
            whole = joined(self._tallies[kind], len(self.classes))
            found = resampled(whole, f"{kind}_", self.classes, self.max_dets, weights)
            numbers |= found.numbers
            for name, values in found.per_class.items():
                per_class[name] |= values
        return Resampled(numbers, per_class)


METRIC = Coco


def _matches(batch: Batch, pairs: Pairs, match: Int) -> Matches:
    truth, predicted = batch.truth, batch.predicted
    matched = match >= 0
    rows = np.append(pairs.truth, 0)[match]
    return Matches(
        batch.classes,
        np.concatenate([[0], np.cumsum(np.bincount(predicted.image, minlength=batch.count))]),
        predicted.index.astype(np.int32),
        predicted.label.astype(np.int32),
        predicted.score,
        _read(truth.index, rows, matched, -1).astype(np.int32),
        np.append(pairs.iou, 0.0)[match].astype(np.float32),
        _read(truth.crowd, rows, matched, 0).astype(np.bool_),
        _per_image(truth, batch),
    )


def _read(column: Array, rows: Int, where: Bool, other: int) -> Array:
    """``column[rows]`` where asked for, ``other`` elsewhere."""
    out = np.full(len(rows), other, column.dtype)
    out[where] = column[rows[where]]
    return out


def _per_image(truth: Side, batch: Batch) -> Int32:
    shape = (batch.count, len(batch.classes))
    counted = np.bincount(truth.group[~truth.crowd], minlength=shape[0] * shape[1])
    return counted.reshape(shape).astype(np.int32)


def _joined_matches(parts: list[Matches], classes: tuple[str, ...]) -> Matches:
    none = Matches(
        classes, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0),
        np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, np.bool_), np.zeros((0, len(classes)), np.int32),
    )  # fmt: skip
    ends = np.cumsum([len(p.label) for p in parts])
    offsets = [p.offsets[1:] + end - len(p.label) for p, end in zip(parts, ends, strict=True)]
    columns = ("index", "label", "score", "truth", "iou", "ignored", "truths")
    return Matches(
        classes,
        np.concatenate([none.offsets, *offsets]),
        *(np.concatenate([getattr(p, name) for p in [none, *parts]]) for name in columns),
    )
