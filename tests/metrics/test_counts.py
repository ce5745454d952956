"""Counts, merges and splits against loops over dense masks, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate
from apiece.testing import _pairs as scenes


def literal(truth: Instances, found: Instances, k: int, conf: float) -> tuple[int, int, int, int]:
    """Truths, predictions, merges, splits of one class."""
    real = list(truth[(truth.labels == k) & ~truth.crowd].masks.to_dense())
    crowd = list(truth[(truth.labels == k) & truth.crowd].masks.to_dense())
    mine = list(found[(found.labels == k) & (found.scores >= conf)].masks.to_dense())
    holds = [[2 * (p & t).sum() > t.sum() for t in real] for p in mine]
    within = [[2 * (p & t).sum() > p.sum() for t in real] for p in mine]
    merges = splits = 0
    for i in range(len(mine)):
        parts = sum(holds[i][j] and not within[i][j] for j in range(len(real)))
        merges += max(parts + any(holds[i][j] and within[i][j] for j in range(len(real))) - 1, 0)
    for j in range(len(real)):
        parts = sum(within[i][j] and not holds[i][j] for i in range(len(mine)))
        splits += max(parts + any(holds[i][j] and within[i][j] for i in range(len(mine))) - 1, 0)
    counted = sum(not 2 * sum((p & c).sum() for c in crowd) > p.sum() for p in mine)
    return len(real), counted, merges, splits


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_equal_to_loops(seed: int, conf: float) -> None:
    pairs = scenes.pairs(seed)
    result = evaluate(pairs, metrics=["counts"], conf=conf)
    found = np.array([[literal(truth, p, k, conf) for k in range(2)] for truth, p in pairs])
    for name, rows in (("a", found[:, 0]), ("b", found[:, 1]), (None, found.sum(1))):
        values = result.numbers if name is None else result.per_class[name]
        off, truths = rows[:, 1] - rows[:, 0], rows[:, 0].sum()
        assert values == pytest.approx(
            {
                "count_truth": truths,
                "count_predicted": rows[:, 1].sum(),
                "count_mae": np.abs(off).mean(),
                "count_rmse": np.sqrt((off**2).mean()),
                "count_bias": off.mean(),
                "count_error_rate": np.abs(off).sum() / truths if truths else np.nan,
                "merges": rows[:, 2].sum(),
                "splits": rows[:, 3].sum(),
                "merge_rate": rows[:, 2].sum() / truths if truths else np.nan,
                "split_rate": rows[:, 3].sum() / truths if truths else np.nan,
            },
            nan_ok=True,
        )


def merges_and_splits(truth: list[list[int]], found: list[list[int]]) -> tuple[float, float]:
    sides = (Instances(Masks.from_boxes(boxes, (4, 40))) for boxes in (truth, found))
    result = evaluate([tuple(sides)], metrics=["counts"])
    return result["merges"], result["splits"]


def test_by_hand() -> None:
    row = [[0, 0, 10, 4], [10, 0, 20, 4], [20, 0, 30, 4]]
    assert merges_and_splits(row, row) == (0, 0)
    assert merges_and_splits(row, [[0, 0, 30, 4]]) == (2, 0)
    assert merges_and_splits([[0, 0, 30, 4]], row) == (0, 2)
    # half of it is not more than half
    assert merges_and_splits(row, [[0, 0, 15, 4]]) == (0, 0)
    # a neighbour swallowed beside the object itself; an object with a fragment
    assert merges_and_splits([[0, 0, 10, 4], [10, 0, 14, 4]], [[0, 0, 14, 4]]) == (1, 0)
    assert merges_and_splits([[0, 0, 14, 4]], [[0, 0, 10, 4], [10, 0, 14, 4]]) == (0, 1)
    # duplicates are neither, nor are strays and what is missed
    assert merges_and_splits(row, [*row, *row, [35, 0, 40, 4]]) == (0, 0)
    assert merges_and_splits(row, []) == (0, 0)
