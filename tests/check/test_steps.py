"""The steps of outlines, however many objects are looked at together."""

from __future__ import annotations

import numpy as np
import pytest

from apiece.check._kit import steps as module
from apiece.core.runs import sums
from apiece.formats.contract import Outlines


def test_they_are_the_same_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    parts = sums(rng.integers(0, 4, 50))
    rings = sums(rng.integers(3, 9, parts[-1]))
    points = rng.integers(0, 3, (rings[-1], 2)) + 0.25 * rng.integers(0, 2, (rings[-1], 1))
    points[: rings[20]] = np.rint(points[: rings[20]])
    none = np.zeros(50, np.int64)
    outlines = Outlines(none, none, none, points, rings, parts, np.zeros(parts[-1], bool))
    whole = module.steps(outlines)
    assert len(whole[0]) == 50
    assert whole[0].sum() == len(points)
    assert 0 < whole[3].sum() < 50
    for limit in (8, 80, 800):
        monkeypatch.setattr(module, "CHUNK", limit)
        for one, other in zip(module.steps(outlines), whole, strict=True):
            assert np.array_equal(one, other)
    nothing = Outlines(none[:0], none[:0], none[:0], points[:0], rings[:1], parts[:1], np.zeros(0, bool))
    assert [len(column) for column in module.steps(nothing)] == [0] * 4
