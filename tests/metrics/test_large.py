"""Images of many objects: a few at a time give the numbers of all at once, and memory does not follow the objects."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from apiece import Instances, Masks
from apiece.core import run_overlap, runs
from apiece.metrics import boundary, evaluate, names
from apiece.metrics._kit import match_ranked
from apiece.metrics.semantic import _class_map

TOGETHER = [name for name in names() if name not in ("amodal", "lvis")]


def scene(rng: np.random.Generator) -> tuple[Instances, Instances]:
    """Return squares of three classes and their copies, moved, which overlap; two of the truth are crowds."""
    corner, side = rng.integers(0, 40, (25, 2)), rng.integers(3, 25, (25, 2))
    boxes, label = np.concatenate([corner, corner + side], 1), rng.integers(0, 3, 25)
    truth, moved = (Masks.from_boxes(b, (50, 60)) for b in (boxes, boxes + rng.integers(-2, 3, boxes.shape)))
    ids, classes = np.arange(1, 26), ("a", "b", "c")
    crowd = np.arange(25) < 2
    return (
        Instances(truth, label, classes, ids=ids, crowd=crowd),
        Instances(moved, label, classes, ids=ids, scores=rng.uniform(0, 1, 25)),
    )


@pytest.mark.parametrize("name", TOGETHER)
def test_a_few_at_a_time_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [scene(np.random.default_rng(seed)) for seed in range(3)]
    wanted = evaluate(pairs, metrics=[name])
    for module, limit in (
        (run_overlap, "_STRIPE"), (run_overlap, "_RUNS"), (runs, "_RUNS"), (boundary, "_RUNS"),
        (match_ranked, "_WISHES"), (_class_map, "_RUNS"),
    ):  # fmt: skip
        monkeypatch.setattr(module, limit, 20)
    found = evaluate(pairs, metrics=[name])
    assert {k: str(v) for k, v in found.numbers.items()} == {k: str(v) for k, v in wanted.numbers.items()}


@pytest.fixture(scope="module")
def cells() -> tuple[Instances, Instances]:
    """50,176 squares of 15 pixels that touch no other, and others, a pixel lower."""
    x, y = (16 * np.arange(224 * 224) % 3584, 16 * (np.arange(224 * 224) // 224))
    boxes, ids = np.stack([x, y, x + 15, y + 15], 1), np.arange(1, 50177)
    masks = (Masks.from_boxes(b, (3600, 3584)) for b in (boxes, boxes + np.array([0, 1, 0, 1])))
    scores = np.random.default_rng(0).uniform(0, 1, 50176)
    return tuple(Instances(m, ids=ids, scores=s) for m, s in zip(masks, (None, scores), strict=True))


@pytest.mark.parametrize("name", TOGETHER)
def test_memory_does_not_follow_the_objects(cells: tuple[Instances, Instances], name: str) -> None:
    tracemalloc.start()
    try:
        evaluate([cells], metrics=[name], max_dets=[1, 10, 100_000])
        assert tracemalloc.get_traced_memory()[1] < 150e6
    finally:
        tracemalloc.stop()
