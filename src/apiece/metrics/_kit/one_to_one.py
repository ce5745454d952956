"""The one-to-one choice of edges of the greatest total weight."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components, min_weight_full_bipartite_matching

from apiece._arrays import Bool, Float, Int

_SLICE = 2048
"""Rows assigned in one call: the solver clears an array of all columns for each row it has to look at twice."""


def heaviest(row: Int, column: Int, weight: Float) -> Bool:
    """Return which edges have the greatest total weight, no two of them with a common end: bool (E,).

    An edge worth more than the best other edges of its two ends together is in the best choice whatever the rest does;
    these are taken first, again and again. What little is left goes to the sparse solver of Jonker and Volgenant
    (1987), in slices of whole connected parts.

    Parameters
    ----------
    row, column : int64 (E,), the two ends of each edge; every edge once.
    weight : float64 (E,), above 0.

    >>> heaviest(np.array([0, 0, 1, 5]), np.array([0, 1, 0, 9]), np.array([0.9, 0.6, 0.5, 0.1])).tolist()
    [False, True, True, True]
    """
    chosen, left = np.zeros(len(row), bool), np.arange(len(row))
    gone_r, gone_c = (np.zeros(ends.max(initial=-1) + 1, bool) for ends in (row, column))
    while len(left):
        r, c, value = row[left], column[left], weight[left]
        sure = value > _best_other(r, value) + _best_other(c, value)
        if not sure.any():
            for edges in _slices(r, c):
                chosen[left[edges]] = _solved(r[edges], c[edges], value[edges])
            break
        chosen[left[sure]] = gone_r[r[sure]] = gone_c[c[sure]] = True
        left = left[~(gone_r[r] | gone_c[c])]
    return chosen


def _best_other(node: Int, value: Float) -> Float:
    """For each edge the highest value among the other edges of its node; 0 where there is none."""
    order = np.lexsort((-value, node))
    ordered = node[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    best, second = np.zeros((2, node.max() + 1))
    best[ordered[first]] = value[order[first]]
    # the edge after a node's best one, if it is still of that node
    after = np.flatnonzero(first[:-1] & ~first[1:]) + 1
    second[ordered[after]] = value[order[after]]
    out = best[node]
    out[order[first]] = second[ordered[first]]
    return out


def _numbered(row: Int, column: Int) -> tuple[Int, Int]:
    return np.unique(row, return_inverse=True)[1], np.unique(column, return_inverse=True)[1]


def _slices(row: Int, column: Int) -> list[Int]:
    """Edges in slices of whole connected parts, of some `_SLICE` rows each."""
    row, column = _numbered(row, column)
    rows = int(row.max()) + 1
    nodes = rows + int(column.max()) + 1
    graph = sp.coo_array((np.ones(len(row), np.int8), (row, rows + column)), shape=(nodes, nodes))
    part = connected_components(graph.tocsr(), directed=False)[1].astype(np.int64)
    before = np.cumsum(np.bincount(part[:rows])) // _SLICE
    piece = before[part[row]]
    order = np.argsort(piece, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(piece[order])) + 1)


def _solved(row: Int, column: Int, weight: Float) -> Bool:
    """`heaviest` of a few edges, by an assignment problem in which every row may stay alone."""
    row, column = _numbered(row, column)
    rows, columns = int(row.max()) + 1, int(column.max()) + 1
    alone = np.arange(rows)
    places = np.append(row, alone), np.append(column, columns + alone)
    graph = sp.coo_array((np.append(1 + weight, np.ones(rows)), places), shape=(rows, columns + rows)).tocsr()
    return min_weight_full_bipartite_matching(graph, maximize=True)[1][row] == column
