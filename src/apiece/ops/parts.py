"""Parts and holes of masks: each as a mask of its own, the largest part alone, masks without their holes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.core.runs import Runs, chunks
from apiece.core.set_operations import replaced
from apiece.core.topology import run_parts
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
    pieces, owners = [masks[:0].runs], [np.zeros(0, np.int64)]
    for lo, hi in chunks(np.diff(masks.offsets), _RUNS):
        runs = masks[lo:hi].runs
        owner, part = runs.owners, run_parts(runs, masks.size, corners)[1]
        order = np.lexsort((part, owner))  # a part's runs stay in their order
        first = np.flatnonzero(np.diff(part[order], prepend=-1))
        offsets = np.append(first, len(owner)).astype(np.int64)
        pieces.append(Runs(runs.x[order], runs.y0[order], runs.y1[order], offsets))
        owners.append(lo + owner[order][first])
    return Masks.of_runs(masks.size, Runs.concatenate(pieces)), np.concatenate(owners)


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
    found = [(masks[:0], np.zeros(0, np.int64))]
    for lo, hi in chunks(np.diff(masks.offsets), _RUNS):
        some = _enclosed(masks if hi - lo == len(masks) else masks[lo:hi])
        if len(some.x):
            pieces, owner = parts_of(some)
            found.append((pieces, lo + owner))
    return Masks.concatenate([one for one, _ in found]), np.concatenate([owner for _, owner in found])


def _enclosed(masks: Masks) -> Masks:
    """Return the holes of each mask, together: what lies between two runs of a column and does not reach the outside.

    A stretch between two runs reaches the outside where it goes beyond the first or the last run of a column beside
    it, and where what hangs together with it does.
    """
    x, y0, y1, offsets = masks.runs
    first = np.ones(len(x), bool)  # of its column
    np.not_equal(x[1:], x[:-1], out=first[1:])
    first[offsets[:-1][np.diff(offsets) > 0]] = True
    heads = np.flatnonzero(first)
    top, bottom = y0[heads], y1[np.append(heads[1:], len(x))[: len(heads)] - 1]
    owner = np.searchsorted(offsets, heads, "right") - 1
    gap = np.flatnonzero(~first)
    if not len(gap):
        return Masks.empty(masks.size, len(masks))
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
    _, part = run_parts(gaps, masks.size, corners=True)
    reaches = np.zeros(len(gaps.x), bool)  # of each part; there are no more than runs
    reaches[part[is_open]] = True
    return Masks.of_runs(masks.size, gaps.kept(~reaches[part]))


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
    holes, owner = holes_of(masks)
    if not len(holes):
        return masks
    some, place = np.unique(owner, return_inverse=True)
    whole = Masks.concatenate([masks[some], holes]).merge(np.append(np.arange(len(some)), place), len(some))
    return replaced(masks, some, whole)


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
