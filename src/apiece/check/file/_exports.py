"""Habits of tools that wrote a label file: what is wrong with every object of a set, and so stands out in none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Bool, Float, Int
from apiece.check._kit.stated_area_box import own_boxes, stated
from apiece.check.contract import Finding, Kind, Labelled, Place, SetFacts
from apiece.formats import LabelSet

MOST = 0.9  # share of the objects from which something is a habit of the tool
LEAST = 10  # fewest objects that show a habit
CONVERTER = ("Converted from Label Studio", "Label Studio Converter")  # what Label Studio's brush export says of itself
ROUNDED = 0.02  # pixels by which coordinates differ that a format keeps as shares of the image
VERTICES = 8  # fewest vertices of an outline that shows how it was traced

KINDS = (
    Kind(
        "all_crowd",
        "error",
        "Every object of a split is marked as crowd: training leaves out all of them, and evaluation counts none.",
        "Export once more without crowd (datumaro: `is_crowd=False` for each mask); `--fix` takes the mark off.",
    ),
    Kind(
        "half_pixel",
        "warning",
        "Polygons traced through the centres of the outermost pixels, as OpenCV's contours are: a pixel too narrow.",
        "Export masks as RLE, or outlines along pixel edges; `--fix` adds the pixels that they run through.",
    ),
    Kind(
        "filled_hole",
        "warning",
        "A polygon inside another polygon of the same object: meant as a hole, but readers fill it.",
        "Write objects with holes as RLE; see whether a hole is meant.",
    ),
    Kind(
        "split_parts",
        "warning",
        "Label Studio's export of brush masks to COCO: each part of an object is an annotation, and holes are filled.",
        "Export Label Studio's own JSON, and read that: every brush mask stays whole, with its holes.",
    ),
    Kind(
        "short_box",
        "warning",
        "Boxes whose right and lower sides lie a pixel short of their masks: the last pixel is not counted in.",
        "Compute them from the masks; `--fix` does.",
    ),
)


class Habits(NamedTuple):
    """Of one image: objects, crowds, objects with a stated box, and boxes that are a pixel short."""

    split: str
    objects: int
    crowds: int
    boxed: int
    short: int


def habits(labelled: Labelled) -> Habits:
    """Count what may be a habit of the tool."""
    instances = labelled.instances
    said, own = stated(instances, "bbox"), own_boxes(instances.masks)
    boxed = short = 0
    # a mask of one row or column shows no short box, and a set whose boxes are right states none
    some = (instances.masks.area > 0) & (own[:, 2:] > 1).all(1)
    if said is not None:
        boxed = int(some.sum())
        short = int((some & (np.abs(own - said - [0, 0, 1, 1]) < 0.01).all(1)).sum())
    return Habits(labelled.split, len(instances), int(instances.crowd.sum()), boxed, short)


def found(seen: Sequence[Habits], split: str, facts: SetFacts) -> Iterator[Finding]:
    """Yield what every object of a split has, and objects with a hole that is filled."""
    own = [h for h in seen if h.split == split]
    objects, crowds, boxed, short = (sum(getattr(h, name) for h in own) for name in Habits._fields[1:])
    if objects >= LEAST and crowds == objects:
        yield Finding("all_crowd", f"all {objects:,} objects are marked as crowd", 1.0, Place(split), repair="single")
    if short >= LEAST and short >= MOST * boxed:
        message = f"{short:,} of {boxed:,} stated boxes are one pixel narrower and lower than their masks"
        yield Finding("short_box", message, 1.0, Place(split), repair="rewrite")
    rings = getattr(facts.labels.get(split), "polygons", None)
    if rings is not None:
        yield from _drawn(split, facts, *rings())


def _drawn(
    split: str, facts: SetFacts, image: Int, place: Int, label: Int, points: Float, rings: Int, parts: Int
) -> Iterator[Finding]:
    """Yield what the polygons show; `polygons` of the labels gives them."""
    if not len(image):
        return
    number, stepped, diagonal = _steps(points, rings, parts)
    judged = int((number >= VERTICES).sum())
    traced = int(((number >= VERTICES) & stepped & (diagonal >= 2)).sum())
    if judged >= LEAST and traced >= MOST * judged:
        message = (
            f"{traced:,} of {judged:,} polygons run through pixel centres, as OpenCV's contours do: read as outlines "
            "they leave out the last row and column of their object"
        )
        yield Finding("half_pixel", message, 0.95, Place(split), repair="widen")
    if _from_brush(facts.labels[split]):
        single = stepped & (np.diff(parts) == 1)
        yield from _split(
            split,
            facts,
            image,
            place,
            label,
            [
                points[rings[r] : rings[r + 1]] if ok else None
                for r, ok in zip(parts[:-1].tolist(), single.tolist(), strict=True)
            ],
        )
    several = np.flatnonzero(np.diff(parts) > 1)
    for k in several.tolist():
        own = [points[rings[r] : rings[r + 1]] for r in range(parts[k], parts[k + 1])]
        hole = _enclosed(own)
        if hole is not None:
            ref, index = facts.refs[split][int(image[k])], int(image[k])
            low, high = hole.min(0), hole.max(0)
            message = f"a polygon of {cv2.contourArea(hole):,.0f} pixels lies inside another one of the same object"
            box = (*low.astype(float).tolist(), *high.astype(float).tolist())
            yield Finding("filled_hole", message, 0.8, Place(split, ref.name, index, (int(place[k]),), box))


def _from_brush(labels: LabelSet) -> bool:
    """Return whether the file says that Label Studio's converter of brush masks wrote it."""
    info = labels.metadata.get("coco", {}).get("info")
    return isinstance(info, dict) and (info.get("description"), info.get("contributor")) == CONVERTER


