"""From the answers of queries to instances.

Each mask is looked at only where its grid is above the threshold, so a query costs what its object covers. A grid is
placed on the image by exact scaling: no part of the padding is stretched onto it.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool, Float, Float32, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, chance, image_by_image
from apiece.models._kit.clustering import suppress
from apiece.models._kit.soft_edges import logit, with_edges
from apiece.models._kit.stuff_segments import as_segments
from apiece.models.contract import DecodeOptions, Frame

CELL = 4
"""Pixels of the input along a cell of the masks of Mask2Former, MaskFormer and EoMT."""

_VALUES = 1 << 20  # grid values compared at once


def chosen_classes(logits: Float32, none: bool = True) -> Float:
    """Return chances of each class, float64 (Q, C): a softmax whose last class, "no object", is left out; with
    ``none=False`` a sigmoid of each class."""
    if not none:
        return chance(logits)
    powers = np.exp((logits - logits.max(-1, keepdims=True)).astype(np.float64))
    return powers[..., :-1] / powers.sum(-1, keepdims=True)


def decode_queries(
    chances: Float,
    maps: Float32,
    frame: Frame,
    classes: tuple[str, ...],
    options: DecodeOptions,
    *,
    cell: float | tuple[float, float],
    filled: bool = True,
) -> Instances:
    """Return the answers of one image's queries as instances at the image's size, best first.

    Each query stands for its likeliest class. Of two of one class whose masks overlap by more than ``options.iou`` (on
    the grid), the better one stays.

    Parameters
    ----------
    chances : (Q, C) in [0, 1], see `chosen_classes`.
    maps : (Q, h, w) mask logits; the grid begins at the upper left corner of the network input.
    cell : network pixels along a cell of the grid: one number, or (vertical, horizontal).
    filled : multiply a score by the mean chance of the mask's own cells, so that a vague mask counts less.
    """
    high, wide = (float(c) for c in (cell if isinstance(cell, tuple) else (cell, cell)))
    rows, columns = -int(-frame.input_size[0] // high), -int(-frame.input_size[1] // wide)
    best, label = chances.max(1), chances.argmax(1)
    likely = np.flatnonzero(best >= options.threshold(label))  # the mask can only lower a score
    grids = maps[likely, :rows, :columns]  # beyond lies padding
    inside = grids > 0
    count = inside.sum((1, 2))
    score, label = best[likely], label[likely]
    if filled:
        owner = np.repeat(np.arange(len(likely)), count)
        score = score * np.bincount(owner, chance(grids[inside]), len(likely)) / np.maximum(count, 1)
    kept = np.flatnonzero((count > 0) & (score >= options.threshold(label)))
    kept = kept[np.argsort(-score[kept], kind="stable")]
    kept = kept[_distinct(inside[kept].reshape(len(kept), inside.shape[1] * inside.shape[2]), label[kept], options.iou)]

    def draw(chance: float) -> Masks:
        return grid_masks(grids[kept], frame, (high, wide), logit(chance))

    found = with_edges(Instances(draw(0.5), label[kept], classes, score[kept]), draw, options)
    return found[found.masks.area > 0]


@image_by_image
def decode_with_stuff(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return masks that may overlap; a score is the class's probability times the mask's mean probability."""
    chances = chosen_classes(out["classes"])
    return as_segments(decode_queries(chances, out["masks"], frame, classes, options, cell=CELL), out)


def _distinct(inside: Bool, label: Int, iou: float) -> Bool:
    """Return which of the masks (bool (K, cells), best first) of classes ``label`` stay: bool (K,)."""
    both = np.zeros((len(inside), len(inside)), np.float32)
    step = max(1, _VALUES // max(1, len(inside)))
    for a in range(0, inside.shape[1], step):
        part = inside[:, a : a + step].astype(np.float32)
        both += part @ part.T
    area = both.diagonal()
    clash = (both > iou * (area[:, None] + area - both)) & (label[:, None] == label)
    winner, loser = np.nonzero(np.triu(clash, 1))
    return suppress(loser, winner, len(inside))


def grid_masks(maps: Float32, frame: Frame, cell: tuple[float, float], threshold: float = 0.0) -> Masks:
    """Return masks at the image's size where the upsampled maps exceed a threshold.

    ``maps`` is (N, h, w) over the network input from its upper left corner, ``cell`` (vertical, horizontal) the network
    pixels along a cell; the grid may reach beyond the image.
    """
    span = (frame.input_size[0] / cell[0], frame.input_size[1] / cell[1])
    boxes = np.zeros((len(maps), 4))
    for axis in (0, 1):  # over rows: which columns; over columns: which rows
        some: Bool = np.any(maps > threshold, axis=axis + 1)
        scale = frame.size[1 - axis] / span[1 - axis]
        # a cell reaches half a cell beyond itself in what is interpolated
        boxes[:, axis] = (some.argmax(1) - 0.5) * scale
        boxes[:, axis + 2] = (some.shape[1] - some[:, ::-1].argmax(1) + 0.5) * scale
    return Masks.from_logits(maps, boxes, frame.size, threshold=threshold, whole=True, span=span)
