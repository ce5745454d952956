"""Panoptic quality: PQ = SQ x RQ, of things and of stuff, and of plain instance sets.

Per class: RQ = TP / (TP + FP/2 + FN/2), the F1 of segments; SQ, the mean IoU of the matched; PQ, their product. A match
is of IoU above 0.5 and of one class. ``pq``, ``sq``, ``rq`` are means over the classes that occur (TP + FP + FN > 0);
with classes of stuff (``Settings.stuff``) also ``pq_things``, ``pq_stuff`` and their kin. ``pq_image`` is the mean over
images of PQ with all classes of an image counted together, as microscopy papers give it.

- Panoptic labels (there is stuff): all instances of a class of stuff in an image are one segment. Pixels that no truth
  covers are void: taken out of IoU, and a prediction that matches nothing is no mistake if more than half of it lies on
  void and on crowds of its class together. This is panopticapi's rule. torchmetrics knows no crowds, and forgives
  what a prediction leaves open as well as what truth does; that is not followed.
- Instance sets (there is none): what no truth covers is background, and a pixel there is a mistake, as in StarDist's
  ``matching`` and HoVer-Net's ``get_fast_pq``; crowds as above.
- Masks may overlap, which PQ's papers do not allow: IoU is that of whole masks. Where a segment then has several
  partners of IoU above 0.5, the one-to-one matching of the largest total IoU counts, which makes PQ largest.
- NaN means undefined: the class does not occur. With no match SQ is 0, as in panopticapi.

References: Kirillov et al., Panoptic Segmentation, CVPR 2019, arXiv 1801.00868; Graham et al., HoVer-Net, 2019, arXiv
1812.06499.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.core.runs import Runs
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.match_answer import Answer
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Pairs, mask_pairs
from apiece.metrics._kit.ratios import mean_over, ratio
from apiece.metrics._kit.sums_per_image import CellMetric
from apiece.metrics.contract import Settings

__all__ = ["METRIC", "Panoptic", "count", "quality"]


def quality(sums: npt.NDArray[np.number]) -> dict[str, Float]:
    """PQ, SQ and RQ from sums with last axis (TP, FP, FN, IoU of the matched); NaN where TP, FP and FN are 0.

    >>> {key: value.tolist() for key, value in quality(np.array([[2, 1, 1, 1.5], [0, 0, 0, 0]])).items()}
    {'pq': [0.5, nan], 'sq': [0.75, nan], 'rq': [0.6666666666666666, nan]}
    """
    right, wrong, missed, iou = np.moveaxis(sums, -1, 0)
    whole = right + 0.5 * wrong + 0.5 * missed
    matched = np.where((right == 0) & (whole > 0), 0.0, ratio(iou, right))
    return {"pq": ratio(iou, whole), "sq": matched, "rq": ratio(right, whole)}


def count(batch: Batch, conf: Float, stuff: Bool) -> Float:
    """TP, FP, FN and summed IoU of each image and class: float64 (images, classes, 4).

    Parameters
    ----------
    batch : the images.
    conf : float64 (classes,), lowest score that counts; predictions without scores all count.
    stuff : bool (classes,), which classes are stuff; if any, what no truth covers is void.
    """
    segments = _panoptic(batch, conf, stuff) if stuff.any() else _instances(batch, conf)
    near = segments.pairs.where(segments.pairs.iou > 0.5)
    match = near.where(heaviest(near.predicted, near.truth, near.iou))
    right = segments.group_p[match.predicted]
    alone = segments.judged & ~segments.spared
    alone[match.predicted] = False
    sums = batch.by_cell(right, segments.group_p[alone], segments.group_t, (right, match.iou))
    sums[..., 2] -= sums[..., 0]
    return sums


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segments of both sides: their (image, class), overlaps, and which predictions are no mistake on their own."""

    group_p: Int
    group_t: Int
    judged: Bool
    spared: Bool
    pairs: Pairs


def _instances(batch: Batch, conf: Float) -> _Segments:
    answer = Answer.of(batch, conf)
    single = np.flatnonzero(~batch.truth.crowd)
    place = np.zeros(len(batch.truth), np.int64)
    place[single] = np.arange(len(single))
    pairs = Pairs(answer.pairs.predicted, place[answer.pairs.truth], answer.pairs.iou)
    return _Segments(batch.predicted.group, batch.truth.group[single], answer.counted, answer.spared, pairs)


