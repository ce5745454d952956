"""Boundary average precision: COCO's AP where a match needs the outline to agree, too.

Overlap is the smaller of mask IoU and boundary IoU, the IoU of the bands along both outlines, so that a large mask of
good IoU and poor outline loses. Keys are COCO's with ``boundary_``: ``boundary_ap``, ``boundary_ap50`` ...
``boundary_ar100``, ``boundary_ar_small`` ...

- The band is what a square erosion by d takes from the mask, d being 2% of the image's diagonal (at least one pixel),
  with background outside the image, so that the image's border is an outline as well.
- The overlap with a crowd is the plain one: share of the prediction's mask inside it.
- All else, and -1, as in COCO (`apiece.metrics.coco`). Sizes are those of the masks, not of their bands.

The authors' API and faster-coco-eval (``iouType="boundary"``) agree in all of this, and it is followed.

Reference: Cheng et al., Boundary IoU, CVPR 2021, arXiv 2103.16562.
"""

from __future__ import annotations

import numpy as np

from apiece.core.run_overlap import shared
from apiece.core.runs import chunks
from apiece.metrics._kit.ap_metric import ApMetric
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import IOU_THRESHOLDS
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics.boundary._runs import band_widths, bands

__all__ = ["METRIC", "Boundary", "boundary_pairs"]

_RUNS = 1 << 19
"""Runs of masks whose bands are compared at once (some 150 MB)."""


def boundary_pairs(batch: Batch, ratio: float = 0.02, lowest: float = float(IOU_THRESHOLDS[0])) -> Pairs:
    """Return the pairs of one image and class with the smaller of mask IoU and boundary IoU.

    Parameters
    ----------
    ratio : width of the band as a share of the image's diagonal.
    lowest : pairs of lower mask IoU are left out: no boundary IoU makes up for it.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 10, 10]], (20, 20)))
    >>> found = Instances(Masks.from_boxes([[0, 0, 10, 8]], (20, 20)), scores=[0.9])
    >>> pairs = boundary_pairs(Batch.of(0, [(truth, found)], ("object",)))
    >>> pairs.iou.tolist() == [min(80 / 100, 24 / (36 + 32 - 24))]
    True
    """
    truth, predicted = batch.truth, batch.predicted
    pairs = batch.mask_pairs.where(batch.mask_pairs.iou >= lowest)
    single = np.flatnonzero(~truth.crowd[pairs.truth])
    if not len(single):
        return pairs
    sides = (predicted, pairs.predicted), (truth, pairs.truth)
    each = np.sum([np.diff(side.runs.offsets)[side.mask[rows[single]]] for side, rows in sides], axis=0)
    size, widths, iou = (*truth.sizes.max(0).tolist(),), band_widths(truth.sizes, ratio), pairs.iou.copy()
    for lo, hi in chunks(each, _RUNS):
        some = single[lo:hi]
        # the masks that are in a pair, each once
        (row_p, place_p), (row_t, place_t) = (np.unique(rows[some], return_inverse=True) for _, rows in sides)
        bands_p, bands_t = (
            bands(side.runs.take(side.mask[rows]), widths[side.image[rows]], size)
            for side, rows in ((predicted, row_p), (truth, row_t))
        )
        both = shared(bands_p, place_p, bands_t, place_t)
        apart = bands_p.area[place_p] + bands_t.area[place_t] - both
        iou[some] = np.minimum(iou[some], both / apart)
    return Pairs(pairs.predicted, pairs.truth, iou)


class Boundary(ApMetric):
    """Boundary AP and AR over a stream of batches.

    Memory: about 60 bytes per prediction.
    """

    own_kinds = ("boundary",)

    def _pairs(self, batch: Batch, kind: str) -> Pairs:
        return boundary_pairs(batch)


METRIC = Boundary
