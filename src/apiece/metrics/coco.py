"""COCO average precision and recall, of masks and of boxes: the twelve numbers of pycocotools, equal to 1e-9.

For masks the keys are ``mask_ap`` (mean over IoU 0.5 to 0.95 and over classes), ``mask_ap50``, ``mask_ap75``,
``mask_ap_small``, ``mask_ap_medium``, ``mask_ap_large``, ``mask_ar1``, ``mask_ar10``, ``mask_ar100`` (one per number in
``max_dets``), ``mask_ar_small``, ``mask_ar_medium``, ``mask_ar_large``; for boxes the same with ``box_``.

Rules, where pycocotools has choices:

- **-1 means undefined**: there is no truth that counts (of this class, of this size). Means leave such classes out.
  This is pycocotools' own sign, kept so that numbers can be compared as they are; only average precision has it.
- Everything but ``ar<n>`` uses the largest of ``max_dets``. (pycocotools answers -1 for limits other than 1, 10, 100.)
- Equal scores of different images rank by ascending image id, as in pycocotools; where ids are missing or of several
  types, they stay in the order the images come.
- Small, medium, large and the box: see `apiece.metrics._kit.batch.Side`.
- An annotation id of 0 means nothing special here; pycocotools takes a match with it for no match.

Reference: Lin et al., Microsoft COCO, arXiv 1405.0312; cocoapi, ``cocoeval.py``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from apiece._arrays import Int
from apiece.core.runs import offsets_of
from apiece.metrics._kit.ap_metric import ApMetric
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.match_ranked import Matches
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics.contract import MetricResult

__all__ = ["METRIC", "PRECISIONS", "Coco"]

PRECISIONS = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""The kinds of average precision, as they stand behind ``mask_`` and ``box_``."""


class Coco(ApMetric):
    """COCO AP and AR of masks and boxes over a stream of batches.

    Memory: about 100 bytes per prediction.
    """

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        super().reset()
        none = Batch.of(0, [], self.classes)
        self._matches = [_matches(none, none.mask_pairs, np.zeros(0, np.int64))]

    def _matched(self, batch: Batch, kind: str, pairs: Pairs, first: Int) -> None:
        if kind == "mask":
            self._matches.append(_matches(batch, pairs, first))

    def compute(self) -> MetricResult:
        """Return all numbers; extras: ``"mask"`` and ``"box"``, `Curves`; ``"matches"``, `Matches` of masks."""
        found = super().compute()
        if "mask" not in self.kinds:
            return found
        return replace(found, extras={**found.extras, "matches": joined(self._matches, offsets=["offsets"])})


METRIC = Coco


def _matches(batch: Batch, pairs: Pairs, match: Int) -> Matches:
    """Which truth each prediction matched by its pair, or -1."""
    truth, predicted = batch.truth, batch.predicted
    row = np.append(pairs.truth, -1)[match]
    return Matches(
        batch.classes,
        offsets_of(predicted.image, batch.count),
        predicted.index.astype(np.int32),
        predicted.label.astype(np.int32),
        predicted.score,
        np.append(truth.index, -1)[row].astype(np.int32),
        np.append(pairs.iou, 0.0)[match].astype(np.float32),
        np.append(truth.crowd, False)[row],
        batch.by_cell(truth.group[~truth.crowd])[..., 0].astype(np.int32),
    )
