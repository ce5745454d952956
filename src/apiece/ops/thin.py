"""Skeletons: masks thinned to lines of one pixel, and the lines as a graph."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Bool, Float, Int

__all__ = ["Skeleton", "skeleton", "thinned"]

Drawn: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Bits: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]

_AROUND = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""(row, column) of the eight neighbours in a circle, P2 to P9 of the paper."""
_CUT = 1.1  # depths
_SMOOTHED = 8  # rounds in which a pixel of a line moves to the middle of its neighbours


def thinned(drawn: Drawn) -> Drawn:
    """Return the skeleton of what is 1 in an image with a margin of 0; 8-connected, with its parts and holes.

    Guo and Hall 1989, *Parallel thinning with two-subiteration algorithms*. 64 pixels are one number, and what holds of
    a pixel's neighbours is computed of all of them at once.
    """
    packed = np.packbits(drawn, axis=1, bitorder="little")
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    left, row = packed.reshape(-1).view("<u8").astype(np.uint64), packed.shape[1] // 8
    changed = True
    while changed:
        changed = False
        for turn in (0, 4):
            gone = _removable(left, row, turn)
            if gone.any():
                left[row:-row] &= ~gone
                changed = True
    thin = left.astype("<u8").view(np.uint8).reshape(packed.shape)
    return np.unpackbits(thin, axis=1, count=drawn.shape[1], bitorder="little")


def _removable(left: Bits, row: int, turn: int) -> Bits:
    """Return which pixels go in one half of a round, of all rows but the first and the last.

    Parameters
    ----------
    left : uint64 (rows * row,), pixel k of a row is bit k % 64 of its number k // 64.
    turn : 0 in the first half, 4 in the second: from which neighbour on the other condition counts.
    """
    before, behind = left << np.uint64(1), left >> np.uint64(1)  # the pixels before and behind each
    before[1:] |= left[:-1] >> np.uint64(63)
    behind[:-1] |= left[1:] << np.uint64(63)
    columns, last = {-1: before, 0: left, 1: behind}, len(left) - row
    p = [columns[column][row * (1 + step) : last + row * step] for step, column in _AROUND]
    fork = [~p[k] & (p[k + 1] | p[(k + 2) % 8]) for k in (0, 2, 4, 6)]
    even, odd = ([p[k + shift] | p[(k + shift + 1) % 8] for k in (0, 2, 4, 6)] for shift in (0, 1))
    a, b, c, d = fork
    once = (a ^ b ^ c ^ d) & ~((a & b) | (c & d))
    two = [(a & b) | (c & d) | ((a | b) & (c | d)) for a, b, c, d in (even, odd)]
    four = [a & b & c & d for a, b, c, d in (even, odd)]
    stay = (p[(turn + 4) % 8] | p[(turn + 5) % 8] | ~p[(turn + 7) % 8]) & p[(turn + 6) % 8]
    return left[row:last] & once & two[0] & two[1] & ~(four[0] & four[1]) & ~stay


class Skeleton(NamedTuple):
    """The lines of a skeleton without spurs.

    Attributes
    ----------
    at : int64 (P,): the flat index of each pixel.
    place : float64 (P, 2): the pixel's row and column, smoothed along the line.
    along : float64 (P, 2): direction of the line, of length 1; 0 where the pixel stands alone.
    pairs : int64 (E, 2): pixels that follow each other.
    degree : int64 (P,): how many pixels each is next to: 1 at an end, 3 and more at a fork.
    branch : int64 (P,): the branch of each pixel, numbered through the image; -1 at a fork.
    """

    at: Int
    place: Float
    along: Float
    pairs: Int
    degree: Int
    branch: Int


def skeleton(drawn: Drawn, depth: Float) -> Skeleton:
    """Return the skeleton of what is 1 in an image with a margin of 0.

    A branch with a free end that is no longer than the shape is thick where the branch begins is a spur: it follows
    from a corner or from roughness of the outline, and is left out. Other free ends are cut back by as much, since they
    may turn into a corner; the direction of a line is trustworthy there.

    Parameters
    ----------
    depth : the distance of each pixel to the background.
    """
    at = np.flatnonzero(thinned(drawn))
    for idle in (_spurs, _spurs, _ends):
        pairs, degree, branch = _graph(at, drawn.shape)
        at = at[~idle(pairs, degree, branch, depth.reshape(-1)[at])]
    pairs, degree, branch = _graph(at, drawn.shape)
    place, along = _smoothed(at, pairs, degree, drawn.shape[1])
    return Skeleton(at, place, along, pairs, degree, branch)


