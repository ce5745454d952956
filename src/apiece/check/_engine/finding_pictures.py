"""Small pictures of where something was found: the masks in question outlined, the others faint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, UInt8
from apiece.check._engine.open_labels import OpenLabels
from apiece.check._engine.report import Report
from apiece.check.contract import Finding, Place
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.draw import overlay, to_display
from apiece.draw.page import data_uri, scaled
from apiece.errors import FormatError, ImageError
from apiece.images import read_image

FIRST, SECOND, PREDICTED, OTHERS = (255, 176, 0), (42, 157, 255), (255, 60, 140), (196, 202, 210)
"""Outline colours of the instance in question, of the other instances of the finding, of predictions, of the rest."""
_SIDE = 288  # longer side of a picture, in pixels
_LEAST = 48.0  # least side of the window that a picture shows, in pixels of the image
_GROUND = 96  # grey of an image that cannot be read
_EACH = 4  # most pictures of one finding: an image may have hundreds of near-duplicates


@dataclass(frozen=True)
class _View:
    """One picture of a finding."""

    number: int  # position of the finding in the list
    order: int  # position of the picture in the finding
    place: Place
    predicted: tuple[int, ...]


def thumbnails(
    findings: Sequence[Finding],
    sources: Mapping[str, OpenLabels],
    report: Report,
    step: Callable[[], None] = lambda: None,
) -> list[list[str]]:
    """Return the pictures of each finding as data addresses in WebP, its own place first; none if it has no image.

    Reads every image once, however many findings there are on it, and calls ``step`` after each finding.
    """
    found: list[dict[int, str]] = [{} for _ in findings]
    views: dict[tuple[str, int], list[_View]] = {}
    for number, finding in enumerate(findings):
        for order, place in enumerate((finding.place, *finding.others)[:_EACH]):
            if place.index is not None:
                predicted = finding.predicted if order == 0 else ()
                views.setdefault((place.split, place.index), []).append(_View(number, order, place, predicted))
    for (split, index), wanted in sorted(views.items()):
        try:
            ref, instances = sources[split].labels[index]
        except FormatError:
            continue
        ground = _ground(ref, instances.size)
        for view in wanted:
            found[view.number][view.order] = _picture(ground, instances, view, report)
            if view.order == 0:
                step()
    return [[pictures[k] for k in sorted(pictures)] for pictures in found]


def _ground(ref: ImageRef, size: tuple[int, int]) -> Image:
    """Return the image as a screen shows it, or grey if it cannot be read or has another size."""
    try:
        image = read_image(ref.path, page=ref.page)
    except ImageError:
        image = None
    if image is None or image.size != size:
        return Image(np.broadcast_to(np.array(_GROUND, np.uint8), (*size, 3)))
    # a deep image is stretched as a whole, so that all its pictures look alike
    return image if image.pixels.dtype == np.uint8 and image.alpha is None else Image(to_display(image))


def _picture(ground: Image, instances: Instances, view: _View, report: Report) -> str:
    x0, y0, x1, y1 = _window(view.place.box, ground.size)
    crop = Image(ground.pixels[y0:y1, x0:x1])
    masks, colours, bold = _within(instances, view, report, (x0, y0, x1, y1))
    shown, grown = scaled(crop, Instances(masks), _SIDE / max(crop.size))
    faint, marked = grown[~bold], grown[bold]
    drawn = overlay(shown, faint, fill=False, names=False, colours=colours[~bold], thickness=1)
    return data_uri(overlay(Image(drawn), marked, names=False, colours=colours[bold], alpha=0.08, thickness=3), "webp")


def _within(
    instances: Instances, view: _View, report: Report, window: tuple[int, int, int, int]
) -> tuple[Masks, UInt8, Bool]:
    """Return (masks cut to the window, their colours, which are in question) of all that reaches into it."""
    x0, y0, x1, y1 = window
    boxes = instances.boxes
    near = (boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0)
    colours = np.tile(np.array(OTHERS, np.uint8), (len(instances), 1))
    bold = np.zeros(len(instances), bool)
    named = [i for i in view.place.instances if i < len(instances)]
    bold[named] = True
    colours[named[1:]], colours[named[:1]] = SECOND, FIRST
    kept = np.flatnonzero(near | bold)
    masks, colours, bold = instances.masks[kept].crop(*window), colours[kept], bold[kept]
    predicted = report.predicted.get((view.place.split, view.place.index or 0))
    if predicted is None or not view.predicted:
        return masks, colours, bold
    theirs = predicted.instances.masks[np.isin(predicted.positions, view.predicted)].crop(*window)
    more = np.tile(np.array(PREDICTED, np.uint8), (len(theirs), 1))
    both = Masks.concatenate([masks, theirs])
    return both, np.concatenate([colours, more]), np.concatenate([bold, np.ones(len(theirs), bool)])


def _window(box: tuple[float, ...] | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return a square around the box with room at its sides, moved into the image; the whole image for no box."""
    height, width = size
    if box is None or box[2] <= box[0] or box[3] <= box[1]:
        return 0, 0, width, height
    side = max(_LEAST, 1.5 * max(box[2] - box[0], box[3] - box[1]) + 16)
    edges = []
    for low, high, limit in ((box[0], box[2], width), (box[1], box[3], height)):
        length = min(round(side), limit)
        edges.append((min(max(round((low + high - length) / 2), 0), limit - length), length))
    (x, w), (y, h) = edges
    return x, y, x + w, y + h
