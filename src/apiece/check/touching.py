"""Masks that are really two touching objects: a neck between two lobes, unlike others of the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Bool, Float, Int, Int32
from apiece.check._kit.shapes import bare_pixels, bridged, closed, hulls
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.core.masks import Masks

__all__ = ["CHECK"]

HOLLOW = 0.03
"""Least hollow of a mask that is looked at closely: bare pixels of its hull, as a share of its own."""
LEAST = 30
"""Fewest pixels of such a mask; in fewer there is no shape to speak of."""
SIDE = 160
"""Longer side in pixels that a mask is shrunk to before it is looked at closely."""
NOTCHES = 4
"""Notches of an outline, the deepest first, between which a cut is looked for."""
SHALLOW = 1.0
"""Least depth of a notch in pixels; less is the pixels' own roughness."""
ACROSS = 0.15
"""Least way along the outline, as a share of it, between the ends of a cut."""
LOBE = 0.15
"""Least share of a mask's pixels in the smaller of its two lobes."""
SPREAD = 0.01
"""Least spread of the hollow within a class: no two outlines on a grid of pixels are drawn alike."""
LEAST_SURE = 0.25
"""Findings that are less sure are not reported."""


@dataclass(frozen=True)
class _Split:
    """A mask that falls into two lobes where its neck is cut."""

    label: int
    area: int
    hollow: float
    neck: float
    """Width of the neck over the diameter of the smaller lobe."""
    smaller: float
    """Share of the pixels in the smaller lobe."""
    explained: float
    """Share of the hollow that is gone when each lobe has a hull of its own."""
    place: Place


@dataclass(frozen=True)
class _Kept:
    """Of one image: class, pixels and hollow of each mask; those that fall into two lobes."""

    label: Int
    area: Int
    hollow: Float
    splits: tuple[_Split, ...]


# ---------------------------------------------------------------- one image


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    chosen = np.flatnonzero(~instances.crowd & (instances.masks.area > settings.dust))
    if not len(chosen):
        return None
    masks, label = closed(bridged(instances.masks[chosen])), instances.labels[chosen]
    # ground that objects enclose is no hollow of one of them: a ring whose hole another object opens stays a ring
    cover = closed(Masks.concatenate([masks, instances.masks]).union())
    hull = hulls(masks)
    bare = bare_pixels(hull, cover)
    hollow = bare / masks.area
    some = np.flatnonzero((hollow >= HOLLOW) & (masks.area >= LEAST))
    splits = []
    if len(some):
        crops, corners = masks[some].to_crops()
        for k, crop, corner in zip(some.tolist(), crops, corners.tolist(), strict=True):
            found = _lobes(crop, cover, corner)
            if found is not None:
                c, n = int(label[k]), int(masks.area[k])
                splits.append(_Split(c, n, float(hollow[k]), *found, labelled.place(int(chosen[k]))))
    return _Kept(label, masks.area, hollow, tuple(splits))


