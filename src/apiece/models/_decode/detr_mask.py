"""Answers of `detr_mask`: a class and a mask of each query."""

from __future__ import annotations

from apiece.core.instances import Instances
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.query_masks import chosen_classes, decode_queries
from apiece.models.contract import DecodeOptions, Frame


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return each query's likeliest class, "no object" left out, and its mask; the score is the class's chance."""
    chances, (high, wide) = chosen_classes(out["logits"])[:, : len(classes)], out["cell"].tolist()
    return decode_queries(chances, out["masks"], frame, classes, options, cell=(high, wide), filled=False)
