"""What a family of measurements is: one file in this package that defines ``MEASURE = Measure(...)``.

`apiece.measurements.measure` finds the file by itself; the names of its properties become columns of the table, and
names that can be asked for with ``properties=``. Files whose name starts with an underscore are helpers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from apiece._arrays import Array
from apiece._plugins import Room
from apiece.core.masks import Masks

__all__ = ["ROOM", "Dimension", "Measure", "Property", "Request"]

Dimension = Literal["length", "area", "pixel", "degree", "none"]
"""What a property is measured in: ``length`` and ``area`` follow the pixel size, ``pixel`` is a place in the image."""


@dataclass(frozen=True)
class Property:
    """One thing that is measured of every instance."""

    name: str
    """Its name: the column's name, or the beginning of it where there are several columns."""
    dimension: Dimension
    """What it is measured in."""
    summary: str
    """One line: the definition followed."""
    parts: tuple[str, ...] = ()
    """Names of its columns, where it has several: ``box`` with ``("x0", ...)`` gives ``box_x0`` ... A property of
    several columns without names here is numbered: ``intensity_mean_0`` ..."""


@dataclass(frozen=True)
class Request:
    """What a family gets to measure."""

    masks: Masks
    """The masks of all instances."""
    pixels: Array | None
    """The image, shape (height, width, channels), any dtype; None if none was given."""
    scale: tuple[float, float]
    """Width and height of a pixel in the unit of the answer; (1.0, 1.0) for pixels."""
    wanted: frozenset[str]
    """Names of the properties to measure, all of this family."""


@dataclass(frozen=True)
class Measure:
    """A family of measurements that share work."""

    summary: str
    """One line."""
    properties: tuple[Property, ...]
    """What it can measure, in the order of the columns."""
    compute: Callable[[Request], Mapping[str, Array]]
    """Measures at least the properties wanted: name to an array of shape (N,) or (N, columns)."""
    needs_image: bool = False
    """Whether it measures pixels of the image, not only the masks."""


ROOM: Room[Measure] = Room("apiece.measurements", "MEASURE", Measure)
"""Where the families of measurements are found."""
