"""Habits of tools that wrote a label file: what is wrong with every object of a set, and so stands out in none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Bool, Float
from apiece.check._kit.stated_area_box import own_boxes, stated
from apiece.check._kit.steps import ROUNDED, steps
from apiece.check.contract import Finding, Kind, Labelled, Place, SetFacts
from apiece.formats import LabelSet
from apiece.formats.contract import OpenedLabels, Outlines

MOST = 0.9  # share of the objects from which something is a habit of the tool
CROWDS = 2  # fewest objects that are all crowd
LEAST = 10  # fewest objects that show a habit
CONVERTER = ("Converted from Label Studio", "Label Studio Converter")  # what Label Studio's brush export says of itself
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
        "cut_fractions",
        "warning",
        "Polygons of whole numbers beside boxes with fractions, as SAHI's `slice_coco` writes them.",
        "Cut the labels anew from the original file with a tool that keeps fractions; what was cut off is lost here.",
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
        "Parts of an object as objects: Label Studio's brush masks in COCO, or shapes of one class and group in CVAT.",
        "Export Label Studio's own JSON, which keeps brush masks whole; in CVAT join the shapes, or export COCO.",
    ),
    Kind(
        "short_box",
        "warning",
        "Boxes whose right and lower sides lie a pixel short of their masks: the last pixel is not counted in.",
        "Compute them from the masks; `--fix` does.",
    ),
)


class Habits(NamedTuple):
    """Of one image: objects, crowds, objects with a stated box, boxes that are a pixel short, and no whole numbers."""

    split: str
    objects: int
    crowds: int
    boxed: int
    short: int
    fractions: int


def habits(labelled: Labelled) -> Habits:
    """Count what may be a habit of the tool."""
    instances = labelled.instances
    said, own = stated(instances, "bbox"), own_boxes(instances.masks)
    boxed = short = fractions = 0
    # a mask of one row or column shows no short box, and a set whose boxes are right states none
    some = (instances.masks.area > 0) & (own[:, 2:] > 1).all(1)
    if said is not None:
        boxed = int(some.sum())
        short = int((some & (np.abs(own - said - [0, 0, 1, 1]) < 0.01).all(1)).sum())
        fractions = int((np.abs(said - np.rint(said)) > ROUNDED).any(1).sum())
    return Habits(labelled.split, len(instances), int(instances.crowd.sum()), boxed, short, fractions)


def grouped(labelled: Labelled) -> Iterator[Finding]:
    """Yield the objects of an image that share class and group, as datumaro writes parts of one object to CVAT."""
    groups = labelled.instances.attributes.get("group_id")
    if groups is None:
        return
    members: dict[tuple[int, Any], list[int]] = defaultdict(list)
    for i, key in enumerate(zip(labelled.instances.labels.tolist(), groups.tolist(), strict=True)):
        if key[1]:
            members[key].append(i)
    several = [own for own in members.values() if len(own) > 1]
    if several:
        message = (
            f"{sum(map(len, several)):,} objects share class and group with another one ({len(several):,} groups): "
            "CVAT's COCO export and datumaro take a group for one object"
        )
        yield Finding("split_parts", message, 0.5, labelled.place(*several[0]))


def found(seen: Sequence[Habits], split: str, facts: SetFacts) -> Iterator[Finding]:
    """Yield what every object of a split has, and objects with a hole that is filled."""
    own = [h for h in seen if h.split == split]
    objects, crowds, boxed, short, fractions = (sum(getattr(h, name) for h in own) for name in Habits._fields[1:])
    if objects >= CROWDS and crowds == objects:
        sure = 1 - 0.5**objects
        yield Finding("all_crowd", f"all {objects:,} objects are marked as crowd", sure, Place(split), repair="single")
    if short >= LEAST and short >= MOST * boxed:
        message = f"{short:,} of {boxed:,} stated boxes are one pixel narrower and lower than their masks"
        yield Finding("short_box", message, 1.0, Place(split), repair="rewrite")
    labels = facts.labels.get(split)
    if hasattr(labels, "outlines"):
        yield from _drawn(split, facts, cast(OpenedLabels, labels), fractions)


@dataclass(frozen=True)
class _Drawn:
    """Of some objects that are drawn as polygons: how they were traced, and the holes that are filled."""

    objects: int
    judged: int
    traced: int
    whole: int
    holes: list[Finding]
    brush: tuple[Outlines, Bool] | None
    """The outlines, and which step along pixels alone, where Label Studio's converter wrote them."""


