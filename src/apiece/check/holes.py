"""Holes: tiny ones that look like slips, and missing ones where every other object of the class has its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Bool, Int
from apiece.check._kit.shapes import AT_ONCE, hulls
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Place, Rows, SetFacts, Settings
from apiece.core.masks import Masks
from apiece.core.run_overlap import shared
from apiece.core.runs import chunks
from apiece.ops.near import touching
from apiece.ops.parts import filled, holes_of

__all__ = ["CHECK"]

PINHOLE = 0.01  # largest hole that looks like a slip, as a share of the mask's pixels
TRUE = 0.02  # smallest hole that belongs to the object, as a share of the mask's pixels
ALWAYS = 0.8  # share of the whole objects of a class from which every object of it should have a hole
WHOLE = 0.08  # largest hollow of an object with neighbours that is seen whole, as a share of its pixels
ORDINARY = 0.25  # share of the masks of a class from which pinholes come from how they were made

_Kept = tuple[Rows, list[tuple[int, Finding]]]  # and the pinholes with their class


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    chosen = np.flatnonzero(~instances.crowd & (instances.masks.area > settings.dust))
    if not len(chosen):
        return None
    masks, area = instances.masks[chosen], instances.masks.area[chosen]
    holes, owner = holes_of(masks)
    pierced = np.bincount(owner, holes.area >= TRUE * area[owner], len(chosen)) > 0
    tiny = np.flatnonzero(holes.area <= np.maximum(settings.dust, PINHOLE * area[owner]))
    pinholes = []
    for rows in np.split(tiny, np.flatnonzero(np.diff(owner[tiny])) + 1) if len(tiny) else []:
        k = int(owner[rows[0]])
        i = int(chosen[k])
        found = _pinhole(labelled.name(i), holes.area[rows], int(area[k]), labelled.place(i))
        pinholes.append((int(instances.labels[i]), found))
    whole = _seen_whole(labelled, chosen, masks)
    return labelled.rows(chosen, area=area, pierced=pierced, whole=whole), pinholes


def _pinhole(name: str, tiny: Int, area: int, place: Place) -> Finding:
    several = f"{len(tiny)} holes of {tiny.sum()} pixels in all" if len(tiny) > 1 else f"a hole of {tiny[0]} pixels"
    return Finding("pinhole", f"{name}: {several} in a mask of {area:,}", 0.6, place)


def _seen_whole(labelled: Labelled, chosen: Int, own: Masks) -> Bool:
    """Return which masks, the ``chosen`` ones, cannot have lost a hole to the border or to a neighbour."""
    masks = labelled.instances.masks
    box, (height, width) = masks.boxes[chosen], masks.size
    inside = (box[:, :2] > 0).all(1) & (box[:, 2] < width) & (box[:, 3] < height)
    neighbours = np.diff(touching(masks).indptr)[chosen]
    # a neighbour on top of a mask bites into it, so a mask that fills its hull was not bitten
    hollow = np.zeros(len(own), np.int64)
    for lo, hi in chunks(np.diff(own.offsets), AT_ONCE):
        hull, whole, each = hulls(own[lo:hi]), filled(own[lo:hi]), np.arange(hi - lo)
        hollow[lo:hi] = hull.area - shared(hull.runs, each, whole.runs, each)
    return inside & ((neighbours == 0) | (hollow <= WHOLE * own.area))


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    rows = JoinedRows([own for own, _ in kept])
    label, area, pierced, whole = rows["label"], rows["area"], rows["pierced"], rows["whole"]
    for c, name in enumerate(facts.classes):
        own = np.flatnonzero((label == c) & whole)
        share = pierced[own].mean() if len(own) else 0.0
        if len(own) < settings.few or share < ALWAYS:
            continue
        for k in own[~pierced[own] & (area[own] >= np.median(area[own]) / 4)].tolist():
            message = f"{name}: no hole in this mask, but in {share:.0%} of the {len(own):,} masks seen whole"
            sure = float((share - ALWAYS) / (1 - ALWAYS)) * 0.5 + 0.4
            yield Finding("no_hole", message, sure, rows.place(k))
    pinholes = [found for _, some in kept for found in some]
    total = np.bincount(label, minlength=len(facts.classes))
    number = np.bincount([c for c, _ in pinholes], minlength=len(facts.classes))
    for c, finding in pinholes:
        if number[c] < ORDINARY * max(int(total[c]), settings.few):
            yield finding


CHECK = Check(
    "Tiny holes that look like slips, and missing holes where every other object of the class has one.",
    (
        Kind(
            "pinhole",
            "note",
            "Holes of at most `--dust` pixels (default 4) or a hundredth of the mask, where few of the class have any.",
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
