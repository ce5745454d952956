"""Answers of `solov2`: masks that the best cells' kernels draw, of which Matrix NMS leaves one for each object."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.grid_cells import tell_left_out
from apiece.models._kit.kernel_masks import Kernels, kernel_masks, low_resolution
from apiece.models._kit.matrix_nms import matrix_nms
from apiece.models._kit.soft_edges import logit, with_edges
from apiece.models.contract import DecodeOptions, Frame

MASK_STRIDE = 4
"""Pixels of the input along a cell of the features that kernels draw on."""


@image_by_image
def decode(found: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return the candidates' masks that Matrix NMS at stride 4 leaves, at the image's size; they may overlap."""
    scores, labels, places = found["scores"].astype(np.float64), found["labels"].astype(np.int64), found["places"]
    tell_left_out(scores, float(found["left_out"]), options, "solov2")
    begins = places[:, :2] - places[:, 2:] / 2
    inside = (begins < np.array(frame.input_size[::-1])).all(axis=1)  # not in the padding
    keep = np.flatnonzero((scores >= options.threshold(labels)) & inside)
    rows, columns = (-(-n // MASK_STRIDE) for n in frame.input_size)
    kernels = Kernels(found["features"][:, :rows, :columns], found["kernels"][keep], places[keep], MASK_STRIDE)
    maskness, boxes, words = low_resolution(kernels)
    # the paper's score: class probability times the mean probability inside the mask
    score, label = scores[keep] * maskness, labels[keep]
    order = np.argsort(-score, kind="stable")
    order = order[(score[order] >= options.threshold(label[order])) & (maskness[order] > 0)]
    stays, final = matrix_nms(words.ranked(order, len(keep)), score[order], label[order], options)
    chosen = order[stays]

    def draw(chance: float) -> Masks:
        return kernel_masks(kernels, chosen, boxes[chosen], frame, logit(chance))

    shown = with_edges(Instances(draw(0.5), label[chosen], classes, final), draw, options)
    return shown[shown.masks.area > 0]
