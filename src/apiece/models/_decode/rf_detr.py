"""Answers of `rf_detr`: a class and a mask of each query."""

from __future__ import annotations

from apiece.core.instances import Instances
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.query_masks import chosen_classes, decode_queries
from apiece.models.contract import DecodeOptions, Frame

RATIO = 4
"""Pixels of the input along a cell of a mask."""


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return each query's likeliest class and mask; the score is the class's chance, which has learned the IoU."""
    chances = chosen_classes(out["logits"], none=False)[:, : len(classes)]
    return decode_queries(chances, out["masks"], frame, classes, options, cell=RATIO, filled=False)
