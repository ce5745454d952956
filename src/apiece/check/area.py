"""Sizes: masks far larger or smaller than others of their class, and how many the image border cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, Places, SetFacts, Settings

__all__ = ["CHECK"]

FARTHEST = 4.5
"""Robust z of the logarithm of the area from which a mask stands out."""
LEAST_FACTOR = 2.0
"""Least factor between a mask and the middle of its class: in a class of equal sizes every speck would stand out."""


@dataclass(frozen=True)
class _Kept:
    """Of one image: place, class and pixels of each mask, and whether the border cuts it."""

    places: Places
    label: Int
    area: Int
    cut: Bool


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    at = np.flatnonzero(~instances.crowd & (instances.masks.area > 0))
    if not len(at):
        return None
    box, (height, width) = instances.boxes[at], instances.size
    cut = (box[:, :2] == 0).any(1) | (box[:, 2] == width) | (box[:, 3] == height)
    return _Kept(labelled.places(at), instances.labels[at], instances.masks.area[at], cut)


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    image = np.repeat(np.arange(len(kept)), [len(k.label) for k in kept])
    first = np.searchsorted(image, np.arange(len(kept)))
    label, area, cut = (np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "area", "cut"))

    def place(i: int) -> Place:
        return kept[image[i]].places[i - int(first[image[i]])]

    for c, name in enumerate(facts.classes):
        own = np.flatnonzero((label == c) & ~cut)
        if len(own) >= settings.few:
            for i, z, middle in _outliers(own, np.log(area[own]), image[own], settings.few):
                factor = area[i] / middle
                times = f"{factor:.1f} times" if factor > 1 else f"1/{1 / factor:.1f} of"
                yield Finding(
                    "large" if z > 0 else "small",
                    f"{name}: {area[i]:,} pixels, {times} the middle of its class ({middle:,.0f}), robust z {z:+.1f}",
                    float(1 - FARTHEST / (FARTHEST + abs(z))),
                    place(i),
                )
        cut_own = np.flatnonzero((label == c) & cut)
        if len(cut_own):
            total = len(own) + len(cut_own)
            images = len(np.unique(image[cut_own]))
            least = int(cut_own[np.argmin(area[cut_own])])
            yield Finding(
                "cut",
                f"{name}: the image border cuts {len(cut_own):,} of {total:,} masks, in {images:,} images; "
                f"the least is left of this one, {area[least]:,} pixels",
                0.1,
                place(least),
            )


def _outliers(own: Int, logs: Float, image: Int, few: int) -> Iterator[tuple[int, float, float]]:
    """(mask, robust z, middle in pixels) of those that stand out.

    A mask is compared with the middle of its class in its own image, where there are enough of them, since images may
    be of different magnification. Sizes are skewed even as logarithms, so each side has a spread of its own: that of
    all images, or of its own image where that is wider, as where debris lies among cells.
    """
    middle = np.full(len(own), np.median(logs))
    groups = []
    order = np.argsort(image, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        if len(some) >= few:
            middle[some] = np.median(logs[some])
            groups.append(some)
    off = logs - middle
    spread = np.maximum(_spread(off), 0.05)
    for some in groups:
        spread[some] = np.maximum(spread[some], _spread(off[some]))
    z = off / spread
    for k in np.flatnonzero((np.abs(z) >= FARTHEST) & (np.abs(off) >= np.log(LEAST_FACTOR))).tolist():
        yield int(own[k]), float(z[k]), float(np.exp(middle[k]))


def _spread(off: Float) -> Float:
    """Of each value: that of the values on its side of the middle, as a standard deviation."""
    sides = [off[off * sign > 0] for sign in (1, -1)]
    above, below = (1.4826 * float(np.median(np.abs(side))) if len(side) else 0.0 for side in sides)
    return np.where(off > 0, above, below)


CHECK = Check(
    summary="Masks far larger or smaller than others of their class, and how many the image border cuts.",
    kinds=(
        Kind(
            "large",
            "note",
            "A mask far larger than others of its class, by a robust z of the logarithm of the area.",
            "See whether it is several objects, or of another class.",
        ),
        Kind(
            "small",
            "note",
            "A mask far smaller than others of its class, by a robust z of the logarithm of the area.",
            "See whether it is a fragment, or of another class.",
        ),
        Kind(
            "cut",
            "note",
            "Masks that the image border cuts; one finding for each class.",
            "Nothing, but leave them out where sizes are measured.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
