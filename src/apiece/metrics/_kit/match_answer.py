"""What the metrics of a final answer share: which predictions count, their overlaps, and the best one-to-one matching.

Crowds are not truth; a prediction that matches nothing is no mistake if more than half of it lies in crowds of its
class (the rule of COCO panoptic).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from apiece._arrays import Bool, Float, Int
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.overlaps import Pairs


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer on one batch against what is no crowd, within classes.

    Attributes
    ----------
    pairs : overlaps of counted predictions with truth that is no crowd, of one image and class.
    shared : int64 (P,), pixels of each pair.
    counted : bool (predictions,), score at or above the threshold of its class, or no score.
    spared : bool (predictions,), more than half in crowds of its class.
    """

    pairs: Pairs
    shared: Int
    counted: Bool
    spared: Bool

    @classmethod
    def of(cls, batch: Batch, conf: Float) -> Answer:
        """``conf`` is the lowest score that counts, float64 (classes,)."""
        truth, predicted = batch.truth, batch.predicted
        # not >=: a missing score is NaN and counts
        counted = ~(predicted.score < conf[predicted.label])
        pairs = batch.mask_pairs
        in_crowd = truth.crowd[pairs.truth]
        inside = np.bincount(pairs.predicted[in_crowd], pairs.iou[in_crowd], len(predicted))
        pairs = pairs.where(counted[pairs.predicted] & ~in_crowd)
        return cls(pairs, batch.shared(pairs), counted, inside > 0.5)


def assign(pairs: Pairs, predictions: int, truths: int) -> Int:
    """One-to-one matches of the largest total IoU; indices into ``pairs``, ascending.

    A pair worth more than the best other pairs of its two ends together is in the best matching whatever the rest does;
    these are taken first, again and again, and what little is left is solved as an assignment problem.

    >>> pairs = Pairs(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.6, 0.4, 0.5]))
    >>> assign(pairs, 2, 2).tolist()
    [1, 2]
    """
    chosen = []
    left = np.arange(len(pairs))
    while len(left):
        p, t, value = pairs.predicted[left], pairs.truth[left], pairs.iou[left]
        sure = value > _best_other(p, value, predictions) + _best_other(t, value, truths)
        if not sure.any():
            chosen.append(left[_solve(p, t, value)])
            break
        chosen.append(left[sure])
        gone_p, gone_t = np.zeros(predictions, bool), np.zeros(truths, bool)
        gone_p[p[sure]] = gone_t[t[sure]] = True
        left = left[~(gone_p[p] | gone_t[t])]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))


def _best_other(node: Int, value: Float, nodes: int) -> Float:
    """For each edge the highest value among the other edges of its node; 0 where there is none."""
    order = np.lexsort((-value, node))
    ordered = node[order]
    first = np.append(True, ordered[1:] != ordered[:-1])
    second = np.zeros(nodes)
    heads = np.flatnonzero(first)
    # the edge after a node's best one, if it is still of that node
    after = heads[(heads + 1 < len(order)) & ~np.append(first[1:], True)[heads]] + 1
    second[ordered[after]] = value[order[after]]
    best = np.zeros(nodes)
    best[ordered[heads]] = value[order[heads]]
    out = best[node]
    out[order[heads]] = second[ordered[heads]]
    return out


def _solve(p: Int, t: Int, value: Float) -> Int:
    """The same by an assignment problem in which every prediction may stay alone; indices of the chosen edges."""
    rows, row = np.unique(p, return_inverse=True)
    columns, column = np.unique(t, return_inverse=True)
    alone = np.arange(len(rows))
    weights = np.concatenate([1 + value, np.ones(len(rows))])
    places = np.concatenate([row, alone]), np.concatenate([column, len(columns) + alone])
    graph = sp.coo_array((weights, places), shape=(len(rows), len(columns) + len(rows))).tocsr()
    mine, matched = min_weight_full_bipartite_matching(graph, maximize=True)
    real = matched < len(columns)
    key = row * len(columns) + column
    order = np.argsort(key)
    found: Int = order[np.searchsorted(key, mine[real] * len(columns) + matched[real], sorter=order)]
    return found
