"""Instances that share pixels: labelled twice, one inside another, slivers between neighbours."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece.check.contract import Check, Finding, Kind, Labelled, Settings
from apiece.ops.overlap import intersections

__all__ = ["CHECK"]

CONTAINED = 0.9
"""Share of a mask's pixels inside another from which it is contained."""
SLIVER = 0.1
"""Most of the smaller mask's pixels that neighbours share by a slip of the pen; more may be a true overlap."""


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    instances = labelled.instances
    shared = intersections(instances.masks, instances.masks).tocoo()
    once = shared.row < shared.col
    a, b, pixels = shared.row[once], shared.col[once], shared.data[once]
    single = ~(instances.crowd[a] | instances.crowd[b])
    a, b, pixels = a[single], b[single], pixels[single]
    area = instances.masks.area
    iou = pixels / (area[a] + area[b] - pixels)
    inside = pixels / np.minimum(area[a], area[b])
    same = instances.labels[a] == instances.labels[b]
    for k in np.flatnonzero(iou > settings.duplicate_iou).tolist():
        yield _twice(labelled, int(a[k]), int(b[k]), float(iou[k]), bool(same[k]))
    distinct = iou <= settings.duplicate_iou
    for k in np.flatnonzero(distinct & same & (inside >= CONTAINED)).tolist():
        small, large = (int(a[k]), int(b[k])) if area[a[k]] <= area[b[k]] else (int(b[k]), int(a[k]))
        name = instances.classes[instances.labels[small]]
        yield Finding(
            "contained",
            f"{name}: {inside[k]:.0%} of the mask of {area[small]:,} pixels lies inside another of {area[large]:,}",
            float(inside[k]),
            labelled.place(small, large),
        )
    for k in np.flatnonzero(distinct & same & (inside <= SLIVER)).tolist():
        yield Finding(
            "sliver",
            f"two neighbours share {pixels[k]:,} pixels, {inside[k]:.1%} of the smaller",
            float(1 - inside[k] / SLIVER) / 2,
            labelled.place(int(a[k]), int(b[k])),
        )


def _twice(labelled: Labelled, first: int, second: int, iou: float, same: bool) -> Finding:
    names = [labelled.instances.classes[labelled.instances.labels[i]] for i in (first, second)]
    exact = same and iou == 1
    return Finding(
        "duplicate" if same else "two_classes",
        f"{' and '.join(dict.fromkeys(names))}: two masks of IoU {iou:.2f}" + (", the same pixels" if exact else ""),
        iou,
        # the later one goes where the two are the same
        labelled.place(second, first),
        repair="drop" if exact else None,
    )


CHECK = Check(
    summary="Instances that share pixels: labelled twice, one inside another, slivers between neighbours.",
    kinds=(
        Kind(
            "duplicate",
            "error",
            "Two instances of one class with a mask IoU above duplicate_iou: one object, labelled twice.",
            "Delete one of the two.",
        ),
        Kind(
            "two_classes",
            "warning",
            "Two instances of different classes with a mask IoU above duplicate_iou: one object under two names.",
            "Decide which class it is, and delete the other.",
        ),
        Kind(
            "contained",
            "warning",
            "A mask that lies within another of its class, to nine tenths or more.",
            "Delete it, or cut it out of the larger one, unless one object does lie in the other.",
        ),
        Kind(
            "sliver",
            "note",
            "Neighbours of one class that share a tenth of the smaller or less: outlines that slipped over each other.",
            "Give the shared pixels to one of the two.",
        ),
    ),
    look=_look,
)