def _drawn(split: str, facts: SetFacts, labels: OpenedLabels, fractions: int) -> Iterator[Finding]:
    """Yield what polygons show; ``fractions`` counts stated boxes that are no whole numbers."""

    def look(outlines: Outlines) -> _Drawn:
        number, stepped, diagonal, whole = steps(outlines)
        shows = number >= VERTICES
        traced = int((shows & stepped & (diagonal >= 2)).sum())
        holes = list(_filled_holes(split, facts, outlines))
        brush = (outlines, stepped) if _from_brush(facts.labels[split]) else None
        return _Drawn(len(number), int(shows.sum()), traced, int(whole.sum()), holes, brush)

    seen = list(labels.outlines(look))
    objects, judged, traced, whole = (
        sum(getattr(one, name) for one in seen) for name in ("objects", "judged", "traced", "whole")
    )
    if judged >= LEAST and traced >= MOST * judged:
        message = (
            f"{traced:,} of {judged:,} polygons run through pixel centres, as OpenCV's contours do: read as outlines "
            "they leave out the last row and column of their object"
        )
        yield Finding("half_pixel", message, 0.95, Place(split), repair="widen")
    if objects and fractions >= LEAST and min(fractions, whole) >= MOST * objects:
        message = (
            f"{whole:,} of {objects:,} polygons have whole numbers alone, though their boxes have "
            "fractions: the tool cut the fractions off, and moved the outlines by half a pixel on average"
        )
        yield Finding("cut_fractions", message, 0.9, Place(split))
    if brush := [one.brush for one in seen if one.brush is not None]:
        outlines = Outlines.concatenate([own for own, _ in brush])
        single = np.concatenate([stepped for _, stepped in brush]) & (np.diff(outlines.parts) == 1)
        yield from _split(
            split, facts, outlines, [outlines.of(k)[0] if one else None for k, one in enumerate(single.tolist())]
        )
    for one in seen:
        yield from one.holes


def _filled_holes(split: str, facts: SetFacts, outlines: Outlines) -> Iterator[Finding]:
    """Yield polygons inside another one of the same object, where the file has no holes."""
    holed = np.add.reduceat(np.append(outlines.holes, False), outlines.parts[:-1]) > 0
    for k in np.flatnonzero((np.diff(outlines.parts) > 1) & ~holed).tolist():
        hole = _enclosed(outlines.of(k))
        if hole is not None:
            index = int(outlines.image[k])
            low, high = hole.min(0), hole.max(0)
            message = f"a polygon of {cv2.contourArea(hole):,.0f} pixels lies inside another one of the same object"
            box = (*low.astype(float).tolist(), *high.astype(float).tolist())
            where = Place(split, facts.refs[split][index].name, index, (int(outlines.place[k]),), box)
            yield Finding("filled_hole", message, 0.8, where)


def _from_brush(labels: LabelSet) -> bool:
    """Return whether the file says that Label Studio's converter of brush masks wrote it."""
    info = labels.metadata.get("coco", {}).get("info")
    return isinstance(info, dict) and (info.get("description"), info.get("contributor")) == CONVERTER


def _split(split: str, facts: SetFacts, drawn: Outlines, outlines: Sequence[Float | None]) -> Iterator[Finding]:
    """Yield annotations that may be parts of one mask: written one after another, from below upwards, near each other.

    OpenCV finds the outlines of a mask in this order, and each begins at the leftmost pixel of its highest row. Objects
    of one part follow each other downwards as often as upwards.
    """
    image, place, label = drawn.image, drawn.place, drawn.label
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
