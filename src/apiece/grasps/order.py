"""Which objects lie on which, and in which order they can be taken away."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from apiece._arrays import Float, Int
from apiece.core.runs import chunks, expand
from apiece.core.topology import trace
from apiece.grasps.surface import Surface
from apiece.ops import occluders

__all__ = ["covers", "free_share", "layers"]

_ACROSS = 2.5  # pixels to both sides of an outline at which depths are compared
_HIGHER = 0.005  # share of the distance to the camera by which a neighbour has to stand out
_LEAST = 0.02  # share of an outline, or of a full mask, from which an object counts as covered
_PIECE = 1 << 20


def covers(surface: Surface) -> sp.csr_array:
    """Return which share of each object each other one covers: float64 (N, N), entry (i, j): i lies on j.

    Full masks tell it where the objects have them: the share of j's full mask that i hides. Else depth tells it: the
    share of j's outline beyond which i is seen, and nearer to the camera. Without both nothing covers anything.
    """
    found, count = surface.instances, surface.count
    if found.full is not None:
        share = occluders(found).astype(np.float64) @ sp.diags_array(1 / np.maximum(found.full.area, 1))
    elif surface.depth is not None and count:
        beyond, owner = _beyond(surface)
        length = np.bincount(owner, minlength=count)
        at = beyond >= 0
        ones = np.ones(int(at.sum()))
        seen = sp.coo_array((ones, (beyond[at], owner[at])), shape=(count, count)).tocsr()
        share = seen @ sp.diags_array(1 / np.maximum(length, 1))
    else:
        return sp.csr_array((count, count))
    share = sp.csr_array(share)
    share.data[share.data < _LEAST] = 0
    share.eliminate_zeros()
    return share


def _border(surface: Surface) -> tuple[Int, Float, Float]:
    """Return object, place and outward direction of every pixel side along the outlines."""
    masks = surface.instances.masks
    rings = trace(masks.runs, masks.size)
    following = np.arange(1, len(rings.points) + 1)
    following[rings.offsets[1:] - 1] = rings.offsets[:-1]
    step = (rings.points[following] - rings.points).astype(np.int64)
    sides = np.abs(step).sum(1)
    which = np.repeat(np.arange(len(step)), sides)
    along = expand(np.zeros(len(step), np.int64), sides)
    way = np.sign(step)[which]
    places = rings.points[which] + way * (along[:, None] + 0.5)
    owner = np.repeat(rings.owner, np.diff(rings.offsets))[which]
    right = np.stack((-way[:, 1], way[:, 0]), 1).astype(np.float64)
    outside = surface.owner_at(places + 0.5 * right) == owner
    return owner, places, np.where(outside[:, None], -right, right)


def _beyond(surface: Surface) -> tuple[Int, Int]:
    """Return the object that stands higher beyond each pixel side of the outlines, or -1; and whose outline it is."""
    owner, places, out = _border(surface)
    beyond = np.full(len(owner), -1, np.int64)
    for lo, hi in chunks(np.ones(len(owner), np.int64), _PIECE):
        part = slice(lo, hi)
        there, here = places[part] + _ACROSS * out[part], places[part] - _ACROSS * out[part]
        other = surface.owner_at(there)
        higher = surface.at(there) < surface.at(here) * (1 - _HIGHER)
        beyond[part] = np.where(higher & (other >= 0) & (other != owner[part]), other, -1)
    return beyond, owner


def free_share(surface: Surface, room: Float) -> Float:
    """Return the share of each outline beyond which, ``room`` pixels away, no other object is seen: (N,)."""
    owner, places, out = _border(surface)
    other = surface.owner_at(places + room[owner, None] * out)
    free = ~((other >= 0) & (other != owner))
    length = np.bincount(owner, minlength=surface.count)
    return np.bincount(owner, free, surface.count) / np.maximum(length, 1)


def layers(share: sp.csr_array) -> Int:
    """Return the layer of each object, from 0: those on which nothing lies, then those below these ...

    Objects that lie on each other in a circle: the one of which least is covered comes first.

    >>> layers(sp.csr_array(np.array([[0, 0.3], [0, 0]]))).tolist()
    [0, 1]
    """
    count = share.shape[0]
    layer, left = np.full(count, -1, np.int64), np.asarray(share.sum(0)).ravel()
    number = 0
    while (waiting := layer < 0).any():
        open_ones = np.flatnonzero(waiting & (left <= 1e-12))
        if not len(open_ones):
            open_ones = np.array([np.where(waiting, left, np.inf).argmin()])
        layer[open_ones] = number
        left = left - np.asarray(share[open_ones].sum(0)).ravel()
        number += 1
    return layer
