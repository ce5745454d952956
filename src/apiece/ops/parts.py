"""Parts and holes of masks: each as a mask of its own, the largest part alone, masks without their holes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs, stripes
from apiece.core.set_operations import replaced
from apiece.core.topology import components, run_parts
from apiece.errors import InvalidInstancesError

__all__ = ["filled", "holes_of", "largest_part", "parts_of"]

_RUNS = 1 << 18  # of masks that are taken apart at once


def parts_of(masks: Masks, corners: bool = True) -> tuple[Masks, Int]:
    """Return every part as a mask of its own, and the mask it belongs to, ascending.

    Parameters
    ----------
    corners : whether pixels that touch at a corner hang together (8-connected): then a line one pixel wide that runs
        diagonally is no heap of crumbs. False: 4-connected, as `Masks.parts` counts.
    """
    owners = [np.zeros(0, np.int64)]

    def pieces() -> Iterator[Runs]:
        for lo, _, runs in masks.runs.parts(_RUNS):
            owner, part = runs.owners, run_parts(runs, masks.size, corners)[1]
            order = np.lexsort((part, owner))  # a part's runs stay in their order
            first = np.flatnonzero(np.diff(part[order], prepend=-1))
            offsets = np.append(first, len(owner)).astype(np.int64)
            owners.append(lo + owner[order][first])
            yield Runs(runs.x[order], runs.y0[order], runs.y1[order], offsets)

    parts = Masks.of_runs(masks.size, masks.runs.like(pieces()))
    return parts, np.concatenate(owners)


def holes_of(masks: Masks) -> tuple[Masks, Int]:
    """Return every hole as a mask of its own, and the mask it belongs to, ascending.

    A hole is background that does not reach the outside, not even over a corner (8-connected), as `Masks.holes` counts.

    Examples
    --------
    >>> from apiece.ops.parts import holes_of
    >>> ring = np.ones((3, 4), int)
    >>> ring[1, 1:3] = 0
    >>> holes, owner = holes_of(apiece.Masks.from_label_map(ring))
    >>> holes.boxes.tolist(), owner
    ([[1.0, 1.0, 3.0, 2.0]], array([0]))
    """
    owners = [np.zeros(0, np.int64)]

    def holes() -> Iterator[Runs]:
        for lo, _, runs in masks.runs.parts(_RUNS):
            some = Masks.of_runs(masks.size, _enclosed(runs, masks.size))
            if len(some.x):
                pieces, owner = parts_of(some)
                owners.append(lo + owner)
                yield pieces.runs

    found = Masks.of_runs(masks.size, masks.runs.like(holes()))
    return found, np.concatenate(owners)


def _enclosed(runs: Runs, size: tuple[int, int]) -> Runs:
    """Return the holes of each mask, together: its gaps that do not hang together with an open one."""
    gaps, is_open = _gaps(runs)
    part = run_parts(gaps, size, corners=True)[1]
    reaches = np.zeros(len(gaps.x), bool)  # of each part; there are no more than runs
    reaches[part[is_open]] = True
    return gaps.kept(~reaches[part])


def _gaps(runs: Runs) -> tuple[Runs, Bool]:
    """Return the stretches between two runs of a column of each mask, and which of them reach the outside.

    A stretch does where it goes beyond the first or the last run of a column beside it.
    """
    x, y0, y1, offsets = runs
    first = np.ones(len(x), bool)  # of its column
    np.not_equal(x[1:], x[:-1], out=first[1:])
    first[offsets[:-1][np.diff(offsets) > 0]] = True
    heads = np.flatnonzero(first)
    top, bottom = y0[heads], y1[np.append(heads[1:], len(x))[: len(heads)] - 1]
    owner = np.searchsorted(offsets, heads, "right") - 1
    gap = np.flatnonzero(~first)
    begin, which = np.searchsorted(gap, offsets), np.searchsorted(gap, heads)
    del gap
    gaps = Runs(x[~first], y1[:-1][~first[1:]], y0[~first], begin)
    del first
    is_open = np.zeros(len(gaps.x), bool)
    for lo in range(0, len(is_open), _RUNS):
        some = slice(lo, lo + _RUNS)
        column = np.searchsorted(which, np.arange(len(is_open))[some], "right") - 1
        for step in (-1, 1):
            beside = np.clip(column + step, 0, len(heads) - 1)
            is_open[some] |= (owner[beside] != owner[column]) | (x[heads[beside]] != gaps.x[some] + step)
            is_open[some] |= (gaps.y0[some] - 1 < top[beside]) | (gaps.y1[some] + 1 > bottom[beside])
    return gaps, is_open


def filled(masks: Masks) -> Masks:
    """Return the masks with their holes filled.

    Examples
    --------
    >>> from apiece.ops.parts import filled
    >>> ring = np.ones((3, 3), int)
    >>> ring[1, 1] = 0
    >>> filled(apiece.Masks.from_label_map(ring)).area
    array([9])
    """
    if len(masks) == 1 and len(masks.x) > _RUNS:
        return _filled_by_columns(masks)
    return masks.mapped(_filled, _RUNS)


def _filled(masks: Masks) -> Masks:
    """Return what `filled` does, of masks in memory."""
    holes = _enclosed(masks.runs, masks.size)
    some = np.flatnonzero(np.diff(holes.offsets))
    if not len(some):
        return masks
    both = Masks.concatenate([masks[some], Masks.of_runs(masks.size, holes.take(some))])
    return replaced(masks, some, both.merge(np.tile(np.arange(len(some)), 2), len(some)))


def _filled_by_columns(mask: Masks) -> Masks:
    """Return what `filled` does, of one mask of many runs, as the union of all objects of an image has.

    Gaps are joined to parts in stripes of columns, which share a column with the next. Then it is known which parts
    reach the outside, and the stripes are filled.
    """
    runs, size = mask.runs, mask.size
    cuts = list(stripes((runs,), _RUNS, common=False))

    def look(left: int, right: int) -> tuple[Runs, Bool, Int]:
        gaps, is_open = _gaps(runs.between(left - 1, right + 2))
        own = (gaps.x >= left) & (gaps.x <= right)
        gaps = gaps.kept(own)
        return gaps, is_open[own], run_parts(gaps, size, corners=True)[1]

    reaches, seams, first, last = [np.zeros(0, bool)], [np.zeros((2, 0), np.int64)], [0], np.zeros(0, np.int64)
    for left, right in cuts:
        gaps, is_open, part = look(left, right)
        if left > cuts[0][0]:
            seams.append(np.stack([last, first[-1] + part[gaps.x == left]]))
        last = first[-1] + part[gaps.x == right]
        reaches.append(np.bincount(part, is_open) > 0)
        first.append(first[-1] + len(reaches[-1]))
    one, other = np.concatenate(seams, 1)
    number, whole = components(one, other, first[-1])
    is_outside = np.zeros(number, bool)
    is_outside[whole[np.concatenate(reaches)]] = True

    def fill() -> Iterator[Runs]:
        for before, (left, right) in zip(first, cuts, strict=False):
            gaps, _, part = look(left, right)
            holes = gaps.kept(~is_outside[whole[before + part]] & (gaps.x < right))
            both = Runs.concatenate([runs.between(left, right), holes])
            yield both.merge(np.zeros(2, np.int64), 1, size)

    return Masks.of_runs(size, runs.like(fill()).as_one())


def largest_part(masks: Masks, which: npt.ArrayLike | None = None, *, corners: bool = True) -> Masks:
    """Return the masks; a mask of several parts keeps its largest part, of equal ones the leftmost.

    Parameters
    ----------
    which : bool (N,), masks that are to be in one part; None: all.
    corners : as for `parts_of` (default True: 8-connected).

    Raises
    ------
    InvalidInstancesError
        If ``which`` has not one value per mask.
    """
    chosen = np.ones(len(masks), bool) if which is None else np.asarray(which, bool)
    if chosen.shape != (len(masks),):
        raise InvalidInstancesError(f"which must have shape ({len(masks)},), one per mask; got {chosen.shape}")
    chosen = chosen & (masks.parts > 1)
    if not chosen.any():
        return masks
    parts, owner = parts_of(masks[chosen], corners)
    order = np.lexsort((-parts.area, owner))
    largest = order[np.diff(owner[order], prepend=-1) > 0]
    return replaced(masks, np.flatnonzero(chosen), parts[largest])