def _split(
    split: str, facts: SetFacts, image: Int, place: Int, label: Int, outlines: Sequence[Float | None]
) -> Iterator[Finding]:
    """Yield annotations that may be parts of one mask: written one after another, from below upwards, near each other.

    OpenCV finds the outlines of a mask in this order, and each begins at the leftmost pixel of its highest row. Objects
    of one part follow each other downwards as often as upwards.
    """
    links, begin, upwards, downwards = [], 0, 0, 0
    same = (np.diff(image) == 0) & (np.diff(label) == 0) & (np.diff(place) == 1)
    for k, outline in enumerate(outlines):
        before = outlines[k - 1] if k else None
        if outline is None or before is None or not same[k - 1]:
            begin = k
        elif tuple(outline[0, ::-1]) >= tuple(before[0, ::-1]):
            downwards += _apart(before, outline)
            begin = k
        else:
            near = [
                (j, k) for j in range(begin, k) if (earlier := outlines[j]) is not None and _apart(earlier, outline)
            ]
            upwards += (k - 1, k) in near
            links += near
    number = upwards + downwards
    if not links or (number >= LEAST and upwards - downwards < 2 * number**0.5):  # as chance has it
        return
    some = np.unique(links)
    ends = tuple(np.searchsorted(some, np.array(links)).T)
    count, _ = connected_components(sp.coo_array((np.ones(len(links)), ends), shape=(len(some),) * 2), directed=False)
    first, index = list(links[0]), int(image[links[0][0]])
    both = np.concatenate([one for k in first if (one := outlines[k]) is not None])
    box = (*both.min(0).tolist(), *(both.max(0) + 1).tolist())
    message = (
        f"{len(some):,} annotations may be parts of {count:,} object{'s' * (count > 1)}: Label Studio's export of "
        "brush masks writes each part of a mask as an annotation"
    )
    where = Place(split, facts.refs[split][index].name, index, tuple(place[first].tolist()), box)
    yield Finding("split_parts", message, 0.6, where)


def _apart(one: Float, other: Float) -> bool:
    """Return whether two outlines are near each other and do not touch, as two parts of one mask never do."""
    low, high = np.minimum(one.min(0), other.min(0)) - 2, np.maximum(one.max(0), other.max(0)) + 3
    sides = np.stack([np.ptp(one, axis=0), np.ptp(other, axis=0)])
    if (high - low - 5 - sides.sum(0)).max() > sides.max() + 1:
        return False
    width, height = (high - low).astype(int).tolist()
    drawn = np.zeros((2, height, width), np.uint8)
    for canvas, outline in zip(drawn, (one, other), strict=True):
        cv2.fillPoly(canvas, [np.rint(outline - low).astype(np.int32)], 1)
    return not (cv2.dilate(drawn[0], np.ones((3, 3), np.uint8)) & drawn[1]).any()


def _steps(points: Float, rings: Int, parts: Int) -> tuple[Int, Bool, Int]:
    """Return of each annotation: vertices, whether it steps along rows, columns and diagonals only, diagonal steps.

    Whole numbers alone are no sign, since people draw them too. An outline along pixel edges has no diagonal step, and
    no drawn outline has nothing but steps along rows, columns and diagonals.
    """
    following = np.arange(1, len(points) + 1)
    filled = np.diff(rings) > 0
    following[rings[1:][filled] - 1] = rings[:-1][filled]
    whole = np.rint(points)
    dx, dy = np.abs(whole[following] - whole).T
    slanted = (dx == dy) & (dx > 0)
    plain = ((dx == 0) | (dy == 0) | (dx == dy)) & (np.abs(points - whole) <= ROUNDED).all(1)
    begin = rings[parts]
    number, good, diagonal = (
        np.diff(np.append(0, np.cumsum(column))[begin]) for column in (np.ones(len(points), np.int64), plain, slanted)
    )
    return number, good == number, diagonal


def _enclosed(rings: Sequence[Float]) -> Float | None:
    """Return the first ring that lies within another one."""
    boxes = np.array([[*ring.min(0), *ring.max(0)] for ring in rings])
    inside = (boxes[:, None, :2] >= boxes[None, :, :2]).all(2) & (boxes[:, None, 2:] <= boxes[None, :, 2:]).all(2)
    inside &= (boxes[:, None] != boxes[None]).any(2)
    for inner, outer in np.argwhere(inside).tolist():
        around = rings[outer].astype(np.float32)
        if all(cv2.pointPolygonTest(around, (float(x), float(y)), False) > 0 for x, y in rings[inner]):
            return rings[inner].astype(np.float32)
    return None
