"""COCO average precision and recall, of masks and of boxes: the twelve numbers of pycocotools, equal to 1e-9.

For masks the keys are ``mask_ap`` (mean over IoU 0.5 to 0.95 and over classes), ``mask_ap50``, ``mask_ap75``,
``mask_ap_small``, ``mask_ap_medium``, ``mask_ap_large``, ``mask_ar1``, ``mask_ar10``, ``mask_ar100`` (one per number in
``max_dets``), ``mask_ar_small``, ``mask_ar_medium``, ``mask_ar_large``; for boxes the same with ``box_``.

Rules, where pycocotools has choices:

- **-1 means undefined**: there is no truth that counts (of this class, of this size). Means leave such classes out.
  This is pycocotools' own sign, kept so that numbers can be compared as they are; this module alone makes it.
- Everything but ``ar<n>`` uses the largest of ``max_dets``. (pycocotools answers -1 for limits other than 1, 10, 100.)
- Equal scores of different images stay in the order the images come; pycocotools takes them by ascending image id.
- Small, medium, large and the box: see `apiece.metrics._batch.Side`.
- An annotation id of 0 means nothing special here; pycocotools takes a match with it for no match.

Reference: Lin et al., Microsoft COCO, arXiv 1405.0312; cocoapi, ``cocoeval.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from apiece.errors import DataError
from apiece.metrics._base import Judges, MetricResult, Settings
from apiece.metrics._batch import Batch, Side
from apiece.metrics._curves import RECALL, Curves, Ranking
from apiece.metrics._match import AREA_RANGES, IOU_THRESHOLDS, Matches, greedy
from apiece.metrics._pairs import Pairs

__all__ = ["METRIC", "Coco", "Tally", "tally"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


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
    """

    label: npt.NDArray[np.int32]
    rank: npt.NDArray[np.int32]
    score: Float
    right: npt.NDArray[np.uint8]
    wrong: npt.NDArray[np.uint8]
    positives: Int


def tally(batch: Batch, pairs: Pairs, limit: int) -> tuple[Tally, Int]:
    """Match one batch at every IoU threshold and in every range of area.

    Parameters
    ----------
    batch : the images.
    pairs : their overlaps, by mask or by box.
    limit : most predictions counted per image and class.

    Returns
    -------
    the tally, and for each prediction of the batch the pair it is matched by at the first threshold, all areas, or -1.
    """
    truth, predicted = batch.truth, batch.predicted
    kept = predicted.rank < limit
    right, wrong, positives = [], [], []
    first = np.full(len(predicted), -1, np.int64)
    for name, (low, high) in AREA_RANGES.items():
        ignored = truth.crowd | (truth.area < low) | (truth.area > high)
        outside = (predicted.area < low) | (predicted.area > high)
        match = greedy(pairs, ignored, truth.crowd, IOU_THRESHOLDS, len(predicted))
        if not name:
            first = match[0]
        # -1, unmatched, reads the last row: False
        ignored_by = np.append(ignored[pairs.truth], False)[match]
        matched = match >= 0
        right.append(_bits((matched & ~ignored_by)[:, kept]))
        wrong.append(_bits((~matched & ~outside)[:, kept]))
        positives.append(np.bincount(truth.label[~ignored], minlength=len(batch.classes)))
    label, rank = (column[kept].astype(np.int32) for column in (predicted.label, predicted.rank))
    return Tally(label, rank, predicted.score[kept], np.stack(right), np.stack(wrong), np.stack(positives)), first


