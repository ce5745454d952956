"""The contract of a family of measurements: one file in this package that defines ``MEASURE = Measure(...)``.

`apiece.measurements.measure` finds the file by itself. The names of its properties become columns of the table, and
values of ``properties=``.
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
"""Dimension of a property: ``length`` and ``area`` follow the pixel size, ``pixel`` is a place in the image."""


@dataclass(frozen=True)
class Property:
    """One property of every instance."""

    name: str
    """Name of its column, or the beginning of the names of several columns."""
    dimension: Dimension
    """Its dimension."""
    summary: str
    """One line: its definition."""
    parts: tuple[str, ...] = ()
    """Names of its columns, if it has several: ``box`` with ``("x0", ...)`` gives ``box_x0`` ... Without names here,
    several columns are numbered: ``intensity_mean_0`` ..."""
    spread: float = 0.0
    """Half width of the interval that holds 95% of its errors on drawn shapes, in pixels; 0: no interval holds. Of an
    area it is in square pixels, and times the root of the perimeter in pixels."""


@dataclass(frozen=True)
class Request:
    """What a family receives."""

    masks: Masks
    """The masks of all instances."""
    pixels: Array | None
    """The image, shape (height, width, channels), any dtype, or None."""
    scale: tuple[float, float]
    """Width and height of a pixel in the unit of the results; (1.0, 1.0) for pixels."""
    wanted: frozenset[str]
    """Names of the properties to measure, all from this family."""
    full: Masks | None = None
    """The full masks, where the instances have them."""


@dataclass(frozen=True)
class Measure:
    """A family of measurements that share work."""

    summary: str
    """One line."""
    properties: tuple[Property, ...]
    """What it can measure, in the order of the columns."""
    compute: Callable[[Request], Mapping[str, Array]]
    """Measure at least the wanted properties: name to an array of shape (N,) or (N, columns)."""
    needs_image: bool = False
    """Whether it measures pixels of the image, not only masks."""
    needs_full: bool = False
    """Whether it measures full masks (`Instances.full`)."""
    needs_colour: bool = False
    """Whether it measures images of three channels only."""
    on_request: bool = False
    """Whether it is measured only where its properties are named."""
    together: bool = False
    """Whether the other masks of the image matter to what is measured of a mask."""


ROOM: Room[Measure] = Room("apiece.measurements", "MEASURE", Measure)
"""The families of measurements."""
