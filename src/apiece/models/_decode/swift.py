"""Answers of `swift`: of the points that find the same object the best one's mask stays, and none of a mere group."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.models._kit.arrays import Arrays, chance, image_by_image
from apiece.models._kit.box_nms import greedy_nms
from apiece.models._kit.groups import groups
from apiece.models._kit.in_front import with_full
from apiece.models._kit.point_masks import PointMasks
from apiece.models._kit.soft_edges import logit, with_edges
from apiece.models._kit.stuff_segments import with_stuff
from apiece.models.contract import DecodeOptions, Frame
from apiece.ops import nms

_SAME = 0.75  # overlap from which on two boxes of a class are the same


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the best points' masks at the image's size; masks may overlap, as objects do."""
    logits, quality = out["logits"], out["quality"][:, 0]
    if "stuff" in out:
        logits = logits.copy()
        logits[:, out["stuff"]] = -np.inf
    labels = logits.argmax(1)
    scores = chance(logits.max(1)) * chance(quality)
    keep = np.flatnonzero(scores >= options.threshold(labels))
    # nearly the same box twice is one object; what overlaps less is judged by its mask
    keep = keep[greedy_nms(out["boxes"][keep], scores[keep], labels[keep], _SAME)]
    # duplicates are found at the network's resolution, so that only what stays is drawn at a larger image's own
    size = min(frame.size, frame.input_size)
    shapes = PointMasks.of(out, keep, frame)
    masks = shapes.draw(np.arange(len(keep)), size)
    filled = np.flatnonzero(masks.area > 0)
    stay = filled[nms(masks[filled], scores[keep[filled]], labels[keep[filled]], options.iou)]
    stay = stay[~groups(masks[stay], scores[keep[stay]], labels[keep[stay]])]
    masks = masks[stay] if size == frame.size else shapes.draw(stay, frame.size)
    found = Instances(masks, labels[keep[stay]], classes, scores[keep[stay]])
    found = with_edges(found, lambda chance: shapes.draw(stay, frame.size, logit(chance)), options)
    if "full_kernels" in out:
        whole = shapes.whole(out, keep[stay]).draw(np.arange(len(stay)), frame.size)
        found = with_full(found, whole, lambda which, x, y: shapes.logits(stay[which], x, y))
    return with_stuff(found[found.masks.area > 0], out, frame, options)
