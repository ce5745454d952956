"""Masks that are really two touching objects: a neck between two lobes, unlike others of the class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Bool, Int, Int32
from apiece.check._kit.shapes import bare_pixels, bridged
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Place, Rows, SetFacts, Settings
from apiece.core.masks import Masks
from apiece.core.runs import CHUNK, chunks
from apiece.ops.parts import filled

__all__ = ["CHECK"]

# A mask's *hollow* is the part of its convex hull that no instance covers, as a share of the mask's pixels.
HOLLOW = 0.03  # smallest hollow of a mask that is examined for a neck
LEAST = 30  # fewest pixels of such a mask; fewer have no shape to speak of
SIDE = 160  # longer side in pixels to which a mask is shrunk before it is examined
NOTCHES = 4  # notches of an outline, the deepest first, between which a cut is tried
SHALLOW = 1.0  # least depth of a notch in pixels; less is the roughness of a pixel grid
ACROSS = 0.15  # least way along the outline between the ends of a cut, as a share of it
LOBE = 0.15  # smallest share of a mask's pixels in the smaller of its two lobes
SPREAD = 0.01  # least spread of the hollow within a class: no two outlines on a pixel grid are alike
LEAST_SURE = 0.25  # findings less sure than this are not reported


@dataclass(frozen=True)
class _Lobes:
    """A mask that falls into two lobes where its neck is cut."""

    label: int
    area: int
    hollow: float
    neck: float  # width of the neck over the diameter of the smaller lobe
    place: Place


_Kept = tuple[Rows, list[_Lobes]]


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    chosen = np.flatnonzero(~instances.crowd & (instances.masks.area > settings.dust))
    if not len(chosen):
        return None
    masks = filled(bridged(instances.masks[chosen]))
    # ground that objects enclose is no hollow of one of them: a ring whose hole another object opens stays a ring
    rest = np.delete(np.arange(len(instances)), chosen)
    cover = filled(Masks.concatenate([masks, instances.masks[rest]]).union() if len(rest) else masks.union())
    hollow = bare_pixels(masks, cover) / masks.area
    some = np.flatnonzero((hollow >= HOLLOW) & (masks.area >= LEAST))
    lobes = []
    sides = masks.runs.boxes[some, 2:] - masks.runs.boxes[some, :2]
    for lo, hi in chunks(sides.prod(1), CHUNK):
        crops, corners = masks[some[lo:hi]].to_crops()
        for k, crop, corner in zip(some[lo:hi].tolist(), crops, corners.tolist(), strict=True):
            neck, i = _neck(crop, cover, corner), int(chosen[k])
            if neck is not None:
                label, area = int(instances.labels[i]), int(masks.area[k])
                lobes.append(_Lobes(label, area, float(hollow[k]), neck, labelled.place(i)))
    return labelled.rows(chosen, area=masks.area, hollow=hollow), lobes


def _neck(crop: Bool, cover: Masks, corner: Sequence[int]) -> float | None:
    """Return the relative width of the neck of a mask in its own bounding box; None if no cut makes two lobes."""
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
    hollow = cv2.contourArea(cv2.convexHull(outline)) - cv2.contourArea(outline)
    best, neck = -np.inf, None
    for a, b in _cuts(outline, _notches(outline, np.pad(crop, 2), np.pad(around, 2))):
        lobes = outline[a : b + 1], np.concatenate([outline[b:], outline[: a + 1]])
        areas = [cv2.contourArea(lobe) for lobe in lobes]
        if min(areas) / max(sum(areas), 1.0) < LOBE:
            continue
        left = sum(cv2.contourArea(cv2.convexHull(lobe)) - n for lobe, n in zip(lobes, areas, strict=True))
        width = float(np.hypot(*(outline[a] - outline[b])) + 1) / (2 * np.sqrt(min(areas) / np.pi) + 1)
        # the best cut leaves the least hollow when each lobe has its own hull, and is narrow
        explained = 1 - left / max(hollow, 1e-6) - width / 2
        if explained > best:
            best, neck = explained, width
    return neck


def _notches(outline: Int32, crop: Bool, around: Bool) -> Int:
    """Return the outline's deepest notches with open ground in them; ``crop`` and ``around`` are padded by 2."""
    # an outline that runs over itself gives them in another order, which convexityDefects refuses
    corners = np.sort(cv2.convexHull(outline, returnPoints=False), axis=0)
    found = cv2.convexityDefects(outline, corners) if len(corners) > 3 else None
    if found is None:
        return np.zeros(0, np.int64)
    found = found.reshape(-1, 4)
    at, depth = found[:, 2].astype(np.int64), found[:, 3] / 256
    kept = np.argsort(-depth, kind="stable")[:NOTCHES]
    at = at[kept[depth[kept] >= SHALLOW]]
    # where a neighbour fills a notch, it lies on top of the object or against it
    window = np.arange(5)
    rows, columns = (outline[at, 1][:, None, None] + window[:, None]), (outline[at, 0][:, None, None] + window)
    outside = ~crop[rows, columns]
    open_ = outside & ~around[rows, columns]
    return at[open_.sum((1, 2)) >= 0.5 * outside.sum((1, 2))]


