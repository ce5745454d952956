"""The first guess: which of the objects that the default model found a person means."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Float
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts

__all__ = ["guessed"]

_SAME = 0.5  # IoU of boxes


def guessed(prompts: Prompts, masks: Masks, scores: Float) -> Masks | None:
    """Return the one mask that fits the prompts of one object best; None where none fits.

    Of a box it is the mask whose box overlaps most. Of points it is the mask that is right about most of them and holds
    a positive one; among such masks, the one with the best score.
    """
    if not len(masks):
        return None
    if prompts.boxed[0]:
        overlap = _box_iou(masks.boxes.astype(np.float64), prompts.boxes[0])
        best = int(overlap.argmax())
        return masks[[best]] if overlap[best] >= _SAME else None
    first = prompts.points[prompts.positive]
    boxes = masks.boxes
    around = np.all((boxes[:, None, :2] <= first) & (boxes[:, None, 2:] > first), axis=2)  # (masks, points)
    near = np.flatnonzero(np.any(around, axis=1))
    if not len(near):
        return None
    which, of = np.repeat(near, len(prompts.points)), np.tile(np.arange(len(prompts.points)), len(near))
    x, y = prompts.points[of].astype(np.int64).T
    holds = masks.contains(which, x, y).reshape(len(near), -1)
    right = (holds == prompts.positive).mean(1) + 1e-3 * scores[near]
    right[~holds[:, prompts.positive].any(1)] = -1
    best = int(right.argmax())
    return masks[[near[best]]] if right[best] > 0 else None


def _box_iou(boxes: Float, one: Float) -> Float:
    low, high = np.maximum(boxes[:, :2], one[:2]), np.minimum(boxes[:, 2:], one[2:])
    both = (high - low).clip(0).prod(1)
    return np.asarray(both / ((boxes[:, 2:] - boxes[:, :2]).prod(1) + (one[2:] - one[:2]).prod() - both))
