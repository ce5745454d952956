"""What one batch adds to average precision and recall, and the numbers they come to: shared by COCO, boundary and LVIS.

Kept of a prediction: class, rank, score, and one bit per threshold and range of area for right and for wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32, UInt8
from apiece.errors import DataError, Option
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.curves import RECALL, Curves, Ranking
from apiece.metrics._kit.match_ranked import AREA_RANGES, IOU_THRESHOLDS, greedy
from apiece.metrics._kit.overlaps import Pairs

_AT = {round(100 * value): level for level, value in enumerate(IOU_THRESHOLDS)}


@dataclass(frozen=True, eq=False)
class Tally:
    """What one batch adds to the curves of one kind: small, and all that is kept of it.

    Attributes
    ----------
    label : int32 (P,), class of each prediction within the limit.
    rank : int32 (P,), its place by score among those of its image and class.
    score : float64 (P,).
    right, wrong : uint8 (areas, P, 2): bit t says true, false positive at IoU threshold t (``numpy.packbits``).
    positives : int64 (areas, classes), truth that counts.
    image : int32 (P,), its image among all that are evaluated.
    truth_image, truth_label : int32 (T,), image and class of each truth that is no crowd.
    truth_counts : bool (areas, T), whether it counts.
    """

    label: Int32
    rank: Int32
    score: Float
    right: UInt8
    wrong: UInt8
    positives: Int
    image: Int32
    truth_image: Int32
    truth_label: Int32
    truth_counts: Bool


def tally(batch: Batch, pairs: Pairs, kept: Bool, spared: Bool | None = None) -> tuple[Tally, Int]:
    """Match one batch at every IoU threshold and in every range of area.

    Parameters
    ----------
    batch : the images.
    pairs : their overlaps, by mask, box or boundary.
    kept : bool (predictions,), those that count. Of an image and class the best scores, so that leaving the others out
        changes no match.
    spared : bool (predictions,), those that are not wrong where they match nothing; default none.

    Returns
    -------
    the tally, and for each prediction of the batch the pair it is matched by at the first threshold, all areas, or -1.
    """
    truth, predicted = batch.truth, batch.predicted
    single = ~truth.crowd
    right, wrong, counts = [], [], []
    first = np.full(len(predicted), -1, np.int64)
    for name, (low, high) in AREA_RANGES.items():
        ignored = truth.crowd | (truth.area < low) | (truth.area > high)
        outside = (predicted.area < low) | (predicted.area > high)
        if spared is not None:
            outside |= spared
        match = greedy(pairs, ignored, truth.crowd, IOU_THRESHOLDS, len(predicted))
        if not name:
            first = match[0]
        # -1, unmatched, reads the last row: False
        ignored_by = np.append(ignored[pairs.truth], False)[match]
        matched = match >= 0
        right.append(_bits((matched & ~ignored_by)[:, kept]))
        wrong.append(_bits((~matched & ~outside)[:, kept]))
        counts.append(~ignored[single])
    label, rank, image = (
        column[kept].astype(np.int32) for column in (predicted.label, predicted.rank, predicted.image + batch.first)
    )
    truth_image, truth_label = ((c[single]).astype(np.int32) for c in (truth.image + batch.first, truth.label))
    positives = np.stack([np.bincount(truth_label[c], minlength=len(batch.classes)) for c in counts])
    made = Tally(
        label, rank, predicted.score[kept], np.stack(right), np.stack(wrong), positives,
        image, truth_image, truth_label, np.stack(counts),
    )  # fmt: skip
    return made, first


def _bits(flags: Bool) -> UInt8:
    return np.packbits(flags.T, axis=1)


def left_out(limit: int, given: int, counted: int, what: str = "AP and AR") -> tuple[str, ...]:
    """What to say of a limit on predictions per image and class: a cap that bites says so."""
    if given == counted:
        return ()
    limited = Option("max_dets", limit) + f" per image and class left {given - counted} of {given} predictions out of "
    return (limited + f"{what}; raise it where images hold more objects",)


def need_scores(batch: Batch) -> None:
    """Refuse predictions without scores.

    Raises
    ------
    DataError
        naming the image.
    """
    missing = np.isnan(batch.predicted.score)
    if missing.any():
        image = batch.first + int(batch.predicted.image[np.argmax(missing)])
        raise DataError(
            f"image {image}: predictions have no scores, and average precision ranks by score; "
            "ap_tau, aji, counts and panoptic judge masks without any"
        )


def summary(t: Tally, classes: tuple[str, ...], max_dets: Sequence[int]) -> tuple[dict[str, Float], Curves]:
    """Each number before its mean, as an array with first axis classes (-1: no truth), and the curves.

    Keys: ``ap``, ``ap50``, ``ap75``, ``ap_small`` ..., ``ar<n>`` for each n of ``max_dets``, ``ar_small`` ...
    """
    order = np.lexsort((-t.score, t.label))
    ranking = Ranking(t.label[order].astype(np.int64), t.score[order], len(classes))
    right, wrong = t.right[:, order], t.wrong[:, order]
    levels = range(len(IOU_THRESHOLDS))
    ap: dict[str, Float] = {}
    ar: dict[str, Float] = {}
    for a, name in enumerate(AREA_RANGES):
        read = [ranking.precision(_level(right[a], k), _level(wrong[a], k), t.positives[a]) for k in levels]
        ap[name] = np.stack([precision for precision, _ in read], 1)
        ar[name] = np.stack([ranking.recall(_level(right[a], k), t.positives[a]) for k in levels], 1)
        if not name:
            scores = np.stack([score for _, score in read], 1)
    rank = t.rank[order]
    limited = {
        f"ar{m}": np.stack([ranking.recall(_level(right[0], k) & (rank < m), t.positives[0]) for k in levels], 1)
        for m in max_dets
    }
    sizes = [name for name in AREA_RANGES if name]
    numbers = {
        "ap": ap[""],
        "ap50": ap[""][:, _AT[50]],
        "ap75": ap[""][:, _AT[75]],
        **{f"ap_{name}": ap[name] for name in sizes},
        **limited,
        **{f"ar_{name}": ar[name] for name in sizes},
    }
    return numbers, Curves(classes, IOU_THRESHOLDS, RECALL, ap[""], scores)


def _level(bits: UInt8, level: int) -> Bool:
    """One threshold out of packed flags (P, bytes)."""
    return (bits[:, level >> 3] >> (7 - (level & 7))) & 1 == 1


def mean_defined(values: npt.ArrayLike) -> float:
    """Mean of what is defined; -1 where nothing is."""
    array = np.asarray(values)
    defined = array[array > -1]
    return float(defined.mean()) if defined.size else -1.0


def joined(parts: Sequence[Tally], classes: int) -> Tally:
    """The tallies of several batches as one."""
    areas, width = len(AREA_RANGES), (len(IOU_THRESHOLDS) + 7) // 8
    whole, bits = np.zeros(0, np.int32), np.zeros((areas, 0, width), np.uint8)
    return Tally(
        np.concatenate([whole, *(p.label for p in parts)]),
        np.concatenate([whole, *(p.rank for p in parts)]),
        np.concatenate([np.zeros(0), *(p.score for p in parts)]),
        np.concatenate([bits, *(p.right for p in parts)], 1),
        np.concatenate([bits, *(p.wrong for p in parts)], 1),
        np.sum([np.zeros((areas, classes), np.int64), *(p.positives for p in parts)], 0),
        np.concatenate([whole, *(p.image for p in parts)]),
        np.concatenate([whole, *(p.truth_image for p in parts)]),
        np.concatenate([whole, *(p.truth_label for p in parts)]),
        np.concatenate([np.zeros((areas, 0), bool), *(p.truth_counts for p in parts)], 1),
    )