def _cuts(outline: Int32, notches: Int) -> Iterator[tuple[int, int]]:
    """Yield pairs of positions on the outline: from notch to notch, and from each notch straight across."""
    count = len(outline)
    for k, a in enumerate(notches.tolist()):
        along = np.abs(np.arange(count) - a)
        along = np.minimum(along, count - along)
        far = np.hypot(*(outline - outline[a]).T)
        across = int(np.where(along >= ACROSS * count, far, np.inf).argmin())
        for b in (*notches[k + 1 :].tolist(), across):
            yield min(a, b), max(a, b)


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    rows = JoinedRows([own for own, _ in kept])
    label, area, hollow = rows["label"], rows["area"], rows["hollow"]
    for c, name in enumerate(facts.classes):
        own = label == c
        if own.sum() < settings.few:
            continue
        median, high = np.quantile(hollow[own], (0.5, 0.9)).tolist()
        # a class of plain outlines has bent and dented objects too: its upper tail tells how many
        spread = max(1.4826 * float(np.median(np.abs(hollow[own] - median))), (high - median) / 1.28, SPREAD)
        size = float(np.median(area[own]))
        for image, lobes in kept:
            some = [one for one in lobes if one.label == c]
            beside = image.columns["area"][image.columns["label"] == c] if some else area[:0]
            # images may differ in magnification: a full image tells by its own objects what is large
            typical = float(np.median(beside)) if len(beside) >= settings.few else size
            for one in some:
                factor, excess = one.area / typical, (one.hollow - median) / spread
                sure = _sure(factor, excess, one.neck)
                if sure >= LEAST_SURE:
                    message = (
                        f"{name}: a neck as wide as {one.neck:.0%} of the smaller lobe, hollow by {one.hollow:.0%} "
                        f"(class median {median:.0%}), {factor:.1f} times the area of others"
                    )
                    yield Finding("touching", message, sure, one.place)


def _sure(factor: float, excess: float, neck: float) -> float:
    """Weigh the area over that of the class, the excess of the hollow in its spreads, and the neck.

    The weights are those of a logistic regression on merged and unmerged parts of synthetic scenes, rounded. The neck
    weighs more than there, because natural objects, unlike made ones, are often bent.
    """
    score = -2 + 1.2 * np.log2(factor) + 0.6 * np.clip(excess, 0, 10) - 4 * neck
    return float(1 / (1 + np.exp(-score)))


CHECK = Check(
    "Masks that are really two touching objects: a neck between two lobes, unlike others of the class.",
    (
        Kind(
            "touching",
            "warning",
            "A mask with a neck between two lobes, more hollow than others of its class: two touching objects, merged.",
            "Cut the mask at the neck, and give each object an id of its own.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
