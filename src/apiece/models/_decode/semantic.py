"""Answers of `semantic`: connected regions of one class."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_values
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.class_pixels import class_pixels, mean_inside
from apiece.models.contract import DecodeOptions, Frame
from apiece.ops.parts import parts_of


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return connected regions of one class, scored by their mean probability; masks never overlap."""
    best, probability = class_pixels(out["classes"], frame)
    regions, source = parts_of(Masks.from_label_map(best), corners=False)
    labels = (label_map_values(best).astype(np.int64) - 1)[source]
    scores = mean_inside(probability, regions)
    keep = np.flatnonzero((regions.area >= int(out["smallest"])) & (scores >= options.threshold(labels)))
    keep = keep[np.argsort(-scores[keep], kind="stable")]
    return Instances(regions[keep], labels[keep], classes, scores[keep])
