"""What one batch adds to average precision and recall, and the numbers they come to: shared by COCO, boundary and LVIS.

Kept of a prediction: class, rank, score, and one bit per threshold and range of area for right and for wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int, Int32, UInt16
from apiece.errors import DataError, Option
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.curves import RECALL, Curves, Ranking
from apiece.metrics._kit.match_ranked import AREA_RANGES, IOU_THRESHOLDS, greedy
from apiece.metrics._kit.overlaps import Pairs

LEVEL_OF = {round(100 * value): level for level, value in enumerate(IOU_THRESHOLDS)}
"""Which of the thresholds is IoU 0.50, 0.75 ..."""
_EVERY = np.uint16((1 << len(IOU_THRESHOLDS)) - 1)
"""The bits of all thresholds."""


@dataclass(frozen=True, eq=False)
class Tally:
    """What one batch adds to the curves of one kind of overlap: small, and all that is kept of it.

    Attributes
    ----------
    label, image : int32 (P,), class of each prediction that counts, and its image among all that are evaluated.
    rank : int32 (P,), its place by score among those of its image and class.
    score : float64 (P,).
    right, wrong : uint16 (P, areas): bit t says true, false positive at IoU threshold t.
    truth_label, truth_image : int32 (T,), class and image of each truth that is no crowd.
    truth_counts : bool (T, areas), whether it counts.
    """

    label: Int32
    image: Int32
    rank: Int32
    score: Float
    right: UInt16
    wrong: UInt16
    truth_label: Int32
    truth_image: Int32
    truth_counts: Bool


def tally(batch: Batch, pairs: Pairs, kept: Bool, spared: Bool | None = None) -> tuple[Tally, Int]:
    """Match one batch at every IoU threshold and in every range of area.

    Predictions that are ``kept`` count: the best scores of an image and class, so that no match changes; those that are
    ``spared`` are not wrong where they match nothing. Also given: the pair that each prediction is matched by at the
    first threshold, all areas, or -1.
    """
    truth, predicted = batch.truth, batch.predicted
    single = ~truth.crowd
    (low, high), shape = np.array(list(AREA_RANGES.values())).T[..., None], (len(AREA_RANGES), len(predicted))
    ignored = truth.crowd | (truth.area < low) | (truth.area > high)
    matched, right = np.zeros((2, shape[0] * shape[1]), np.uint16)
    first = np.full(len(predicted), -1, np.int64)
    for found in greedy(pairs, ignored, truth.crowd, IOU_THRESHOLDS, len(predicted)):
        at, bit = found.view * shape[1] + pairs.predicted[found.pair], (1 << found.level).astype(np.uint16)
        # a prediction has one match at each threshold: its bits add up
        np.add.at(matched, at, bit)
        np.add.at(right, at, bit * ~ignored[found.view, pairs.truth[found.pair]])
        plain = found.pair[(found.view == 0) & (found.level == 0)]
        first[pairs.predicted[plain]] = plain
    matched, right = matched.reshape(shape), right.reshape(shape)
    outside = (predicted.area < low) | (predicted.area > high)
    if spared is not None:
        outside |= spared
    wrong = np.where(outside, np.uint16(0), ~matched & _EVERY)
    columns = (predicted.label, predicted.image + batch.first, predicted.rank)
    label, image, rank = (column[kept].astype(np.int32) for column in columns)
    truth_label, truth_image = (column[single].astype(np.int32) for column in (truth.label, truth.image + batch.first))
    bits = right.T[kept], wrong.T[kept]
    return Tally(label, image, rank, predicted.score[kept], *bits, truth_label, truth_image, ~ignored.T[single]), first


def left_out(limit: int, lost: int, given: int, what: str) -> tuple[str, ...]:
    """Return what to say of a limit on predictions per image and class: a cap that bites says so."""
    if not lost:
        return ()
    limited = Option("max_dets", limit) + f" per image and class left {lost} of {given} predictions out of "
    return (limited + f"{what}; raise it where images hold more objects",)


def need_scores(batch: Batch) -> None:
    """Refuse predictions without scores, by a DataError that names the image."""
    missing = np.isnan(batch.predicted.score)
    if missing.any():
        without = ("ap_tau", "aji", "counts", "panoptic")
        raise DataError(
            f"{batch.called(batch.predicted.image[np.argmax(missing)])}: predictions have no scores, and average "
            "precision ranks by score; judge masks without scores with "
            + Option(f"metrics={without}", flag=f"--metrics {','.join(without)}")
            + ", or give predictions with scores, such as COCO results or YOLO rows that end with one"
        )


def summary(t: Tally, classes: tuple[str, ...], max_dets: Sequence[int]) -> tuple[dict[str, Float], Curves]:
    """Return each number before its mean, as an array with first axis classes (-1: no truth), and the curves.

    Keys: ``ap``, ``ap50``, ``ap75``, ``ap_small`` ..., ``ar<n>`` for each n of ``max_dets``, ``ar_small`` ...
    """
    order = np.lexsort((-t.score, t.label))
    ranking = Ranking(t.label[order].astype(np.int64), t.score[order], len(classes))
    ap: dict[str, Float] = {}
    ar: dict[str, Float] = {}
    for a, area in enumerate(AREA_RANGES):
        right, wrong = (levels(bits[order, a]) for bits in (t.right, t.wrong))
        positives = np.bincount(t.truth_label[t.truth_counts[:, a]], minlength=len(classes))
        read = [ranking.precision(r, w, positives) for r, w in zip(right, wrong, strict=True)]
        precision = np.stack([one for one, _ in read], 1)
        if area:
            ap[f"ap_{area}"], limits = precision, {f"ar_{area}": right}
        else:
            ap |= {"ap": precision, **{f"ap{at}": precision[:, LEVEL_OF[at]] for at in (50, 75)}}
            limits = {f"ar{n}": right & (t.rank[order] < n) for n in max_dets}
            curves = Curves(classes, IOU_THRESHOLDS, RECALL, precision, np.stack([score for _, score in read], 1))
        for key, hits in limits.items():
            ar[key] = np.stack([ranking.recall(level, positives) for level in hits], 1)
    return ap | ar, curves


def levels(bits: UInt16) -> Bool:
    """Return all thresholds out of packed flags (P,): bool (thresholds, P)."""
    return (bits & np.uint16(1) << np.arange(len(IOU_THRESHOLDS), dtype=np.uint16)[:, None]) != 0
