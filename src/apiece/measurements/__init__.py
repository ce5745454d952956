"""Measurements: one row per instance, in pixels and in physical units.

>>> import numpy as np, apiece
>>> from apiece.measurements import measure
>>> found = apiece.Instances.from_label_map(np.array([[1, 1, 0], [1, 1, 0]]))
>>> measure(found, pixel_size="0.5 um")["area"]
array([1.])

A family of measurements is one file in this package (see ``contract.py``). To measure one thing of your own, pass a
function as ``extra`` to `measure`.
"""

from __future__ import annotations

from apiece.measurements._engine.distribution import cumulative, distribution
from apiece.measurements._engine.edge_fit import EdgeFit, matched
from apiece.measurements._engine.frame import counting_frame
from apiece.measurements._engine.groups import compare_groups
from apiece.measurements._engine.measure import Extra, families, mean_colours, measure, measure_many
from apiece.measurements._engine.on_depth import measure_depth
from apiece.measurements._engine.table import Table
from apiece.measurements.contract import ROOM, Measure, Property, Request

__all__ = [
    "EdgeFit",
    "Extra",
    "Measure",
    "Property",
    "Request",
    "Table",
    "compare_groups",
    "counting_frame",
    "cumulative",
    "describe",
    "distribution",
    "families",
    "load",
    "matched",
    "mean_colours",
    "measure",
    "measure_depth",
    "measure_many",
    "names",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe
