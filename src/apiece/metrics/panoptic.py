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
- NaN means undefined: the class does not occur. With no match SQ is 0, as in panopticapi; so a mean of it over classes
  jumps where half of the images have no match of a rare class, and has no interval.

References: Kirillov et al., Panoptic Segmentation, CVPR 2019, arXiv 1801.00868; Graham et al., HoVer-Net, 2019, arXiv
1812.06499.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.core.runs import Runs
from apiece.metrics._kit.batch import Batch, Side
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Grouped, Pairs, mask_pairs
from apiece.metrics._kit.ratios import ratio
from apiece.metrics._kit.sums_per_image import Answer, CellMetric
from apiece.metrics.contract import Resampled, Settings

__all__ = ["METRIC", "Panoptic", "count", "quality"]


def quality(sums: npt.NDArray[np.number]) -> dict[str, Float]:
    """Return PQ, SQ and RQ from sums with last axis (TP, FP, FN, IoU of the matched); NaN where the first three are 0.

    >>> {key: value.tolist() for key, value in quality(np.array([[2, 1, 1, 1.5], [0, 0, 0, 0]])).items()}
    {'pq': [0.5, nan], 'sq': [0.75, nan], 'rq': [0.6666666666666666, nan]}
    """
    right, wrong, missed, iou = np.moveaxis(sums, -1, 0)
    whole = right + 0.5 * wrong + 0.5 * missed
    matched = np.where((right == 0) & (whole > 0), 0.0, ratio(iou, right))
    return {"pq": ratio(iou, whole), "sq": matched, "rq": ratio(right, whole)}


def count(batch: Batch, conf: Float, stuff: Bool) -> Float:
    """Return TP, FP, FN and summed IoU of each image and class: float64 (images, classes, 4).

    ``conf`` is the lowest score that counts, float64 (classes,); ``stuff`` which classes are stuff, bool (classes,): if
    there are any, what no truth covers is void.
    """
    segments = _panoptic(batch, conf, stuff) if stuff.any() else _instances(batch, conf)
    near = segments.pairs.where(segments.pairs.iou > 0.5)
    match = near.where(heaviest(near.predicted, near.truth, near.iou))
    right, wrong = segments.predicted[match.predicted], segments.judged.copy()
    wrong[match.predicted] = False
    sums = batch.by_cell(right, segments.predicted[wrong], segments.truth, (right, match.iou))
    sums[..., 2] -= sums[..., 0]
    return sums


@dataclass(frozen=True, eq=False)
class _Segments:
    """Segments: (image, class) of each side's, which predictions are a mistake where they match nothing, overlaps."""

    predicted: Int
    truth: Int
    judged: Bool
    pairs: Pairs


def _instances(batch: Batch, conf: Float) -> _Segments:
    answer = Answer.of(batch, conf)
    wanted = batch.truth.group[~batch.truth.crowd]
    return _Segments(batch.predicted.group, wanted, answer.counted & ~answer.spared, answer.pairs)


def _panoptic(batch: Batch, conf: Float, stuff: Bool) -> _Segments:
    """Stuff joined per image and class, void taken out of IoU."""
    truth, predicted, classes = batch.truth, batch.predicted, len(batch.classes)
    found, image_p = _joined(predicted, np.flatnonzero(predicted.counted(conf)), stuff)
    wanted, _ = _joined(truth, np.flatnonzero(~truth.crowd), stuff)
    whole = _union(truth, np.arange(len(truth)), truth.image, batch.count)
    covered = _shares(replace(found, group=image_p), whole)
    crowds = _union(truth, np.flatnonzero(truth.crowd), truth.group[truth.crowd], batch.count * classes)
    inside = _shares(found, crowds)
    area_p, area_t = found.runs.area, wanted.runs.area
    void = area_p - np.rint(covered * area_p)
    unclear = void + np.rint(inside * area_p)
    pairs = mask_pairs(found, wanted, np.zeros(len(area_t), bool))
    mine, other = area_p[pairs.predicted], area_t[pairs.truth]
    shared = np.rint(pairs.iou * (mine + other) / (1 + pairs.iou))
    iou = shared / (mine + other - shared - void[pairs.predicted])
    return _Segments(found.group, wanted.group, 2 * unclear <= area_p, Pairs(pairs.predicted, pairs.truth, iou))


def _joined(side: Side, rows: Int, stuff: Bool) -> tuple[Grouped, Int]:
    """Segments with their (image, class), stuff as one per image and class; and the image of each."""
    segment = rows.copy()
    joins = stuff[side.label[rows]]
    if joins.any():
        _, first, which = np.unique(side.group[rows[joins]], return_index=True, return_inverse=True)
        segment[joins] = rows[joins][first[which]]
    row, number = np.unique(segment, return_inverse=True)
    return Grouped(_union(side, rows, number, len(row)), side.group[row], np.arange(len(row))), side.image[row]


def _union(side: Side, rows: Int, group: Int, groups: int) -> Runs:
    """The masks of some rows, those of each group as one."""
    owner, x, y0, y1 = side.runs.take(side.mask[rows]).loose
    height, width = side.sizes.max(0).tolist()
    return Runs.pack((group[owner], x, y0, y1), groups, (height, width))


def _shares(found: Grouped, regions: Runs) -> Float:
    """Share of each prediction's pixels inside the one region of its group: float64 (predictions,)."""
    every = np.arange(regions.number)
    # against a crowd the overlap is this share
    pairs = mask_pairs(found, Grouped(regions, every, every), np.ones(len(every), bool))
    return np.bincount(pairs.predicted, pairs.iou, len(found.group)).astype(np.float64)


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
        numbers = dict(by_class)
        if self.stuff.any():
            for name, chosen in (("things", ~self.stuff), ("stuff", self.stuff)):
                numbers |= {f"{key}_{name}": values[:, chosen] for key, values in by_class.items()}
        numbers["pq_image"] = self._mean_image(quality(self._cells.by_image())["pq"], weights)
        return numbers, by_class

    def resample(self, weights: Int32) -> Resampled:
        """Return all numbers on each draw, without means of SQ; see `apiece.metrics.contract.Resampling`."""
        found = super().resample(weights)
        return replace(found, numbers={k: v for k, v in found.numbers.items() if not k.startswith("sq")})


METRIC = Panoptic
