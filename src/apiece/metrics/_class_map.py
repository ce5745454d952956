"""The class map that instances paint, compared without painting it: in stretches of columns between ends of runs.

Between two neighbouring ends of runs nothing changes, so one number stands for a whole stretch: coordinates are
compressed, and the painting is done on stretches instead of pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece.core._runs import CHUNK, Keys, expand
from apiece.metrics._batch import Batch, Side

__all__ = ["class_pixels"]

Int = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]


def class_pixels(batch: Batch, conf: Float, void: bool = False) -> Int:
    """Pixels right, of truth, and of predictions: int64 (images, classes + 1, 3), background last.

    Of instances that overlap, truth shows the smallest, and crowds below everything, as models learn it; predictions
    show the one of highest score, of equal scores the smallest. Where that is equal too, the later one shows.

    Parameters
    ----------
    batch : the images.
    conf : float64 (classes,), lowest score that counts; predictions without scores all count.
    void : whether pixels that no truth covers are left out; else they are background.

    >>> from apiece import Instances, Masks
    >>> truth = Instances(Masks.from_boxes([[0, 0, 4, 1], [0, 0, 2, 1]], (1, 10)), [0, 1], ("a", "b"))
    >>> found = Instances(Masks.from_boxes([[0, 0, 5, 1]], (1, 10)), [0], ("a", "b"), [0.9])
    >>> class_pixels(Batch.of(0, [(truth, found)], ("a", "b")), np.zeros(2)).tolist()
    [[[2, 2, 5], [0, 2, 0], [5, 6, 5]]]
    """
    truth, predicted = batch.truth, batch.predicted
    keys = Keys(*truth.sizes.max(0).tolist())
    keys.check(batch.count)
    bottom_up = np.lexsort((truth.index, -truth.pixels, ~truth.crowd))
    score = np.nan_to_num(predicted.score)
    worst_first = np.lexsort((predicted.index, -predicted.pixels, score))
    worst_first = worst_first[~(predicted.score < conf[predicted.label])[worst_first]]
    sides = [_Stretches(keys, truth, bottom_up), _Stretches(keys, predicted, worst_first)]
    cuts = np.sort(np.concatenate([ends for side in sides for ends in (side.begin, side.end)]))
    # np.unique hashes, which takes many times as long as sorting packed keys
    cuts = cuts[np.append(True, cuts[1:] != cuts[:-1])[: len(cuts)]]
    shown = [side.paint(cuts) for side in sides]
    covered = np.flatnonzero(shown[0] > 0 if void else (shown[0] > 0) | (shown[1] > 0))
    length = np.diff(cuts)[covered]
    image = cuts[covered] >> keys.column_bits
    rows = len(batch.classes) + 1
    # 0 is background: the last row
    seen, told = ((values[covered] - 1) % rows for values in shown)
    right = seen == told
    cells = (batch.count, rows)
    columns = [
        np.bincount(image[chosen] * rows + label[chosen], length[chosen], batch.count * rows)
        for chosen, label in ((right, seen), (slice(None), seen), (slice(None), told))
    ]
    out = np.stack(columns, -1).astype(np.int64).reshape(*cells, 3)
    if not void:
        out[:, -1] += (truth.sizes.prod(1) - np.bincount(image, length, batch.count).astype(np.int64))[:, None]
    return out


class _Stretches:
    """Runs of some rows of a side, in the order in which they are painted, as stretches of one long column."""

    def __init__(self, keys: Keys, side: Side, rows: Int) -> None:
        runs = side.runs[side.mask[rows]]
        row = rows[runs.owners()]
        self.begin = keys.pack(side.image[row], runs.x, runs.y0)
        self.end = self.begin + (runs.y1 - runs.y0)
        self.value = side.label[row] + 1

    def paint(self, cuts: Int) -> Int:
        """What each stretch from one cut to the next shows: 1 + class, or 0."""
        out = np.zeros(max(len(cuts) - 1, 0), np.int64)
        first = np.searchsorted(cuts, self.begin)
        count = np.searchsorted(cuts, self.end) - first
        ends = np.cumsum(count)
        lo = 0
        while lo < len(count):
            done = int(ends[lo - 1]) if lo else 0
            hi = max(int(np.searchsorted(ends, done + CHUNK, "right")), lo + 1)
            # where an index occurs twice the last value stays
            out[expand(first[lo:hi], count[lo:hi])] = np.repeat(self.value[lo:hi], count[lo:hi])
            lo = hi
        return out
