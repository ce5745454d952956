"""Groups of images: against SciPy, and how often two like ones look different."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from apiece.errors import ConfigError
from apiece.measurements import Table, compare_groups


def images(rng: np.random.Generator, groups: int = 2, each: int = 6, objects: int = 40) -> Table:
    """Return objects whose sizes scatter by image too."""
    number = groups * each
    level = np.repeat(rng.normal(10, 1, number), objects)
    return Table({
        "image": np.repeat(np.array([f"{k}.png" for k in range(number)]), objects),
        "group": np.repeat(np.array([f"batch {k}" for k in range(groups)]), each * objects),
        "size": level + rng.normal(0, 0.5, len(level)),
    }, {"size": "mm"})  # fmt: skip


def test_equal_to_scipy() -> None:
    table = images(np.random.default_rng(0), groups=3)
    found = compare_groups(table, "size")
    assert found["group_a"].tolist() == ["batch 0", "batch 0", "batch 1"]
    assert found.units["low"] == "mm"
    means = table["size"].reshape(3, 6, 40).mean(2)
    for k, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        expected = stats.ttest_ind(means[b], means[a], equal_var=False)
        interval = expected.confidence_interval(0.95)
        assert found["p"][k] == pytest.approx(expected.pvalue)
        assert (found["low"][k], found["high"][k]) == pytest.approx((interval.low, interval.high))


def test_like_groups_look_different_in_one_of_twenty_cases() -> None:
    rng = np.random.default_rng(1)
    tables = [images(rng) for _ in range(300)]
    found = np.mean([compare_groups(table, "size")["p"][0] < 0.05 for table in tables])
    assert 0.02 < found < 0.09
    # objects as the unit would find a difference nearly always
    naive = [stats.ttest_ind(*table["size"].reshape(2, -1)).pvalue < 0.05 for table in tables[:100]]
    assert np.mean(naive) > 0.5


def test_few_images_and_bad_groups() -> None:
    table = images(np.random.default_rng(0), each=1)
    found = compare_groups(table, "size")
    assert np.isfinite(found["difference"]).all()
    assert np.isnan([found["low"][0], found["p"][0]]).all()
    with pytest.raises(ConfigError, match="lies in the groups"):
        compare_groups(Table({**table.columns, "image": np.full(len(table), "a.png")}), "size")
    with pytest.raises(ConfigError, match="needs two"):
        compare_groups(Table({**table.columns, "group": np.full(len(table), "one")}), "size")
    with pytest.raises(ConfigError, match="no numbers"):
        compare_groups(table, "image")
