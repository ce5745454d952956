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

from typing import ClassVar

import numpy as np

from apiece._arrays import Int32
from apiece.metrics._kit.ap_counts import Tally, joined, left_out, mean_defined, need_scores, summary, tally
from apiece.metrics._kit.ap_draws import resampled
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.match_ranked import IOU_THRESHOLDS
from apiece.metrics._kit.overlaps import Pairs, shared
from apiece.metrics.boundary._runs import band_widths, bands
from apiece.metrics.contract import Judges, MetricResult, Resampled, Settings

__all__ = ["METRIC", "Boundary", "boundary_pairs"]


def boundary_pairs(batch: Batch, ratio: float = 0.02, lowest: float = float(IOU_THRESHOLDS[0])) -> Pairs:
    """The pairs of one image and class with the smaller of mask IoU and boundary IoU.

    Parameters
    ----------
    batch : the images.
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
    # the masks that are in a pair, each once
    (row_p, place_p), (row_t, place_t) = (
        np.unique(rows[single], return_inverse=True) for rows in (pairs.predicted, pairs.truth)
    )
    size = (int(truth.sizes[:, 0].max()), int(truth.sizes[:, 1].max()))
    bands_p, bands_t = (
        bands(side.runs.take(side.mask[rows]), band_widths(side.sizes, ratio)[side.image[rows]], size)
        for side, rows in ((predicted, row_p), (truth, row_t))
    )
    both = shared(bands_p.take(place_p), bands_t.take(place_t), size)
    apart = bands_p.area[place_p] + bands_t.area[place_t] - both
    iou = pairs.iou.copy()
    iou[single] = np.minimum(iou[single], both / apart)
    return Pairs(pairs.predicted, pairs.truth, iou)


class Boundary:
    """Boundary AP and AR over a stream of batches.

    Memory: about 60 bytes per prediction.
    """

    judges: ClassVar[Judges] = "ranked"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        self.max_dets = (settings or Settings()).max_dets
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tallies: list[Tally] = []
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
        self._tallies.append(tally(batch, boundary_pairs(batch), kept)[0])

    def compute(self) -> MetricResult:
        """All numbers, per class too; extra ``"boundary"``: `Curves`."""
        whole = joined(self._tallies, len(self.classes))
        values, curves = summary(whole, self.classes, self.max_dets)
        numbers = {f"boundary_{key}": mean_defined(by_class) for key, by_class in values.items()}
        per_class = {
            name: {f"boundary_{key}": mean_defined(by_class[k]) for key, by_class in values.items()}
            for k, name in enumerate(self.classes)
        }
        return MetricResult(
            numbers, per_class, {"boundary": curves}, left_out(self.max_dets[-1], self._given, len(whole.label))
        )

    def resample(self, weights: Int32) -> Resampled:
        """All numbers on each draw; see `apiece.metrics.contract.Resampling`."""
        whole = joined(self._tallies, len(self.classes))
        return resampled(whole, "boundary_", self.classes, self.max_dets, weights)


METRIC = Boundary
