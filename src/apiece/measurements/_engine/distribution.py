"""Size distributions: what share of objects, of their area or of their volume is smaller than a size."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Float
from apiece.errors import ConfigError
from apiece.measurements._engine.table import Table

_WEIGHTS = {"number": 0, "area": 2, "volume": 3}  # ISO 9276-1: the power r of the size in Q_r
_QUANTILES = (10, 50, 90)


def distribution(table: Table, of: str = "equivalent_diameter", by: str = "class") -> Table:
    """Return D10, D50, D90 and span of a size for each group, weighted by number, area and volume (ISO 9276-1 and -2).

    Half of all objects are smaller than the D50 by number; objects smaller than the D50 by volume hold half of the
    volume, which is taken to grow with the third power of the size. The span is (D90 - D10) / D50. Rows of several
    objects (``crowd``) and rows without a size do not count; rows of objects that the image border cuts
    (``cut_by_border``) do, so leave them out where they matter.

    Parameters
    ----------
    of : column of lengths.
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
    sizes, groups = table[of], table[by]
    if sizes.dtype.kind not in "buif":
        raise ConfigError(f"column {of!r} holds no numbers, so it has no distribution; name another in of")
    kept = np.isfinite(sizes) & (sizes > 0)
    if "crowd" in table.columns:
        kept &= ~table["crowd"]
    names = list(table.levels.get(by, ())) or list(dict.fromkeys(groups.tolist()))
    members = [sizes[kept & (groups == name)].astype(np.float64) for name in names]
    columns: dict[str, Array] = {by: np.array(names), "count": np.array([len(m) for m in members], np.int64)}
    units: dict[str, str] = {}
    for weight, power in _WEIGHTS.items():
        found = np.array([_quantiles(m, power) for m in members]).reshape(len(names), 3)
        for k, q in enumerate(_QUANTILES):
            columns[f"{weight}_d{q}"], units[f"{weight}_d{q}"] = found[:, k], table.units.get(of, "")
        columns[f"{weight}_span"] = (found[:, 2] - found[:, 0]) / found[:, 1]
    return Table(columns, units)


def _quantiles(sizes: Float, power: int) -> Float:
    """Return sizes at which the weighted cumulative distribution reaches 10, 50 and 90 %; linear between objects."""
    if not len(sizes):
        return np.full(len(_QUANTILES), np.nan)
    sizes = np.sort(sizes)
    weight = (sizes / sizes[-1]) ** power
    below = (np.cumsum(weight) - weight / 2) / weight.sum()
    return np.interp(np.array(_QUANTILES) / 100, below, sizes)
