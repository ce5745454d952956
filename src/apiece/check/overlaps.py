"""Instances that share pixels: labelled twice, one in another, slivers between neighbours, crossed orders, stuff."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece.check.contract import Check, Finding, Kind, Labelled, Settings
from apiece.ops.occlusion import occluders
from apiece.ops.overlap import intersections

__all__ = ["CHECK"]

CONTAINED = 0.9  # share of a mask's pixels inside another from which the mask is contained
CROSSED = 0.05  # share of the smaller full mask that both must hide of each other
SLIVER = 0.1  # largest share of the smaller mask that neighbours share by a slip of the pen; more may be a true overlap


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    instances = labelled.instances
    shared = intersections(instances.masks, instances.masks).tocoo()
    single = ~(instances.crowd[shared.row] | instances.crowd[shared.col])
    once = (shared.row < shared.col) & single
    a, b, pixels = shared.row[once], shared.col[once], shared.data[once]
    area = instances.masks.area
    iou = pixels / (area[a] + area[b] - pixels)
    inside = pixels / np.minimum(area[a], area[b])
    same = instances.labels[a] == instances.labels[b]
    for k in np.flatnonzero(iou > settings.duplicate_iou).tolist():
        yield _twice(labelled, int(a[k]), int(b[k]), float(iou[k]), bool(same[k]))
    distinct = iou <= settings.duplicate_iou
    for k in np.flatnonzero(distinct & same & (inside >= CONTAINED)).tolist():
        small, large = (int(a[k]), int(b[k])) if area[a[k]] <= area[b[k]] else (int(b[k]), int(a[k]))
        message = (
            f"{labelled.name(small)}: {inside[k]:.0%} of the mask of {area[small]:,} pixels lies inside another one of "
            f"{area[large]:,}"
        )
        yield Finding("contained", message, float(inside[k]), labelled.place(small, large))
    for k in np.flatnonzero(distinct & same & (inside <= SLIVER)).tolist():
        message = f"two neighbours share {pixels[k]:,} pixels, {inside[k]:.1%} of the smaller"
        yield Finding("sliver", message, float(1 - inside[k] / SLIVER) / 2, labelled.place(int(a[k]), int(b[k])))

    if instances.full is not None:
        yield from _crossed(labelled)
    if labelled.stuff:
        yield from _stuff(labelled)


def _stuff(labelled: Labelled) -> Iterator[Finding]:
    """Find ground that is of two classes of stuff, and classes of stuff with more than one segment."""
    instances = labelled.instances
    is_stuff = np.isin(instances.labels, [instances.classes.index(name) for name in labelled.stuff])
    where = np.flatnonzero(is_stuff & ~instances.crowd)
    labels, masks = instances.labels[where], instances.masks[where]
    shared = intersections(masks, masks).tocoo()
    two = (shared.row < shared.col) & (labels[shared.row] != labels[shared.col])
    for a, b, pixels in zip(shared.row[two].tolist(), shared.col[two].tolist(), shared.data[two].tolist(), strict=True):
        first, second = int(where[a]), int(where[b])
        share = pixels / min(int(masks.area[a]), int(masks.area[b]))
        message = (
            f"{labelled.name(first)} and {labelled.name(second)}: both regions hold the same {pixels:,} pixels, "
            f"{share:.0%} of the smaller"
        )
        yield Finding("stuff_overlap", message, max(share, 0.5), labelled.place(first, second))
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        if count > 1:
            own = where[labels == label]
            message = f"{labelled.name(int(own[0]))}: {count} segments of one class of stuff in one image"
            yield Finding("stuff_segments", message, 0.5, labelled.place(*own.tolist()))


def _crossed(labelled: Labelled) -> Iterator[Finding]:
    """Find pairs of which each hides the other: one of the two orders is wrong."""
    hides, full = occluders(labelled.instances), labelled.instances.full
    assert full is not None
    both = hides.minimum(hides.T).tocoo()
    once = both.row < both.col
    a, b, pixels = both.row[once], both.col[once], both.data[once]
    share = pixels / np.minimum(full.area[a], full.area[b])
    for k in np.flatnonzero(share > CROSSED).tolist():
        message = f"each of two objects hides {pixels[k]:,} or more pixels of the other, {share[k]:.0%} of the smaller"
        yield Finding("crossed", message, float(min(1.0, 2 * share[k])), labelled.place(int(a[k]), int(b[k])))


def _twice(labelled: Labelled, first: int, second: int, iou: float, same: bool) -> Finding:
    names = " and ".join(dict.fromkeys(map(labelled.name, (first, second))))
    exact = same and iou == 1
    message = f"{names}: two masks of IoU {iou:.2f}" + (", the same pixels" if exact else "")
    # the first of a place's instances is the one that a repair removes: here the later one
    kind, place = "duplicate" if same else "two_classes", labelled.place(second, first)
    return Finding(kind, message, iou, place, repair="drop" if exact else None)


CHECK = Check(
    "Instances that share pixels: labelled twice, one inside another, slivers between neighbours.",
    (
        Kind(
            "duplicate",
            "error",
            "Two instances of one class with a mask IoU above `--duplicate-iou` (default 0.85): one object twice.",
            "Delete one of the two.",
        ),
        Kind(
            "two_classes",
            "warning",
            "Two instances of different classes with a mask IoU above `--duplicate-iou`: one object under two names.",
            "Decide which class it is, and delete the other instance.",
        ),
        Kind(
            "contained",
            "warning",
            "A mask of which at least nine tenths lie within another mask of its class.",
            "Delete it, or cut it out of the larger one, unless one object does lie in the other.",
        ),
        Kind(
            "sliver",
            "note",
            "Neighbours of one class that share at most a tenth of the smaller: outlines that slipped over each other.",
            "Give the shared pixels to one of the two.",
        ),
        Kind(
            "crossed",
            "warning",
            "Two objects whose full masks say that each hides at least a twentieth of the other: one lies in front.",
            "Decide which lies in front, and correct the visible mask of the other.",
        ),
        Kind(
            "stuff_overlap",
            "warning",
            "Regions of two classes of stuff that share pixels: a pixel of ground has one class.",
            "Give the shared pixels to one of the two.",
        ),
        Kind(
            "stuff_segments",
            "note",
            "More than one segment of a class of stuff in one image, where panoptic labels have one.",
            "Join them (`apiece` trains and judges them as one), or name the class a thing if they are objects.",
        ),
    ),
    look=_look,
)