def _graph(at: Int, shape: tuple[int, ...]) -> tuple[Int, Int, Int]:
    """Return (pairs of neighbours, degree, branch); a diagonal step counts only where no two straight steps do it."""
    width = shape[1]
    number = np.full(shape[0] * width, -1, np.int32)
    number[at] = np.arange(len(at))
    found = []
    for step, corners in ((1, ()), (width, ()), (width + 1, (1, width)), (width - 1, (-1, width))):
        other = number[at + step]
        some = other >= 0
        for corner in corners:
            some &= number[at + corner] < 0
        found.append(np.stack((np.flatnonzero(some), other[some].astype(np.int64)), 1))
    pairs = np.concatenate(found)
    degree = np.bincount(pairs.ravel(), minlength=len(at))
    line = degree < 3
    inner = pairs[line[pairs].all(1)]
    graph = sp.csr_array((np.ones(len(inner)), (inner[:, 0], inner[:, 1])), shape=(len(at),) * 2)
    part = connected_components(graph, directed=False)[1].astype(np.int64)
    return (
        pairs,
        degree,
        np.where(line, np.unique(np.where(line, part, -1), return_inverse=True)[1] - (~line).any(), -1),
    )


def _spurs(pairs: Int, degree: Int, branch: Int, depth: Float) -> Bool:
    """Return which pixels lie on a branch with one free end that is hardly longer than the fork is deep."""
    both = np.concatenate((pairs, pairs[:, ::-1]))
    leaves = both[(branch[both[:, 0]] >= 0) & (branch[both[:, 1]] < 0)]  # from a branch to a fork
    count = int(branch.max(initial=-1)) + 1
    fork = np.zeros(count)
    np.maximum.at(fork, branch[leaves[:, 0]], depth[leaves[:, 1]])
    line = branch >= 0
    ends = np.bincount(branch[line & (degree == 1)], minlength=count)
    forks = np.bincount(branch[leaves[:, 0]], minlength=count)
    tip = np.zeros(count)
    free = line & (degree == 1)
    tip[branch[free]] = depth[free]
    length = np.bincount(branch[line], minlength=count)
    spur = np.append((ends == 1) & (forks == 1) & (length + tip <= _CUT * fork + 2), False)
    return line & spur[branch]


def _ends(pairs: Int, degree: Int, branch: Int, depth: Float) -> Bool:
    """Return which pixels are no further from a free end than they are deep; a branch keeps its deepest pixel."""
    line = branch >= 0
    inner = pairs[line[pairs].all(1)]
    both = np.concatenate((inner, inner[:, ::-1]))
    near = sp.csr_array((np.ones(len(both), np.int8), (both[:, 0], both[:, 1])), shape=(len(depth),) * 2)
    cut = np.zeros(len(depth), bool)
    reached = (degree == 1) & line
    for hops in range(1, int(depth.max(initial=0) * _CUT) + 2):
        cut |= reached & (hops < _CUT * depth + 1)
        reached |= (near @ reached) > 0
    order = np.lexsort((depth, ~cut, branch))  # the last of a branch: one that stays, or the deepest
    cut[order[np.flatnonzero(np.diff(branch[order], append=-2))]] = False
    return cut


def _smoothed(at: Int, pairs: Int, degree: Int, width: int) -> tuple[Float, Float]:
    """Return where the pixels of a line lie between their neighbours, and the direction of the line there."""
    place = np.stack(np.divmod(at, width), 1).astype(np.float64)
    both = np.concatenate((pairs, pairs[:, ::-1]))
    near = sp.csr_array((np.ones(len(both)), (both[:, 0], both[:, 1])), shape=(len(at),) * 2)
    share = np.where(degree == 2, 0.5, 0.0)[:, None]  # ends and forks stay
    for _ in range(_SMOOTHED):
        place = (1 - share) * place + share * (near @ place) / np.maximum(degree, 1)[:, None]
    return place, _direction(place, near, degree)


def _direction(place: Float, near: Any, degree: Int) -> Float:
    """Return unit vectors along the line: the axis of the second moments of the steps to the neighbours' neighbours."""
    reach = near @ near @ near
    reach = sp.coo_array(reach)
    step = place[reach.col] - place[reach.row]
    rr, cc, rc = (np.bincount(reach.row, v, len(place)) for v in (step[:, 0] ** 2, step[:, 1] ** 2, step.prod(1)))
    turn = np.arctan2(2 * rc, cc - rr) / 2
    return np.where((degree > 0)[:, None], np.stack((np.sin(turn), np.cos(turn)), 1), 0.0)
