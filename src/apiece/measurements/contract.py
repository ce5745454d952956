"""The contract of a family of measurements: one file in this package that defines ``MEASURE = Measure(...)``.

`apiece.measurements.measure` finds the file by itself. The names of its properties become columns of the table, and
values of ``properties=``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from apiece._arrays import Array, Float, Int
from apiece._plugins import Room
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError

__all__ = ["ROOM", "Dimension", "Edges", "Measure", "Property", "Request", "edges"]

Dimension = Literal["length", "area", "pixel", "degree", "none"]
"""Dimension of a property: ``length`` and ``area`` follow the pixel size, ``pixel`` is a place in the image."""

_95 = 1.96  # standard deviations of a normal distribution


class Edges(NamedTuple):
    """How far outlines may be off (95%), in pixels.

    Attributes
    ----------
    point : float64 (N,), at one place: for lengths, gaps and places.
    mean : float64 (N,), as a whole: for areas. An outline that is too far out here and too far in there has the right
        area.
    """

    point: Float
    mean: Float

    def take(self, index: Int) -> Edges:
        """Return those of some instances."""
        return Edges(self.point[index], self.mean[index])


def edges(instances: Instances, otherwise: float = 0.0) -> Edges:
    """Return how far outlines may be off: what the attributes ``edge`` and ``edge_mean`` say.

    Parameters
    ----------
    otherwise : of instances for which ``edge`` says nothing. Without ``edge_mean``, ``edge`` counts for both.

    Raises
    ------
    ConfigError
        if an attribute is no distance.
    """
    point = _distance(instances, "edge", np.full(len(instances), otherwise))
    return Edges(point, _distance(instances, "edge_mean", point))


def _distance(instances: Instances, name: str, otherwise: Float) -> Float:
    """Return an attribute of instances; where there is none, or NaN, what stands in its place."""
    values = np.asarray(instances.attributes.get(name, otherwise))
    if values.shape != otherwise.shape or values.dtype.kind not in "iuf" or not (np.nan_to_num(values) >= 0).all():
        raise ConfigError(f"the attribute {name!r} is a distance in pixels, one number of at least 0 per instance")
    return np.where(np.isnan(values), otherwise, values).astype(np.float64)


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

    def half_width(
        self,
        values: Array,
        around: Float,
        edge: Edges,
        side: Float | float,
        scale_error: float = 0.0,
        known: Array | None = None,
    ) -> Float:
        """Return how far values may be off, half the width of 95% intervals: float64 (N,); of no length or area 0.

        Three causes add up as independent ones do. *Pixels*: a mask keeps only which pixel centres lie inside a shape;
        what that leaves open was measured on drawn shapes (`spread`). *The outline*: how far a model's outline may be
        off. *The calibration*: how well the scale of the plane is known.

        Parameters
        ----------
        values : float (N,), in the unit of the results.
        around : float64 (N,), perimeters in pixels.
        edge : how far outlines may be off.
        side : the side of a pixel, or of a pixel at each mask, in the unit of the results.
        scale_error : relative standard uncertainty of lengths.
        known : float64 (N,), the spread of each value, where it is known; NaN where `spread` counts.
        """
        spread = self.spread if known is None else np.where(np.isnan(known), self.spread, known)
        relative = _95 * scale_error
        if self.dimension == "length" and self.name != "equivalent_diameter":
            return np.asarray(np.hypot(np.hypot(spread, 2 * edge.point) * side, relative * values))
        if self.dimension not in ("length", "area"):
            return np.zeros(len(values))
        area = values if self.dimension == "area" else np.pi / 4 * values**2
        width = np.hypot(np.hypot(spread * np.sqrt(around), edge.mean * around) * side**2, 2 * relative * area)
        return np.asarray(width if self.dimension == "area" else width / np.where(values > 0, np.pi / 2 * values, 1))


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
    """Measure at least the wanted properties: name to an array of shape (N,) or (N, columns). ``NAME_spread`` beside
    them says what takes the place of `Property.spread` for each instance, in pixels; NaN where nothing does."""
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
