"""The class map that instances paint, compared without painting it: in stretches of columns between ends of runs.

Between two neighbouring ends of runs nothing changes, so one number stands for a whole stretch: coordinates are
compressed, and what lies on top is found for stretches instead of pixels. Each run is two overlapping blocks of a power
of two; going from large blocks to small ones, each block hands what it shows to its halves. So time grows with the runs
and not with how deep they lie on each other.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float, Int, Int32
from apiece.core.runs import Keys
from apiece.metrics._kit.batch import Batch, Side


def class_pixels(batch: Batch, conf: Float, void: bool = False) -> Int:
    """Return pixels right, of truth, and of predictions: int64 (images, classes + 1, 3), background last.

    Of instances that overlap, truth shows the smallest, and crowds below everything, as models learn it; predictions
    show the one of highest score, of equal scores the smallest. Where that is equal too, the later one shows.

    ``void``: pixels that no truth covers are left out; else they are background.

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
    worst_first = worst_first[predicted.counted(conf)[worst_first]]
    rows = len(batch.classes) + 1
    ends = [_ends(keys, truth, bottom_up), _ends(keys, predicted, worst_first)]
    cuts, place = np.unique(np.concatenate(ends, 1).ravel(), return_inverse=True)
    places = np.split(place.reshape(2, -1), [ends[0].shape[1]], axis=1)
    length = np.diff(cuts)
    seen = _shown(truth, bottom_up, places[0], len(length), rows - 1)
    told = _shown(predicted, worst_first, places[1], len(length), rows - 1)
    covered = seen < rows - 1 if void else (seen < rows - 1) | (told < rows - 1)
    # as float, which bincount would make of it each time
    length = (length * covered).astype(np.float64)
    image = cuts[:-1] >> keys.column_bits
    cells = ((seen, length * (seen == told)), (seen, length), (told, length))
    columns = [np.bincount(image * rows + label, weight, batch.count * rows) for label, weight in cells]
    out = np.stack(columns, -1).astype(np.int64).reshape(batch.count, rows, 3)
    if not void:
        out[:, -1] += (truth.sizes.prod(1) - np.bincount(image, length, batch.count).astype(np.int64))[:, None]
    return out


def _ends(keys: Keys, side: Side, rows: Int) -> Int:
    """Where the runs of some rows begin and end on one long column: int64 (2, R)."""
    runs = side.runs.take(side.mask[rows])
    begin = keys.pack(side.image[rows][runs.owners], runs.x, runs.y0)
    return np.stack([begin, begin + (runs.y1 - runs.y0)])


def _shown(side: Side, rows: Int, places: Int, size: int, background: int) -> Int:
    """Class of each stretch, where rows are painted one after the other: int64 (size,)."""
    run_label = np.repeat(side.label[rows], np.diff(side.runs.offsets)[side.mask[rows]])
    return np.append(background, run_label)[last_over(places[0], places[1], size)]


def last_over(first: Int, stop: Int, size: int) -> Int32:
    """Return the last interval that covers each place, counted from 1; 0 where none does: int32 (size,).

    ``first`` and ``stop`` are int64 (N,), half-open intervals of one place or more.

    >>> last_over(np.array([0, 2]), np.array([4, 3]), 5).tolist()
    [1, 1, 2, 1, 0]
    """
    level = np.frexp((stop - first).astype(np.float64))[1] - 1
    shown = np.zeros(size, np.int32)
    for k in range(int(level.max(initial=-1)), -1, -1):
        block = 1 << k
        chosen = np.flatnonzero(level == k)
        here = np.zeros(size, np.int32)
        # where a place occurs twice the last value stays: both blocks of one interval before those of the next
        here[np.stack([first[chosen], stop[chosen] - block], 1).ravel()] = np.repeat(chosen + 1, 2)
        np.maximum(here, shown, out=here)
        np.maximum(here[block:], shown[:-block], out=here[block:])
        shown = here
    return shown