def _bits(flags: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.packbits(flags.T, axis=1)


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
        predicted = batch.predicted
        if np.isnan(predicted.score).any():
            image = batch.first + int(predicted.image[np.argmax(np.isnan(predicted.score))])
            raise DataError(f"image {image}: predictions have no scores, and average precision ranks by score")
        self._given += len(predicted)
        for kind in self.kinds:
            pairs = batch.mask_pairs if kind == "mask" else batch.box_pairs
            made, first = tally(batch, pairs, self.max_dets[-1])
            self._tallies[kind].append(made)
            if kind == "mask":
                self._matches.append(_matches(batch, pairs, first))

    def compute(self) -> MetricResult:
        """All numbers, per class too; extras: ``"mask"`` and ``"box"``, `Curves`; ``"matches"``, `Matches` of masks."""
        numbers: dict[str, float] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self.classes}
        extras: dict[str, object] = {}
        for kind in self.kinds:
            whole = _joined(self._tallies[kind], len(self.classes))
            values, extras[kind] = _summary(whole, self.classes, self.max_dets)
            for key, by_class in values.items():
                numbers[f"{kind}_{key}"] = _mean(by_class)
                for name, column in zip(self.classes, by_class, strict=True):
                    per_class[name][f"{kind}_{key}"] = _mean(column)
        if "mask" in self.kinds:
            extras["matches"] = _joined_matches(self._matches, self.classes)
        return MetricResult(numbers, per_class, extras, self._notes())

    def _notes(self) -> tuple[str, ...]:
        """What the limit left out: a cap that bites says so."""
        given, counted = self._given, sum(len(t.label) for t in self._tallies[self.kinds[0]])
        if given == counted:
            return ()
        return (
            f"max_dets={self.max_dets[-1]} per image and class left {given - counted} of {given} predictions "
            "out of AP and AR; raise it where images hold more objects",
        )


METRIC = Coco


def _summary(t: Tally, classes: tuple[str, ...], max_dets: tuple[int, ...]) -> tuple[dict[str, Float], Curves]:
    """Each number before its mean, as an array with first axis classes, and the curves."""
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
    at = {round(100 * value): k for k, value in enumerate(IOU_THRESHOLDS)}
    sizes = [name for name in AREA_RANGES if name]
    numbers = {
        "ap": ap[""],
        "ap50": ap[""][:, at[50]],
        "ap75": ap[""][:, at[75]],
        **{f"ap_{name}": ap[name] for name in sizes},
        **limited,
        **{f"ar_{name}": ar[name] for name in sizes},
    }
    return numbers, Curves(classes, IOU_THRESHOLDS, RECALL, ap[""], scores)


def _level(bits: npt.NDArray[np.uint8], level: int) -> npt.NDArray[np.bool_]:
    """One threshold out of packed flags (P, bytes)."""
    return (bits[:, level >> 3] >> (7 - (level & 7))) & 1 == 1


def _mean(values: npt.ArrayLike) -> float:
    """Mean of what is defined; -1 where nothing is."""
    array = np.asarray(values)
    defined = array[array > -1]
    return float(defined.mean()) if defined.size else -1.0


def _joined(parts: list[Tally], classes: int) -> Tally:
    areas, width = len(AREA_RANGES), (len(IOU_THRESHOLDS) + 7) // 8
    nothing = np.zeros((areas, 0, width), np.uint8)
    return Tally(
        np.concatenate([np.zeros(0, np.int32), *(p.label for p in parts)]),
        np.concatenate([np.zeros(0, np.int32), *(p.rank for p in parts)]),
        np.concatenate([np.zeros(0), *(p.score for p in parts)]),
        np.concatenate([nothing, *(p.right for p in parts)], 1),
        np.concatenate([nothing, *(p.wrong for p in parts)], 1),
        np.sum([np.zeros((areas, classes), np.int64), *(p.positives for p in parts)], 0),
    )


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


def _read(column: npt.NDArray[Any], rows: Int, where: npt.NDArray[np.bool_], other: int) -> npt.NDArray[Any]:
    """``column[rows]`` where asked for, ``other`` elsewhere."""
    out = np.full(len(rows), other, column.dtype)
    out[where] = column[rows[where]]
    return out


def _per_image(truth: Side, batch: Batch) -> npt.NDArray[np.int32]:
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
