"""Size distributions, against weights written out."""

from __future__ import annotations

import numpy as np
import pytest

from apiece.errors import ConfigError, UnknownNameError
from apiece.measurements import Table, distribution


def test_weights_and_groups() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(2, 0.4, 20000)
    table = Table({"class": np.array(["a"] * 20000 + ["b"]), "d": np.append(sizes, 3.0)}, {"d": "um"})
    found = distribution(table, "d")
    # a lognormal stays one when it is weighted by a power r: its median grows by exp(r s^2)
    for name, power in (("number", 0), ("area", 2), ("volume", 3)):
        middle = np.exp(2 + power * 0.16)
        assert found[f"{name}_d50"][0] == pytest.approx(middle, rel=0.03)
        assert found[f"{name}_d90"][0] == pytest.approx(middle * np.exp(1.2816 * 0.4), rel=0.04)
        assert found[f"{name}_d50"][1] == 3
        assert found[f"{name}_span"][1] == 0
    assert found.units["area_d10"] == "um"
    assert found["count"].tolist() == [20000, 1]


def test_crowds_empty_classes_and_columns_that_are_none() -> None:
    columns = {"class": np.array(["a", "a"]), "d": np.array([2.0, np.nan]), "crowd": np.array([True, False])}
    found = distribution(Table(columns, levels={"class": ("a", "b")}), "d")
    assert found["count"].tolist() == [0, 0]
    assert np.isnan(found["number_d50"]).all()
    with pytest.raises(UnknownNameError):
        distribution(Table(columns), "e")
    with pytest.raises(ConfigError, match="no numbers"):
        distribution(Table(columns), "class")
