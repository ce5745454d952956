"""Sizes: masks far larger or smaller than others of their class, and how many the image border cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Float, Int
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Rows, SetFacts, Settings

__all__ = ["CHECK"]

FARTHEST = 4.5  # robust z of the logarithm of the area from which a mask stands out
LEAST_FACTOR = 2.0  # least area over the class median; where all sizes are equal, every speck would stand out


def _remember(labelled: Labelled, settings: Settings) -> Rows | None:
    instances = labelled.instances
    at = np.flatnonzero(~instances.crowd & (instances.masks.area > 0))
    if not len(at):
        return None
    box, (height, width) = instances.boxes[at], instances.size
    cut = (box[:, :2] == 0).any(1) | (box[:, 2] == width) | (box[:, 3] == height)
    return labelled.rows(at, area=instances.masks.area[at], cut=cut)


def _conclude(kept: Sequence[Rows], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    rows = JoinedRows(kept)
    label, area, cut = rows["label"], rows["area"], rows["cut"]
    for c, name in enumerate(facts.classes):
        own, cut_own = (np.flatnonzero((label == c) & some) for some in (~cut, cut))
        if len(own) >= settings.few:
            for i, z, median in _outliers(own, np.log(area[own]), rows.image[own], settings.few):
                factor = area[i] / median
                times = f"{factor:.1f} times" if factor > 1 else f"1/{1 / factor:.1f} of"
                message = f"{name}: {area[i]:,} pixels, {times} the median of its class ({median:,.0f})"
                sure = float(1 - FARTHEST / (FARTHEST + abs(z)))
                yield Finding("large" if z > 0 else "small", f"{message}, robust z {z:+.1f}", sure, rows.place(i))
        if len(cut_own):
            smallest = int(cut_own[np.argmin(area[cut_own])])
            message = (
                f"{name}: the image border cuts {len(cut_own):,} of {len(own) + len(cut_own):,} masks, in "
                f"{len(np.unique(rows.image[cut_own])):,} images; the smallest of them has {area[smallest]:,} pixels"
            )
            yield Finding("cut", message, 0.1, rows.place(smallest))


def _outliers(own: Int, logs: Float, image: Int, few: int) -> Iterator[tuple[int, float, float]]:
    """Yield (mask, robust z, median in pixels) of each mask that stands out.

    The median is that of the class in the same image, if the image has enough of them, since images may differ in
    magnification. Sizes are skewed even as logarithms, so each side has its own spread: that of all images, or of the
    same image where it is wider, as with debris among cells.
    """
    median = np.full(len(own), np.median(logs))
    groups = []
    order = np.argsort(image, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(image[order])) + 1):
        if len(some) >= few:
            median[some] = np.median(logs[some])
            groups.append(some)
    off = logs - median
    spread = np.maximum(_spread(off), 0.05)
    for some in groups:
        spread[some] = np.maximum(spread[some], _spread(off[some]))
    z = off / spread
    for k in np.flatnonzero((np.abs(z) >= FARTHEST) & (np.abs(off) >= np.log(LEAST_FACTOR))).tolist():
        yield int(own[k]), float(z[k]), float(np.exp(median[k]))


def _spread(off: Float) -> Float:
    """Return for each value the robust standard deviation of the values on its side of 0."""
    sides = [off[off * sign > 0] for sign in (1, -1)]
    above, below = (1.4826 * float(np.median(np.abs(side))) if len(side) else 0.0 for side in sides)
    return np.where(off > 0, above, below)


_Z = "by a robust z of the logarithm of the area."
CHECK = Check(
    "Masks far larger or smaller than others of their class, and how many the image border cuts.",
    (
        Kind(
            "large",
            "note",
            f"A mask far larger than others of its class, {_Z}",
            "See whether it covers several objects, or belongs to another class.",
        ),
        Kind(
            "small",
            "note",
            f"A mask far smaller than others of its class, {_Z}",
            "See whether it is a fragment, or belongs to another class.",
        ),
        Kind(
            "cut",
            "note",
            "Masks that the image border cuts; one finding for each class.",
            "Nothing, but leave them out when you measure sizes.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
