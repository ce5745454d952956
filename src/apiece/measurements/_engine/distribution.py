"""Size distributions: what share of objects, of their area or of their volume is smaller than a size."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Float
from apiece.errors import ConfigError, UnknownNameError
from apiece.measurements._engine.table import Table
from apiece.measurements.contract import ROOM

_WEIGHTS = {"number": 0, "area": 2, "volume": 3}  # ISO 9276-1: the power r of the size in Q_r
_QUANTILES = (10, 50, 90)


def _power(weight: str, of: str) -> float:
    """Return the power of a column that a weight grows with: of an area half of that of a length."""
    areas = {prop.name for family in ROOM.load_all().values() for prop in family.properties if prop.dimension == "area"}
    return _WEIGHTS[weight] / 2 if of in areas else _WEIGHTS[weight]


def distribution(table: Table, of: str = "equivalent_diameter", by: str = "class") -> Table:
    """Return D10, D50, D90 and span of a size for each group, weighted by number, area and volume (ISO 9276-1 and -2).

    Half of all objects are smaller than the D50 by number; objects smaller than the D50 by volume hold half of the
    volume, which is taken to grow with the third power of the size. The span is (D90 - D10) / D50. Rows of several
    objects (``crowd``) and rows without a size do not count; rows of objects that the image border cuts
    (``cut_by_border``) do, so leave them out where they matter.

    Parameters
    ----------
    of : column of lengths, or of areas, whose volume grows with the power 1.5.
    by : column to group by.

    Raises
    ------
    UnknownNameError
        If there is no such column.
    ConfigError
        If ``of`` holds no numbers.

    Examples
    --------
    >>> from apiece.measurements import Table, distribution
    >>> table = Table({"class": np.array(["a"] * 4), "size": np.array([1.0, 2.0, 3.0, 4.0])}, {"size": "um"})
    >>> found = distribution(table, "size")
    >>> found["number_d50"].tolist(), found["volume_d50"].round(2).tolist(), found.units["number_d50"]
    ([2.5], [3.6], 'um')
    """
    members = _members(table, of, by)
    columns: dict[str, Array] = {
        by: np.array(list(members)),
        "count": np.array([len(m) for m in members.values()], np.int64),
    }
    units: dict[str, str] = {}
    for weight in _WEIGHTS:
        power = _power(weight, of)
        found = np.array([_quantiles(m, power) for m in members.values()]).reshape(len(members), 3)
        for k, q in enumerate(_QUANTILES):
            columns[f"{weight}_d{q}"], units[f"{weight}_d{q}"] = found[:, k], table.units.get(of, "")
        columns[f"{weight}_span"] = (found[:, 2] - found[:, 0]) / found[:, 1]
    return Table(columns, units)


def cumulative(
    table: Table, of: str = "equivalent_diameter", by: str = "class", weight: str = "number"
) -> dict[str, tuple[Float, Float]]:
    """Return the cumulative distribution of each group: its sizes in ascending order, and the share below each.

    Parameters
    ----------
    of, by : as in `distribution`, whose quantiles lie on these curves.
    weight : ``"number"``, ``"area"`` or ``"volume"``.

    Raises
    ------
    UnknownNameError
        If there is no such column or weight.
    ConfigError
        If ``of`` holds no numbers.

    Examples
    --------
    >>> from apiece.measurements import Table, cumulative
    >>> table = Table({"class": np.array(["a"] * 4), "size": np.array([4.0, 2.0, 3.0, 1.0])})
    >>> sizes, share = cumulative(table, "size")["a"]
    >>> sizes.tolist(), share.tolist()
    ([1.0, 2.0, 3.0, 4.0], [0.125, 0.375, 0.625, 0.875])
    """
    if weight not in _WEIGHTS:
        raise UnknownNameError("weight", weight, _WEIGHTS)
    power = _power(weight, of)
    return {name: _curve(sizes, power) for name, sizes in _members(table, of, by).items()}


def _members(table: Table, of: str, by: str) -> dict[str, Float]:
    """Return the sizes of each group."""
    sizes, groups = table[of], table[by]
    if sizes.dtype.kind not in "buif":
        raise ConfigError(f"column {of!r} holds no numbers, so it has no distribution; name another in of")
    kept = np.isfinite(sizes) & (sizes > 0)
    if "crowd" in table.columns:
        kept &= ~table["crowd"]
    names = list(table.levels.get(by, ())) or list(dict.fromkeys(groups.tolist()))
    return {str(name): sizes[kept & (groups == name)].astype(np.float64) for name in names}


def _curve(sizes: Float, power: float) -> tuple[Float, Float]:
    """Return sizes in ascending order and the weighted share below the middle of each."""
    sizes = np.sort(sizes)
    weight = (sizes / sizes[-1:]) ** power
    return sizes, (np.cumsum(weight) - weight / 2) / weight.sum()


def _quantiles(sizes: Float, power: float) -> Float:
    """Return sizes at which the weighted cumulative distribution reaches 10, 50 and 90 %; linear between objects."""
    if not len(sizes):
        return np.full(len(_QUANTILES), np.nan)
    sizes, below = _curve(sizes, power)
    return np.interp(np.array(_QUANTILES) / 100, below, sizes)