def _panoptic(batch: Batch, conf: Float, stuff: Bool) -> _Segments:
    """Stuff joined per image and class, void taken out of IoU."""
    truth, predicted = batch.truth, batch.predicted
    kept = np.flatnonzero(predicted.counted(conf))
    crowd, single = np.flatnonzero(truth.crowd), np.flatnonzero(~truth.crowd)
    runs_p, row_p = _joined(predicted, kept, stuff)
    runs_t, row_t = _joined(truth, single, stuff)
    group_p, group_t, image_p = predicted.group[row_p], truth.group[row_t], predicted.image[row_p]
    every = np.arange(len(row_p))
    sizes = truth.sizes
    covered = _shares(runs_p, image_p, *_united(truth, np.arange(len(truth)), truth.image, batch.count), sizes)
    inside = _shares(runs_p, group_p, *_united(truth, crowd, truth.group, batch.count * len(batch.classes)),
                     np.repeat(sizes, len(batch.classes), 0))  # fmt: skip
    area_p, area_t = runs_p.area, runs_t.area
    void = area_p - np.rint(covered * area_p)
    unclear = void + np.rint(inside * area_p)
    none = np.zeros(len(row_t), bool)
    pairs = mask_pairs(runs_p, every, group_p, runs_t, np.arange(len(row_t)), group_t, none, sizes[truth.image[row_t]])
    mine, other = area_p[pairs.predicted], area_t[pairs.truth]
    shared = np.rint(pairs.iou * (mine + other) / (1 + pairs.iou))
    iou = shared / (mine + other - shared - void[pairs.predicted])
    judged = np.ones(len(row_p), bool)
    return _Segments(group_p, group_t, judged, 2 * unclear > area_p, Pairs(pairs.predicted, pairs.truth, iou))


def _joined(side: Side, rows: Int, stuff: Bool) -> tuple[Runs, Int]:
    """Segments as runs, and a row of the side that each has (its first, where several are joined)."""
    segment = rows.copy()
    joins = stuff[side.label[rows]]
    if joins.any():
        _, first, which = np.unique(side.group[rows[joins]], return_index=True, return_inverse=True)
        segment[joins] = rows[joins][first[which]]
    row, number = np.unique(segment, return_inverse=True)
    return _union(side, rows, number, len(row)), row


def _united(side: Side, rows: Int, group: Int, groups: int) -> tuple[Runs, Int]:
    """All masks of each group as one, and the numbers of the groups."""
    return _union(side, rows, group[rows], groups), np.arange(groups)


def _union(side: Side, rows: Int, group: Int, groups: int) -> Runs:
    owner, x, y0, y1 = side.runs.take(side.mask[rows]).loose
    height, width = side.sizes.max(0).tolist()
    return Runs.pack((group[owner], x, y0, y1), groups, (height, width))


def _shares(runs_p: Runs, group_p: Int, runs: Runs, group: Int, sizes: Int) -> Float:
    """Share of each prediction's pixels inside the one mask of its group: float64 (predictions,)."""
    every = np.arange(len(group_p))
    # against a crowd the overlap is this share
    pairs = mask_pairs(runs_p, every, group_p, runs, np.arange(len(group)), group, np.ones(len(group), bool), sizes)
    return np.bincount(pairs.predicted, pairs.iou, len(group_p)).astype(np.float64)


class Panoptic(CellMetric):
    """PQ, SQ and RQ over a stream of batches; keeps four numbers per (image, class) in which there is anything."""

    columns = 4

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        super().__init__(classes, settings)
        self.stuff = self.settings.is_stuff(self.classes)

    def _count(self, batch: Batch) -> Float:
        return count(batch, self.conf, self.stuff)

    def _found(self, sums: Float, weights: Int32 | None) -> tuple[dict[str, Float], dict[str, Float]]:
        by_class = quality(sums)
        numbers = {key: mean_over(values) for key, values in by_class.items()}
        if self.stuff.any():
            for name, chosen in (("things", ~self.stuff), ("stuff", self.stuff)):
                numbers |= {f"{key}_{name}": mean_over(values[:, chosen]) for key, values in by_class.items()}
        numbers["pq_image"] = self._mean_image(quality(self._cells.by_image())["pq"], weights)
        return numbers, by_class


METRIC = Panoptic
