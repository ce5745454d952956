"""Answers of `solo`: masks of the best cells that Matrix NMS leaves."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float32, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, chance, image_by_image
from apiece.models._kit.grid_cells import tell_left_out
from apiece.models._kit.matrix_nms import Words, matrix_nms
from apiece.models._kit.soft_edges import with_edges
from apiece.models.contract import DecodeOptions, Frame

STRIDE = 8
"""Pixels of the input along a pixel of the finest features."""
FINE = 4
"""Values of a map along a pixel of its features, and of a window along a cell."""


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the candidates' masks that Matrix NMS at stride 4 leaves, at the image's size; they may overlap."""
    period = len(out["maps0"]) // 2
    boxes = window_boxes(out["places"], period).astype(np.float64)
    scores, labels = out["scores"].astype(np.float64), out["labels"].astype(np.int64)
    tell_left_out(scores, float(out["left_out"]), options, "solo")
    begins = out["places"][:, :2] - out["places"][:, 2:] / 2
    inside = (begins < np.array(frame.input_size[::-1])).all(axis=1)  # not in the padding
    keep = np.flatnonzero((scores >= options.threshold(labels)) & inside)
    maps, boxes, label = windows(out, keep), boxes[keep], labels[keep]
    # the paper's score: class probability times the mean probability inside the mask
    on = maps > 0.5
    score = scores[keep] * (maps * on).sum((1, 2)) / np.maximum(on.sum((1, 2)), 1)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= options.threshold(label[order])]
    size = max(1, -(-frame.input_size[0] // 4)), max(1, -(-frame.input_size[1] // 4))
    small = Masks.from_logits(maps[order], boxes[order] / 4, size, threshold=0.5)
    stays, final = matrix_nms(Words.of_masks(small), score[order], label[order], options)
    chosen = order[stays]
    scale = np.array([o / n for o, n in zip(frame.size, frame.input_size, strict=True)])[::-1]
    maps, boxes = maps[chosen], boxes[chosen] * np.tile(scale, 2)

    def draw(chance: float) -> Masks:
        return Masks.from_logits(maps, boxes, frame.size, threshold=chance)

    found = with_edges(Instances(draw(0.5), label[chosen], classes, final), draw, options)
    return found[found.masks.area > 0]


def windows(out: Arrays, which: Int) -> Float32:
    """Return the mask probabilities of candidates ``which`` (K,) in the windows about their cells, (K, P, P).

    ``maps0`` and so on are (2 * period, rows, columns), one for each grid, columns' maps first; see `SOLO.windows`.
    """
    period = len(out["maps0"]) // 2
    places, sides = out["places"][which], out["sides"].tolist()
    cells = np.floor(places[:, :2] / places[:, 2:]).astype(np.int64)
    step = np.arange(FINE * period)
    found = np.zeros((len(which), len(step), len(step)), np.float32)
    for k, side in enumerate(sides):
        level, along = out[f"maps{k}"], min(FINE, FINE * side // STRIDE)  # values along a cell
        here = np.flatnonzero(places[:, 2] == side)
        # beyond the image no map is on
        level = np.pad(level, ((0, 0), (0, 1), (0, 1)), constant_values=-np.inf)
        x, y = ((FINE * at[:, None] + step) * along // FINE - along * period // 2 for at in cells[here].T)
        x, y = (np.where((at >= 0) & (at < end - 1), at, -1) for at, end in ((x, level.shape[2]), (y, level.shape[1])))
        across, down = (cells[here] % period).T[:, :, None, None]
        x, y = x[:, None], y[:, :, None]
        found[here] = chance(level[across, y, x]) * chance(level[period + down, y, x])
    return found


def window_boxes(places: Float32, period: int) -> Float32:
    """Return the windows of cells as half-open boxes x0, y0, x1, y1 (K, 4), in pixels; see `SOLO.windows`."""
    corner = places[:, :2] - places[:, 2:] * (period / 2 + 0.5)
    return np.concatenate([corner, corner + places[:, 2:] * period], 1)
