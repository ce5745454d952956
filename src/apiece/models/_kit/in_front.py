"""Which of two objects lies in front, where the masks of both claim the same pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.set_operations import pairwise_difference, pairwise_union, replaced
from apiece.ops.overlap import overlapping

_SAME = 0.5  # IoU from which on two masks are one object found twice
_BELIEVED = 0.25  # least score of what hides, as a share of the other one's
_SAMPLES = 10  # along each side of the box that two masks share
_PART = 1 << 17  # samples looked at together

LogitsAt = Callable[[Int, Float, Float], Float]
"""``(which, x, y)``: the logits of masks ``which`` (P, 1) at places ``x``, ``y`` (P, S) of the image: (P, S)."""


def with_full(found: Instances, full: Masks, logits_at: LogitsAt) -> Instances:
    """Return the instances with full masks, ``full`` and what the network takes for visible.

    What others hide is taken from the visible masks, see `visible_parts`; some may be empty then.
    """
    assert found.scores is not None
    visible = visible_parts(found.masks, found.scores, logits_at)
    return found.replace(masks=visible, full=pairwise_union(found.masks, full))


def visible_parts(masks: Masks, scores: Float, logits_at: LogitsAt) -> Masks:
    """Return the masks without what others hide of them.

    Of two masks that overlap, and are not one object found twice, the one with the higher logits there lies in front.
    The other one loses all pixels that they share, unless its score is more than four times as high: what is hardly
    believed in hides nothing.
    """
    i, j, shared = overlapping(masks, masks)
    apart = (i < j) & (shared < _SAME * (masks.area[i] + masks.area[j] - shared))
    i, j = i[apart], j[apart]
    step = _PART // _SAMPLES**2
    parts = [_lead(masks, i[k : k + step], j[k : k + step], logits_at) for k in range(0, len(i), step)]
    lead = np.concatenate([np.zeros(0), *parts])
    behind, front = np.where(lead > 0, j, i), np.where(lead > 0, i, j)
    hides = (lead != 0) & (scores[front] >= _BELIEVED * scores[behind])
    behind, front = behind[hides], front[hides]
    some, group = np.unique(behind, return_inverse=True)
    hiding = masks[front].merge(group, len(some))
    return replaced(masks, some, pairwise_difference(masks[some], hiding))


def _lead(masks: Masks, i: Int, j: Int, logits_at: LogitsAt) -> Float:
    """Return by how much the logits of masks ``i`` lie above those of ``j`` where both are positive."""
    low = np.maximum(masks.boxes[i, :2], masks.boxes[j, :2])
    side = np.minimum(masks.boxes[i, 2:], masks.boxes[j, 2:]) - low
    steps = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    x = np.tile(low[:, :1] + side[:, :1] * steps, _SAMPLES)
    y = np.repeat(low[:, 1:] + side[:, 1:] * steps, _SAMPLES, axis=1)
    first, second = logits_at(i[:, None], x, y), logits_at(j[:, None], x, y)
    return np.asarray(np.where((first > 0) & (second > 0), first - second, 0.0).sum(1))
