"""Holes: tiny ones that look like slips, and missing ones where every other object of the class has its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Int
from apiece.check._kit.shapes import closed, grown, holes_in, hulls
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, Places, SetFacts, Settings
from apiece.ops.overlap import intersections

__all__ = ["CHECK"]

PINHOLE = 0.01
"""Most of a mask's pixels that a hole has which looks like a slip."""
TRUE = 0.02
"""Fewest of a mask's pixels that a hole of the object itself has."""
ALWAYS = 0.8
"""Share of the whole objects of a class from which having a hole is its nature."""
WHOLE = 0.08
"""Most hollow of an object with neighbours that is seen whole, as a share of its pixels."""
ORDINARY = 0.25
"""Share of a class's masks from which pinholes are how they were made."""


@dataclass(frozen=True)
class _Kept:
    """Of one image: class, pixels, whether there is a true hole, whether all of it is seen, and place, per mask;
    pinholes."""

    label: Int
    area: Int
    pierced: Bool
    whole: Bool
    places: Places
    pinholes: tuple[tuple[int, Finding], ...]


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    chosen = np.flatnonzero(~instances.crowd & (instances.masks.area > settings.dust))
    if not len(chosen):
        return None
    masks, label = instances.masks[chosen], instances.labels[chosen]
    pierced = np.zeros(len(chosen), bool)
    pinholes = []
    some = np.flatnonzero(masks.holes)
    for k, crop in zip(some.tolist(), masks[some].to_crops()[0], strict=True):
        sizes = holes_in(crop)[1]
        sizes = sizes[sizes > 0]
        pierced[k] = bool((sizes >= TRUE * masks.area[k]).any())
        tiny = sizes[sizes <= max(settings.dust, PINHOLE * masks.area[k])]
        if len(tiny):
            name = instances.classes[label[k]]
            place = labelled.place(int(chosen[k]))
            pinholes.append((int(label[k]), _pinhole(name, tiny, int(masks.area[k]), place)))
    whole = _seen_whole(labelled, chosen)
    return _Kept(label, masks.area, pierced, whole, labelled.places(chosen), tuple(pinholes))


def _pinhole(name: str, tiny: Int, area: int, place: Place) -> Finding:
    several = f"{len(tiny)} holes of {tiny.sum()} pixels in all" if len(tiny) > 1 else f"a hole of {tiny[0]} pixels"
    return Finding("pinhole", f"{name}: {several} in a mask of {area:,}", 0.6, place)


def _seen_whole(labelled: Labelled, chosen: Int) -> Bool:
    """Masks that neither the border nor a neighbour can have taken a hole from."""
    masks = labelled.instances.masks
    box, (height, width) = masks.boxes[chosen], masks.size
    inside = (box[:, :2] > 0).all(1) & (box[:, 2] < width) & (box[:, 3] < height)
    own = masks[chosen]
    wide = grown(own)
    beside = np.asarray((intersections(wide, masks) > 0).sum(1)).ravel() - 1
    # a neighbour that lies over a mask bites into it: what fills its hull all the same was not bitten
    hull = hulls(own)
    hollow = hull.area - intersections(hull, closed(own)).diagonal()
    return inside & ((beside == 0) | (hollow <= WHOLE * own.area))


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    label, area, pierced, whole = (
        np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "area", "pierced", "whole")
    )
    image = np.repeat(np.arange(len(kept)), [len(k.label) for k in kept])
    first = np.searchsorted(image, np.arange(len(kept)))
    for c, name in enumerate(facts.classes):
        own = np.flatnonzero((label == c) & whole)
        share = pierced[own].mean() if len(own) else 0.0
        if len(own) < settings.few or share < ALWAYS:
            continue
        typical = np.median(area[own])
        for k in own[~pierced[own] & (area[own] >= typical / 4)].tolist():
            place = kept[image[k]].places[k - int(first[image[k]])]
            message = f"{name}: no hole in this mask, but in {share:.0%} of {len(own):,} others that are seen whole"
            yield Finding("no_hole", message, float((share - ALWAYS) / (1 - ALWAYS)) * 0.5 + 0.4, place)
    pinholes = [found for k in kept for found in k.pinholes]
    total = np.bincount(label, minlength=len(facts.classes))
    number = np.bincount([at for at, _ in pinholes], minlength=len(facts.classes))
    for at, finding in pinholes:
        if number[at] < ORDINARY * max(int(total[at]), settings.few):
            yield finding


CHECK = Check(
    summary="Tiny holes that look like slips, and missing ones where every other object of the class has its own.",
    kinds=(
        Kind(
            "pinhole",
            "note",
            "Holes of at most dust pixels, or a hundredth of the mask, where few masks of the class have any.",
            "Fill them.",
        ),
        Kind(
            "no_hole",
            "warning",
            "A mask without a hole, in a class whose objects have one wherever they are seen whole.",
            "Cut the hole out, unless this object has none.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
