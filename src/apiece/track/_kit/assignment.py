"""Sparse one-to-one assignment: the cheapest matching among pairs that may match, thousands of objects at once."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Float, Int


def assigned(row: Int, column: Int, cost: Float, shape: tuple[int, int], unmatched: float = 1.0) -> tuple[Int, Int]:
    """Return (rows, columns) of the matching with the least cost; a row left without a column costs ``unmatched``.

    Pairs that share neither row nor column with another pair are matched at once. The others fall apart into small
    groups that are solved exactly.

    Parameters
    ----------
    row, column : (K,) the pairs that may match, each once.
    cost : (K,) of each pair, from 0; pairs that cost ``unmatched`` or more are not taken.
    shape : numbers of rows and columns.

    Examples
    --------
    >>> assigned(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.1, 0.3, 0.2]), (2, 2))
    (array([0, 1]), array([1, 0]))
    """
    good = cost < unmatched
    row, column, cost = row[good], column[good], cost[good]
    rows, columns = shape
    alone = (np.bincount(row, minlength=rows)[row] == 1) & (np.bincount(column, minlength=columns)[column] == 1)
    found = [(row[alone], column[alone])]
    row, column, cost = row[~alone], column[~alone], cost[~alone]
    if len(row):
        graph = coo_array((np.ones(len(row)), (row, column + rows)), shape=(rows + columns, rows + columns))
        group = connected_components(graph, directed=False)[1][row]
        order = np.argsort(group, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
            found.append(_solved(row[part], column[part], cost[part], unmatched))
    first, second = (np.concatenate([pair[k] for pair in found]) for k in range(2))
    order = np.argsort(first)
    return first[order], second[order]


def _solved(row: Int, column: Int, cost: Float, unmatched: float) -> tuple[Int, Int]:
    rows, i = np.unique(row, return_inverse=True)
    columns, j = np.unique(column, return_inverse=True)
    table = np.full((len(rows), len(columns)), unmatched)
    table[i, j] = cost
    first, second = linear_sum_assignment(table)
    some = table[first, second] < unmatched
    return rows[first[some]], columns[second[some]]
