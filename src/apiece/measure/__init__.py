"""Measurements: one row per instance, in pixels and in physical units.

>>> import numpy as np, apiece
>>> from apiece.measure import measure
>>> found = apiece.Instances.from_label_map(np.array([[1, 1, 0], [1, 1, 0]]))
>>> measure(found, pixel_size="0.5 um")["area"]
array([1.])

A family of measurements is one file in this package (see ``_base.py``); to measure one thing of your own, pass a
function as ``extra``.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from apiece.measure._base import Measure, Property, Request
from apiece.measure._measure import Extra, families, measure, measure_many
from apiece.measure._table import Table

__all__ = ["Extra", "Measure", "Property", "Request", "Table", "families", "measure", "measure_many"]


class _Callable(ModuleType):
    """`apiece.measure` is this package once it is imported, and is called as the function it is named after."""

    def __call__(self, *args: Any, **kwargs: Any) -> Table:
        return measure(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
