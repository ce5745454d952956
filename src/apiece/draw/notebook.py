"""What a notebook shows of an image and of instances: a picture of bounded size, however large they are."""

from __future__ import annotations

from dataclasses import replace
from html import escape

import cv2
import numpy as np

from apiece._arrays import UInt8
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw._overlay import overlay, to_display
from apiece.draw._strokes import sampled
from apiece.draw.page import picture

__all__ = ["SIDE", "html", "png"]

SIDE = 640
"""Longest side of a picture in pixels; of larger images every second, third ... row and column is shown."""
_SMALL = 160  # smaller images are enlarged to about this side
_GROUND = 48  # grey, on which instances are drawn without their image
_WORDS = 400  # characters of the line below


def png(image: Image) -> bytes:
    """Return the image as PNG, as `to_display` shows it; empty for an image without pixels."""
    if not image.pixels.size:
        return b""
    rows, columns = _shown(image.size)
    pixels = _enlarged(to_display(replace(image, pixels=image.pixels[rows, columns])))
    _, data = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    return data.tobytes()


def html(instances: Instances) -> str:
    """Return the instances as an HTML figure: their masks on plain ground, and what they are in a line below."""
    words = repr(instances)
    caption = escape(words if len(words) <= _WORDS else words[:_WORDS] + " ...")
    if 0 in instances.size:
        return f"<p>{caption}</p>"
    rows, columns = _shown(instances.size)
    reduced = instances.with_masks(lambda masks: sampled(masks, rows, columns))
    ground = Image(np.full(reduced.size, _GROUND, np.uint8))
    outlines = max(reduced.size) >= _SMALL
    drawn = overlay(ground, reduced, alpha=0.8, outlines=outlines, boxes=False, names=False, scores=False)
    return picture(_enlarged(drawn), "instances on plain ground", caption)


def _shown(size: tuple[int, int]) -> tuple[slice, slice]:
    """The rows and the columns that are shown."""
    step = -(-max(size) // SIDE)
    rows, columns = (slice(min(step // 2, n - 1), n, step) for n in size)
    return rows, columns


def _enlarged(pixels: UInt8) -> UInt8:
    factor = max(_SMALL // max(pixels.shape[:2]), 1)
    return pixels.repeat(factor, 0).repeat(factor, 1)
