"""Few disjoint layers that hold overlapping masks: colouring of the graph of overlaps."""

from __future__ import annotations

import heapq

import numpy as np

from apiece._arrays import Int
from apiece._scipy import sp


def colour(overlaps: sp.csr_array) -> Int:
    """A layer for each mask so that no two overlapping masks share one.

    DSATUR (Brélaz 1979): the mask whose neighbours already fill most layers goes next, into the lowest free one.
    Exact for graphs of two layers, near the fewest in general; finding the fewest is NP-hard.

    Parameters
    ----------
    overlaps : symmetric, of shape (N, N); the diagonal is ignored.
    """
    count = overlaps.shape[0]
    layer = np.zeros(count, np.int64)
    pairs = overlaps.tocoo()
    off = pairs.row != pairs.col
    graph = sp.csr_array((np.ones(int(off.sum()), np.int8), (pairs.row[off], pairs.col[off])), shape=overlaps.shape)
    starts, neighbours = graph.indptr, graph.indices
    degree = np.diff(starts)
    # only masks that overlap something need a decision
    waiting = [(0, -int(degree[i]), int(i)) for i in np.flatnonzero(degree)]
    heapq.heapify(waiting)
    taken: dict[int, set[int]] = {i: set() for _, _, i in waiting}
    while waiting:
        saturation, _, i = heapq.heappop(waiting)
        if i not in taken or -saturation != len(taken[i]):
            continue  # decided already, or outdated
        used = taken.pop(i)
        free = next(k for k in range(len(used) + 1) if k not in used)
        layer[i] = free
        for j in neighbours[starts[i] : starts[i + 1]].tolist():
            if j in taken and free not in taken[j]:
                taken[j].add(free)
                heapq.heappush(waiting, (-len(taken[j]), -int(degree[j]), j))
    return layer