def _lobes(crop: Bool, cover: Masks, corner: Sequence[int]) -> tuple[float, float, float] | None:
    """(neck, share of the smaller lobe, hollow explained) of a mask in its own box; None if nothing parts it."""
    height, width = crop.shape
    around = cover.crop(corner[0], corner[1], corner[0] + width, corner[1] + height).to_dense()[0]
    factor = min(1.0, SIDE / max(height, width))
    if factor < 1:
        shape = (max(round(width * factor), 1), max(round(height * factor), 1))
        crop, around = (
            cv2.resize(a.astype(np.uint8), shape, interpolation=cv2.INTER_NEAREST) > 0 for a in (crop, around)
        )
    outlines = cv2.findContours(crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    outline = max(outlines, key=len)[:, 0].astype(np.int32)
    notches = _notches(outline, np.pad(crop, 2), np.pad(around, 2))
    if not len(notches):
        return None
    whole = cv2.contourArea(outline)
    hollow = cv2.contourArea(cv2.convexHull(outline)) - whole
    best = None
    for a, b in _cuts(outline, notches):
        lobes = outline[a : b + 1], np.concatenate([outline[b:], outline[: a + 1]])
        areas = [cv2.contourArea(lobe) for lobe in lobes]
        smaller = min(areas) / max(sum(areas), 1.0)
        if smaller < LOBE:
            continue
        left = sum(cv2.contourArea(cv2.convexHull(lobe)) - n for lobe, n in zip(lobes, areas, strict=True))
        explained = 1 - left / max(hollow, 1e-6)
        neck = float(np.hypot(*(outline[a] - outline[b])) + 1) / (2 * np.sqrt(min(areas) / np.pi) + 1)
        if best is None or explained - neck / 2 > best[2] - best[0] / 2:
            best = neck, smaller, explained
    return best


def _notches(outline: Int32, crop: Bool, around: Bool) -> Int:
    """Positions on the outline of its deepest notches with open ground in them; crop and cover are padded by 2."""
    # an outline that runs over itself gives them in another order, which convexityDefects refuses
    corners = np.sort(cv2.convexHull(outline, returnPoints=False), axis=0)
    found = cv2.convexityDefects(outline, corners) if len(corners) > 3 else None
    if found is None:
        return np.zeros(0, np.int64)
    found = found.reshape(-1, 4)
    at, depth = found[:, 2].astype(np.int64), found[:, 3] / 256
    kept = np.argsort(-depth, kind="stable")[:NOTCHES]
    kept = kept[depth[kept] >= SHALLOW]
    at = at[kept]
    # a notch that a neighbour fills is where the neighbour lies over the object, or against it
    window = np.arange(5)
    rows, columns = (outline[at, 1][:, None, None] + window[:, None]), (outline[at, 0][:, None, None] + window)
    outside = ~crop[rows, columns]
    open_ = outside & ~around[rows, columns]
    return at[open_.sum((1, 2)) >= 0.5 * outside.sum((1, 2))]


def _cuts(outline: Int32, notches: Int) -> Iterator[tuple[int, int]]:
    """Pairs of positions on the outline: from notch to notch, and from each notch straight across."""
    count = len(outline)
    for k, a in enumerate(notches.tolist()):
        for b in notches[k + 1 :].tolist():
            yield min(a, b), max(a, b)
        along = np.abs(np.arange(count) - a)
        along = np.minimum(along, count - along)
        far = np.hypot(*(outline - outline[a]).T)
        b = int(np.where(along >= ACROSS * count, far, np.inf).argmin())
        yield min(a, b), max(a, b)


# ---------------------------------------------------------------- the set


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    label, area, hollow = (np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "area", "hollow"))
    for c, name in enumerate(facts.classes):
        own = label == c
        if own.sum() < settings.few:
            continue
        middle, high = np.quantile(hollow[own], (0.5, 0.9)).tolist()
        # a class of plain outlines has bent and dented objects too: its upper tail tells how many
        spread = max(1.4826 * float(np.median(np.abs(hollow[own] - middle))), (high - middle) / 1.28, SPREAD)
        size = float(np.median(area[own]))
        for k in kept:
            beside = k.area[k.label == c]
            # images may be of different magnification: in a full one its own objects tell what is large
            near = float(np.median(beside)) if len(beside) >= settings.few else size
            for split in k.splits:
                if split.label != c:
                    continue
                factor, excess = split.area / near, (split.hollow - middle) / spread
                sure = _sure(factor, excess, split.neck)
                if sure >= LEAST_SURE:
                    yield Finding("touching", _words(name, split, factor, middle), sure, split.place)


def _sure(factor: float, excess: float, neck: float) -> float:
    """From the area over that of the class, the excess of the hollow in its spreads, and the neck.

    The weights are those of a logistic regression on merged and unmerged parts of synthetic scenes, rounded; the neck
    counts for more than there, since what grows, unlike what is made, is bent at times.
    """
    score = -2 + 1.2 * np.log2(factor) + 0.6 * np.clip(excess, 0, 10) - 4 * neck
    return float(1 / (1 + np.exp(-score)))


def _words(name: str, split: _Split, factor: float, middle: float) -> str:
    return (
        f"{name}: a neck as wide as {split.neck:.0%} of the smaller lobe, hollow by {split.hollow:.0%} "
        f"(its class {middle:.0%}), {factor:.1f} times the area of others"
    )


CHECK = Check(
    summary="Masks that are really two touching objects: a neck between two lobes, unlike others of the class.",
    kinds=(
        Kind(
            "touching",
            "warning",
            "A mask with a neck between two lobes, more hollow than its class is: two touching objects, merged.",
            "Cut it at the neck, and give each object an id of its own.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
