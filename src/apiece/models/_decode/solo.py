"""Answers of `solo`: masks of the best cells that Matrix NMS leaves."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.grid_cells import tell_left_out
from apiece.models._kit.matrix_nms import Words, matrix_nms
from apiece.models.contract import DecodeOptions, Frame

FINE = 4
"""Values of a map along a pixel of its features, and of a window along a cell."""


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the candidates' masks that Matrix NMS at stride 4 leaves, at the image's size; they may overlap."""
    period = out["masks"].shape[1] // FINE
    boxes = window_boxes(out["places"], period).astype(np.float64)
    scores, labels = out["scores"].astype(np.float64), out["labels"].astype(np.int64)
    tell_left_out(scores, float(out["left_out"]), options, "solo")
    begins = out["places"][:, :2] - out["places"][:, 2:] / 2
    inside = (begins < np.array(frame.input_size[::-1])).all(axis=1)  # not in the padding
    keep = np.flatnonzero((scores >= options.threshold(labels)) & inside)
    maps, boxes, label = out["masks"][keep], boxes[keep], labels[keep]
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
    masks = Masks.from_logits(maps[chosen], boxes[chosen] * np.tile(scale, 2), frame.size, threshold=0.5)
    return Instances(masks, label[chosen], classes, final)[masks.area > 0]


def window_boxes(places: Float32, period: int) -> Float32:
    """Return the windows of cells as half-open boxes x0, y0, x1, y1 (K, 4), in pixels; see `SOLO.windows`."""
    corner = places[:, :2] - places[:, 2:] * (period / 2 + 0.5)
    return np.concatenate([corner, corner + places[:, 2:] * period], 1)
