"""How far one object of a class reaches: parts of a mask that reach further together are of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.check._kit.shapes import bare_pixels, bridged, closed, grown, hulls
from apiece.core.instances import Instances
from apiece.core.masks import Masks

SAMPLE = 8
"""Most masks of an image that tell how far objects of their classes reach."""
FIRST, EVERY = 32, 8
"""Images whose masks are asked: so many at the start of a split, and one in so many of the rest."""
TURNS = 16
"""Directions in which a mask's width is taken."""
HIGH = 0.99
"""Quantile over the masks of a class that is its limit: some of these hold a mistake themselves."""


@dataclass(frozen=True, eq=False)
class Spans:
    """How far some masks reach, one value for each."""

    label: Int
    """Class."""
    length: Float
    """Greatest width in pixels."""
    hollow: Float
    """Ground within the convex hull that no object covers, as a share of the mask's pixels."""


@dataclass(frozen=True)
class Limit:
    """What objects of a class seldom pass."""

    length: float
    hollow: float


def sample(instances: Instances, index: int, dust: int) -> Spans | None:
    """Of a few masks in one part, evenly from all classes; None of an image that is not asked or has none."""
    if index >= FIRST and index % EVERY:
        return None
    whole = np.flatnonzero((instances.masks.parts == 1) & (instances.masks.area > dust) & ~instances.crowd)
    if not len(whole):
        return None
    order = whole[np.argsort(instances.labels[whole], kind="stable")]
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), SAMPLE)).astype(np.int64)]
    return _spans(instances.labels[chosen], closed(instances.masks[chosen]), instances.masks)


def together(instances: Instances, owner: Int, masks: Masks) -> Spans:
    """Of parts of some instances, those of one mask of ``masks`` taken together; ``owner`` says whose they are.

    Labels leave a pixel free beside what lies over an object at times, and ground that objects enclose is the hollow of
    none of them: neither counts.
    """
    cover = closed(bridged(grown(instances.masks.union())))
    return _spans(instances.labels[owner], closed(bridged(masks)), cover)


def _spans(label: Int, masks: Masks, others: Masks) -> Spans:
    bare = bare_pixels(hulls(masks), Masks.concatenate([masks, others]).union())
    return Spans(label, _lengths(masks), bare / masks.area)


def _lengths(masks: Masks) -> Float:
    """The greatest of the widths in `TURNS` directions: at most 0.5 % less than the greatest in any."""
    turns = np.arange(TURNS) * (np.pi / TURNS)
    across, down = masks.x[:, None] * np.cos(turns), np.sin(turns)  # never negative: lower pixels lie further on
    first = masks.offsets[:-1]
    furthest = np.maximum.reduceat(across + (masks.y1 - 1)[:, None] * down, first)
    nearest = np.minimum.reduceat(across + masks.y0[:, None] * down, first)
    width: Float = (furthest - nearest).max(1) + 1
    return width


def limits(kept: Sequence[Spans], few: int) -> dict[int, Limit]:
    """Class to its limit; a class of fewer than ``few`` masks has none."""
    if not kept:
        return {}
    label, length, hollow = (np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "length", "hollow"))
    known = np.flatnonzero(np.bincount(label) >= max(few, 1)).tolist()
    return {c: Limit(*(float(np.quantile(v[label == c], HIGH)) for v in (length, hollow))) for c in known}
