"""Answers of `yolact`: masks of the anchors that Fast NMS leaves."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, chance, image_by_image
from apiece.models._kit.box_nms import fast_nms
from apiece.models._kit.soft_edges import logit, with_edges
from apiece.models.contract import DecodeOptions, Frame

STRIDE = 4
"""Pixels of the input along a cell of the prototypes."""


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the masks of the anchors that Fast NMS leaves, at the image's size; masks may overlap, as objects do."""
    best, labels = out["logits"].max(1), out["logits"].argmax(1)
    scores = chance(best)
    keep = np.flatnonzero(scores >= options.threshold(labels))
    keep = keep[fast_nms(out["boxes"][keep], best[keep], labels[keep], options.iou)]
    height, width = frame.input_size
    scale = np.array([frame.size[1] / width, frame.size[0] / height] * 2)
    # a cell around each box, as in training: a box that is a little small cuts nothing off
    boxes = out["boxes"][keep].astype(np.float64) + np.array([-STRIDE, -STRIDE, STRIDE, STRIDE])
    maps, sums, span = out["prototypes"], out["coefficients"][keep], (height / STRIDE, width / STRIDE)

    def draw(chance: float) -> Masks:
        return Masks.from_prototypes(maps, sums, boxes * scale, frame.size, threshold=logit(chance), span=span)

    found = with_edges(Instances(draw(0.5), labels[keep], classes, scores[keep]), draw, options)
    return found[found.masks.area > 0]
