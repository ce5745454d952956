"""Clustering of votes against a dense table, and by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.models._kit import clustering
from apiece.models._kit.clustering import SeedIndex, Seeds, distinct, local_maxima, suppress

RNG = np.random.default_rng(0)


def _scene(
    rng: np.random.Generator, seeds: int, votes: int, spread: float = 60.0
) -> tuple[Seeds, np.ndarray, np.ndarray, np.ndarray]:
    def f(*shape: int, low: float = 0.0, high: float = spread) -> np.ndarray:
        return rng.uniform(low, high, shape).astype(np.float32)

    made = Seeds(f(seeds), f(seeds), f(seeds, low=0.5, high=9), f(seeds, low=0.5, high=9), f(seeds, low=-1, high=6))
    return made, f(votes, low=-20, high=spread + 20), f(votes, low=-20, high=spread + 20), f(votes, low=-1, high=6)


def _distances(seeds: Seeds, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return ((x[:, None] - seeds.x) / seeds.sx) ** 2 + ((y[:, None] - seeds.y) / seeds.sy) ** 2


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 200))
def test_assign_and_pairs_equal_the_dense_table(seed: int, seeds: int, votes: int) -> None:
    made, x, y, reach = _scene(np.random.default_rng(seed), seeds, votes)
    index = SeedIndex(made, 6.4)
    got = index.assign(x, y, reach)
    if not seeds:
        assert (got == -1).all()
        return
    table = _distances(made, x, y)
    want = np.where((table < reach[:, None]).any(1), table.argmin(1), -1)
    assert got.tolist() == want.tolist()
    vote, seed_of = index.pairs(x, y, reach)
    assert sorted(zip(vote.tolist(), seed_of.tolist(), strict=True)) == sorted(
        map(tuple, np.argwhere(table < reach[:, None]).tolist())
    )


def test_huge_bandwidths_take_larger_cells_and_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    made, x, y, reach = _scene(RNG, 30, 300)
    want = SeedIndex(made, 6.4).assign(x, y, reach)
    monkeypatch.setattr(clustering, "_MOST_CELLS", 100)
    index = SeedIndex(made, 6.4)
    assert index.cell > 2
    assert len(index.order) <= 120
    assert index.assign(x, y, reach).tolist() == want.tolist()


def test_local_maxima_best_first_with_plateaus_and_borders() -> None:
    score = np.array([[3, 0, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0], [4, 0, 0, 1]], np.float32)
    assert local_maxima(score, 0.5).tolist() == [6, 7, 12, 0, 15]
    assert local_maxima(score, 3.5).tolist() == [6, 7, 12]
    assert local_maxima(score, 9).tolist() == []


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=40))
def test_suppress_is_greedy(pairs: list[tuple[int, int]]) -> None:
    graph = [(max(a, b), min(a, b)) for a, b in pairs if a != b]
    stays: list[bool] = []
    for i in range(15):
        stays.append(not any(loser == i and stays[winner] for loser, winner in graph))
    loser, winner = (np.array([g[k] for g in graph], np.int64) for k in (0, 1))
    assert suppress(loser, winner, 15).tolist() == stays


def test_suppress_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert suppress(none, none, 0).tolist() == []
    assert suppress(none, none, 2).tolist() == [True, True]


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 20))
def test_distinct_is_greedy_whatever_the_block(seed: int, count: int, block: int) -> None:
    made = _scene(np.random.default_rng(seed), count, 0)[0]
    table = _distances(made, made.x, made.y)
    stays: list[bool] = []
    for i in range(count):
        stays.append(not any(stays[j] and table[i, j] < made.reach[i] for j in range(i)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clustering, "_BLOCK", block)
        assert distinct(made, 6.4).tolist() == stays


def test_peaks_everywhere_with_wide_ellipses_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 300, (2, 20_000)).astype(np.float32)
    wide = np.full(20_000, 60, np.float32)
    seeds = Seeds(x, y, wide, wide, np.full(20_000, 3, np.float32))  # all pairs would be 60 million
    tracemalloc.start()
    stays = distinct(seeds, 6.4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 < stays.sum() < 50
    assert peak < 300e6
