"""Answers of `panoptic_fpn`: things without overlap, and stuff in the pixels that they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from apiece._arrays import Float32
from apiece.core.instances import Instances
from apiece.models._decode.mask_rcnn import decode_boxes
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.stuff_segments import with_stuff
from apiece.models._kit.two_stage_boxes import Compute, two_stages
from apiece.models.contract import DecodeOptions, Frame
from apiece.ops.flatten import without_overlap


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return things without overlap, and one segment per class of stuff in the pixels that they leave."""
    things = decode_boxes(out, frame, classes, options)
    visible, kept = without_overlap(things.masks, float(out["remain"]))
    return with_stuff(things[kept].replace(masks=visible), out, frame, options, alone=True)


def stages(
    compute: Compute, images: Float32, sizes: Sequence[tuple[int, int]], settings: Mapping[str, Any], classes: int
) -> dict[str, Any]:
    """Return what the whole network returns; see `two_stages`."""
    things = np.array([label for label in range(classes) if label not in settings["stuff"]])
    found = two_stages(compute, images, sizes, {**settings, "stuff": ()}, len(things))
    return {
        **found, "labels": [things[label] for label in found["labels"]],
        "remain": np.full(len(images), settings["remain"]),
    }  # fmt: skip
