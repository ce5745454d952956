"""Parts of a mask, each linked to a larger one near it: do the two belong together under what lies on top of them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.check._kit.shapes import bare_on_lines, nearest_pixels
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import chunks
from apiece.ops.distances import distances
from apiece.ops.parts import parts_of

MOST = 32  # largest parts of a mask that are examined
_PIECES = 256  # parts whose links are looked for in one go, with all lines between them
LINES = (12, 24)  # places in a part, and in the larger ones, between which lines are drawn
CLOSED = 0.1  # share of these lines without open ground from which the parts belong together under what covers them
NEAR = 5.0  # largest gap in pixels between two parts of a torn mask
# least length of the open slit between torn parts, in pixels and in diameters of the smaller part: parts that another
# object separates come as near as that at a corner only
SLIT = (7.0, 0.5)


@dataclass(frozen=True, eq=False)
class Links:
    """In masks of several parts: each part but its mask's largest, and the larger part nearest to it.

    Attributes
    ----------
    pieces : every part as a mask of its own.
    owner : position in the image's instances of the mask that each piece belongs to.
    part : the parts, as positions in ``pieces``; mask after mask, the larger parts of each first.
    other : the larger part nearest to each.
    gap : distance in pixels of the two parts' nearest pixels.
    hidden : whether they may be one object that continues under others.
    joined : whether they may be one object at all: under others, or beyond the image's border.
    """

    pieces: Masks
    owner: Int
    part: Int
    other: Int
    gap: Float
    hidden: Bool
    joined: Bool


def diameter(area: Int | int) -> Float:
    """Return the diameter of the disc of the same area."""
    return np.sqrt(np.asarray(area) * (4 / np.pi))


def linked(instances: Instances, dust: int) -> Links | None:
    """Return the links of all masks with several parts of more than ``dust`` pixels; None if there are none."""
    some = np.flatnonzero((instances.masks.parts > 1) & ~instances.crowd)
    if not len(some):
        return None
    pieces, within = parts_of(instances.masks[some])
    owner = some[within]
    real = np.flatnonzero(pieces.area > dust)
    number = np.bincount(owner[real], minlength=len(instances))
    real = real[number[owner[real]] > 1]
    if not len(real):
        return None
    cover = instances.masks.union()
    part, other, gap, hidden = _nearest(pieces, owner, real, cover)
    height, width = pieces.size
    box = pieces.boxes
    edge = (box[:, :2] == 0).any(1) | (box[:, 2] == width) | (box[:, 3] == height)
    outside = edge[part] & edge[other] & (gap <= diameter(pieces.area[other]))
    # an open slit between two parts shows that somebody erased something, whatever else lies there
    torn = np.zeros(len(part), bool)
    for k in np.flatnonzero((hidden | outside) & (gap <= NEAR)).tolist():
        long = max(SLIT[0], SLIT[1] * float(diameter(pieces.area[part[k]])))
        torn[k] = _slit(pieces[[part[k]]], pieces[[other[k]]], float(gap[k]), cover) >= long
    return Links(pieces, owner, part, other, gap, hidden & ~torn, (hidden | outside) & ~torn)


def _nearest(pieces: Masks, owner: Int, real: Int, cover: Masks) -> tuple[Int, Int, Float, Bool]:
    """Return (each part, the larger one nearest to it, their distance, whether others lie between)."""
    order = real[np.lexsort((-pieces.area[real], owner[real]))]
    groups = [own[:MOST] for own in np.split(order, np.flatnonzero(np.diff(owner[order])) + 1)]
    # from left to right, so that those of one go need few columns of the cover
    groups = [groups[k] for k in np.argsort(pieces.boxes[[own[0] for own in groups], 0], kind="stable")]
    found = [_nearest_of(pieces, groups[lo:hi], cover) for lo, hi in chunks(np.array([*map(len, groups)]), _PIECES)]
    part, other, gap, hidden = map(np.concatenate, zip(*found, strict=True))
    back = np.argsort(owner[part], kind="stable")
    return part[back], other[back], gap[back], hidden[back]


def _nearest_of(every: Masks, groups: Sequence[Int], cover: Masks) -> tuple[Int, Int, Float, Bool]:
    """Return the same of the parts of some masks, each group in order of size."""
    members, part, other, lines = np.concatenate(groups), [], [], []
    pieces = every[members]
    for chosen in np.split(np.arange(len(members)), np.cumsum([*map(len, groups)])[:-1]):
        runs = [np.arange(pieces.offsets[p], pieces.offsets[p + 1]) for p in chosen]
        for k in range(1, len(chosen)):
            larger = np.concatenate(runs[:k])
            begin, end, run = nearest_pixels(pieces, runs[k], larger)
            least = int(((end - begin) ** 2).sum(1).argmin())
            part.append(chosen[k])
            other.append(int(np.searchsorted(pieces.offsets, run[least], "right")) - 1)
            nearest = np.concatenate([begin[least], end[least]])[None]
            lines.append(np.concatenate([nearest, _across(pieces, runs[k], larger)]))
    flat = np.concatenate(lines)
    near = cover.runs.between(int(flat[:, ::2].min()), int(flat[:, ::2].max()) + 1)
    between, bare = bare_on_lines(Masks.of_runs(cover.size, near), flat[:, :2], flat[:, 2:])
    first = np.cumsum([0, *(len(some) for some in lines[:-1])])
    gap = np.hypot(*(flat[first, 2:] - flat[first, :2]).T)
    # labels often leave a pixel free on either side of what lies on top of an object
    over = (bare[first] <= 2) & (between[first] - bare[first] > bare[first])
    closed = np.add.reduceat((bare == 0).astype(np.float64), first)
    hidden = (bare[first] == 0) | over | (closed >= CLOSED * np.array([len(some) for some in lines]))
    return members[part], members[other], gap, hidden


def _across(pieces: Masks, small: Int, large: Int) -> Int:
    """Return lines from places all over one part to places all over others: pixels x, y at both ends."""
    few, many = (runs[np.linspace(0, len(runs) - 1, min(len(runs), n)).astype(np.int64)] for runs, n in (
        (small, LINES[0]), (large, LINES[1])
    ))  # fmt: skip
    ends = [np.stack([pieces.x[r], (pieces.y0[r] + pieces.y1[r]) // 2], 1) for r in (few, many)]
    return np.concatenate([np.repeat(ends[0], len(many), 0), np.tile(ends[1], (len(few), 1))], 1).astype(np.int64)


def _slit(one: Masks, two: Masks, gap: float, cover: Masks) -> float:
    """Return the length in pixels of the open ground along which two parts lie as near as their least ``gap``."""
    boxes, reach, (height, width) = np.stack([one.boxes[0], two.boxes[0]]).astype(np.int64), int(NEAR) + 2, cover.size
    begin = np.maximum(boxes[:, :2].max(0) - reach, 0).tolist()
    end = np.minimum(boxes[:, 2:].min(0) + reach, (width, height)).tolist()
    ground = [(~mask.crop(*begin, *end).to_dense()[0]).astype(np.uint8) for mask in (one, two, cover)]
    away = sum(distances(g) for g in ground[:2])
    strip = (ground[2] > 0) & (away <= gap + 1.5)
    return float(np.count_nonzero(strip)) / max(gap - 1, 1.0)
