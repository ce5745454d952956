"""How far one object of a class reaches: parts of a mask that reach further together are two objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int
from apiece.check._kit.shapes import AT_ONCE, bare_pixels, bridged, dilated
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.ops.parts import filled

SAMPLE = 8  # most masks of an image that show how far objects of their classes reach
FIRST, EVERY = 32, 8  # images whose masks are sampled: the first ones of a split, and one in so many of the rest
TURNS = 16  # directions in which the width of a mask is taken
HIGH = 0.99  # quantile over the masks of a class that is its limit, since some of them hold a mistake themselves


@dataclass(frozen=True, eq=False)
class Spans:
    """How far some masks reach, one value each."""

    label: Int
    length: Float
    """Greatest width in pixels."""
    hollow: Float
    """Ground within the convex hull that no object covers, as a share of the mask's pixels."""


@dataclass(frozen=True)
class Limit:
    """The length and the hollow that objects of a class seldom exceed."""

    length: float
    hollow: float


def sample(instances: Instances, index: int, dust: int) -> Spans | None:
    """Return the spans of a few masks in one part, evenly from all classes; None if the image is not sampled."""
    if index >= FIRST and index % EVERY:
        return None
    whole = np.flatnonzero((instances.masks.parts == 1) & (instances.masks.area > dust) & ~instances.crowd)
    if not len(whole):
        return None
    order = whole[np.argsort(instances.labels[whole], kind="stable")]
    chosen = order[np.linspace(0, len(order) - 1, min(len(order), SAMPLE)).astype(np.int64)]
    box = instances.masks.boxes
    near = [(box[:, :2] < box[k, 2:]).all(1) & (box[:, 2:] > box[k, :2]).all(1) for k in chosen]
    others = instances.masks[np.any(near, axis=0)]  # no hull goes beyond its box
    return _spans(instances.labels[chosen], filled(instances.masks[chosen]), others)


def together(instances: Instances, owner: Int, masks: Masks) -> Spans:
    """Return the spans of ``masks``, each some parts of one instance (``owner``) taken together.

    Two kinds of open ground do not count: the pixel that labels often leave free beside what lies on top of an object,
    and what objects enclose.
    """
    cover = filled(bridged(dilated(instances.masks.union())))
    return _spans(instances.labels[owner], filled(bridged(masks)), cover)


def _spans(label: Int, masks: Masks, others: Masks) -> Spans:
    bare = bare_pixels(masks, Masks.concatenate([masks, others]).union())
    return Spans(label, _lengths(masks), bare / masks.area)


def _lengths(masks: Masks) -> Float:
    """Return the greatest of the widths in `TURNS` directions: at most 0.5 % less than the greatest in any."""
    turns, widths = np.arange(TURNS) * (np.pi / TURNS), [np.zeros(0)]
    for _, _, runs in masks.runs.parts(AT_ONCE // TURNS):
        across, down = runs.x[:, None] * np.cos(turns), np.sin(turns)  # never negative: lower pixels lie further on
        first = runs.offsets[:-1]
        furthest = np.maximum.reduceat(across + (runs.y1 - 1)[:, None] * down, first)
        nearest = np.minimum.reduceat(across + runs.y0[:, None] * down, first)
        widths.append((furthest - nearest).max(1) + 1)
    return np.concatenate(widths)


def limits(kept: Sequence[Spans], few: int) -> dict[int, Limit]:
    """Return the limit of each class of at least ``few`` masks."""
    if not kept:
        return {}
    label, length, hollow = (np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "length", "hollow"))
    known = np.flatnonzero(np.bincount(label) >= max(few, 1)).tolist()
    return {c: Limit(*(float(np.quantile(v[label == c], HIGH)) for v in (length, hollow))) for c in known}
