"""Masks of several parts: each part as a mask of its own, or the largest alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Int
from apiece.core.masks import Masks
from apiece.core.topology import run_parts
from apiece.errors import InvalidInstancesError

__all__ = ["largest_part", "parts_of"]


def parts_of(masks: Masks, corners: bool = True) -> tuple[Masks, Int]:
    """Return every part as a mask of its own, and the mask it belongs to, ascending.

    Parameters
    ----------
    corners : whether pixels that touch at a corner hang together (8-connected): then a line one pixel wide that runs
        diagonally is no heap of crumbs. False: 4-connected, as `Masks.parts` counts.
    """
    owner = masks.runs.owners
    _, part = run_parts(masks.runs, masks.size, corners)
    order = np.lexsort((part, owner))  # a part's runs stay in their order
    first = np.flatnonzero(np.diff(part[order], prepend=-1))
    offsets = np.append(first, len(owner)).astype(np.int64)
    return Masks(masks.size, masks.x[order], masks.y0[order], masks.y1[order], offsets), owner[order][first]


def largest_part(masks: Masks, which: npt.ArrayLike | None = None) -> Masks:
    """Return the masks; a mask of several parts (over 8 neighbours) keeps its largest, of equal parts the leftmost.

    Parameters
    ----------
    which : bool (N,), masks that are to be in one part; None: all.

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
    parts, owner = parts_of(masks[chosen])
    order = np.lexsort((-parts.area, owner))
    largest = order[np.diff(owner[order], prepend=-1) > 0]
    place = np.arange(len(masks))
    place[chosen] = len(masks) + np.arange(len(largest))
    return Masks.concatenate([masks, parts[largest]])[place]
