"""What each object of one image and each prediction on it is, to be marked in a picture.

The kinds of error are those of the metric ``errors`` at IoU 0.5, said in a word; a mask's form (merged, split) goes
before its kind.
"""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.metrics._kit.batch import Batch
from apiece.metrics.contract import Settings
from apiece.metrics.errors import Errors
from apiece.ops.overlap import intersections

MARKS = {
    "found": "matched at IoU 0.5 in its class",
    "missed": "nothing points at it",
    "false": "on background",
    "loose": "its mask fits worse than IoU 0.5",
    "merged": "one mask over several objects",
    "split": "several masks on one object",
    "class": "the right place, the wrong class",
    "double": "found twice",
}
"""Every mark, and what it means."""

_OF_KIND = {"class": "class", "localisation": "loose", "both": "loose", "duplicate": "double", "background": "false"}
_OF_FORM = {"merge": "merged", "split": "split"}


def marks(truth: Instances, answer: Instances) -> tuple[list[str], list[str]]:
    """Mark each of ``truth`` and each of ``answer``, which is all counted, by a key of `MARKS`.

    Crowds, and predictions matched to them, are marked as found. Of a prediction without a score nothing else is
    better.

    >>> from apiece import Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 4, 4], [6, 6, 9, 9]], (9, 9)))
    >>> marks(truth, Instances(Masks.from_boxes([[0, 0, 4, 3], [4, 0, 9, 3]], (9, 9))))
    (['found', 'missed'], ['found', 'false'])
    """
    if answer.scores is None:
        answer = answer.replace(scores=np.ones(len(answer)))
    metric = Errors(truth.classes, Settings(max_dets=(max(len(answer), 1),)))
    metric.update(Batch.of(0, [(truth, answer)], truth.classes))
    faults = metric.compute().extras["faults"]
    predicted = ["found"] * len(answer)
    wanted = ["found"] * len(truth)
    for row in faults.lost.tolist():
        wanted[row] = "missed"
    for index, kind, form, about in zip(
        *(column.tolist() for column in (faults.index, faults.kind, faults.form, faults.truth)), strict=True
    ):
        mark = _OF_FORM.get(faults.forms[form], "") if form >= 0 else ""
        mark = mark or (_OF_KIND[faults.kinds[kind]] if kind >= 0 else "found")
        predicted[index] = mark
        if about >= 0 and wanted[about] == "missed" and mark not in ("found", "double"):
            wanted[about] = mark
    _spread_forms(truth, answer, wanted, predicted)
    return wanted, predicted


def _spread_forms(truth: Instances, answer: Instances, wanted: list[str], predicted: list[str]) -> None:
    """Lost objects that a merged mask covers are merged, those that hold pieces are split."""
    shared = intersections(answer.masks, truth.masks).tocoo()
    area_t, area_p = truth.masks.area, answer.masks.area
    for p, t, pixels in zip(shared.row.tolist(), shared.col.tolist(), shared.data.tolist(), strict=True):
        if wanted[t] == "found":
            continue
        if (predicted[p] == "merged" and 2 * pixels > area_t[t]) or (
            predicted[p] == "split" and 2 * pixels > area_p[p] and wanted[t] != "merged"
        ):
            wanted[t] = predicted[p]
