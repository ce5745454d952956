"""Answers of `mask_rcnn`: a mask in each box; and what is done between its network's parts where it was exported."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.box_nms import greedy_nms
from apiece.models._kit.in_front import with_full
from apiece.models._kit.soft_edges import with_edges
from apiece.models._kit.stuff_segments import with_stuff
from apiece.models._kit.two_stage_boxes import two_stages as stages
from apiece.models.contract import DecodeOptions, Frame

__all__ = ["SAMPLES", "decode", "decode_boxes", "stages"]

SAMPLES = 28
"""Samples of a mask along a side of its box."""


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return objects as `decode_boxes` does, and segments of stuff."""
    return with_stuff(decode_boxes(out, frame, classes, options), out, frame, options)


def decode_boxes(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the boxes' logits as masks at the image's size; masks may overlap, as objects do.

    As in torchvision and Detectron2, a mask's chances are interpolated, and fall to 0 within half a cell of its box.
    """
    scores, labels = out["scores"].astype(np.float64), out["labels"].astype(np.int64)
    keep = np.flatnonzero(scores >= options.threshold(labels))
    keep = keep[greedy_nms(out["boxes"][keep], scores[keep], labels[keep], options.iou)]
    height, width = frame.input_size
    scale = np.array([frame.size[1] / width, frame.size[0] / height] * 2)
    found_boxes = out["boxes"][keep].astype(np.float64)
    boxes = (found_boxes * scale).clip(0, np.array([frame.size[1], frame.size[0]] * 2))
    logits = out["masks"][keep]
    chances = np.pad(1 / (1 + np.exp(-logits.clip(-60, 60))), ((0, 0), (1, 1), (1, 1)))
    ring = np.tile((boxes[:, 2:] - boxes[:, :2]) / SAMPLES, 2) * np.array([-1, -1, 1, 1])  # a cell on every side

    def draw(chance: float) -> Masks:
        return Masks.from_logits(chances - np.float32(0.5), boxes + ring, frame.size, threshold=chance - 0.5)

    found = with_edges(Instances(draw(0.5), labels[keep], classes, scores[keep]), draw, options)
    if "full" in out:
        half = (found_boxes[:, 2:] - found_boxes[:, :2]) / 2  # the whole objects lie in boxes twice as wide and high
        wide = (found_boxes + np.concatenate([-half, half], 1)) * scale
        whole = Masks.from_logits(out["full"][keep], wide, frame.size)
        found = with_full(found, whole, lambda which, x, y: _logits(logits, boxes, which, x, y))
    return found[found.masks.area > 0]


def _logits(logits: Float32, boxes: Float, which: Int, x: Float, y: Float) -> Float:
    """Return the logits of masks ``which`` (P, 1), which span their boxes, at places (P, S) of the image: (P, S)."""
    x0, y0, x1, y1 = boxes[which[:, 0]].T[:, :, None]
    column, row = (x - x0) / np.maximum(x1 - x0, 1e-6) * SAMPLES, (y - y0) / np.maximum(y1 - y0, 1e-6) * SAMPLES
    at = (which, row.astype(np.int64).clip(0, SAMPLES - 1), column.astype(np.int64).clip(0, SAMPLES - 1))
    return np.asarray(logits[at])
