"""Readings that several kinds of rules make."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.image import PixelSize
from apiece.errors import ConfigError
from apiece.rules.contract import Quantity, Readings, Scene

__all__ = ["bounds", "nothing", "of_members", "ordered", "room", "stated"]

_SIGMAS = 4.0  # standard deviations
_WIDER = 1.3  # times what good examples show


def ordered(least: Quantity | None, most: Quantity | None) -> None:
    """Raise ValueError if the least value is above the greatest one; pixels and millimetres can not be told apart yet.

    >>> from apiece.rules._kit.quantities import parse_quantity
    >>> ordered(parse_quantity("5 mm"), parse_quantity("100 um"))
    Traceback (most recent call last):
    ValueError: min 5 mm is above max 100 um
    """
    if least is None or most is None or least.unit.startswith("px") != most.unit.startswith("px"):
        return
    metre = PixelSize(1.0, 1.0, "m")
    if least.within(metre) > most.within(metre):
        raise ValueError(f"min {least} is above max {most}")


def bounds(scene: Scene, least: Quantity | None, most: Quantity | None) -> tuple[float, float]:
    """Return limits in the unit of a picture.

    Raises
    ------
    ConfigError
        if the least value is above the greatest one at this pixel size, or a unit needs a pixel size that is not known.
    """
    low, high = scene.number(least, -np.inf), scene.number(most, np.inf)
    if low > high:
        raise ConfigError(f"min {least} is above max {most} at a pixel size of {scene.size}")
    return low, high


def nothing(classes: tuple[str, ...], optional: bool, what: str = "to be judged") -> Iterator[Readings]:
    """Yield the reading of a rule whose objects are not there: unsure, unless they are optional."""
    if not optional:
        words = [f"no {' or '.join(classes)} is there {what}"]
        yield Readings.of("", "", [np.nan], low=-np.inf, high=np.inf, least=0.0, most=0.0, words=words)


def of_members(
    what: str, unit: str, values: Float, spread: Float | float, least: float, most: float, index: Int
) -> Readings:
    """Return a reading of each object; a measure that an object does not have (NaN) can be anything."""
    none = np.isnan(values)
    low, high = np.where(none, -np.inf, values - spread), np.where(none, np.inf, values + spread)
    return Readings.of(what, unit, values, low=low, high=high, least=least, most=most, objects=index[:, None])


def room(off: Float) -> float:
    """Return how far off a good object may be, by how far good examples are off: their noise has tails at times."""
    return max(_SIGMAS * float(np.sqrt(np.nanmean(off**2))), _WIDER * float(np.nanmax(np.abs(off))))


def stated(tolerance: float) -> str:
    """Return a tolerance in three digits, never less than it is.

    >>> stated(0.0010049)
    '0.00101'
    """
    return f"{1.005 * tolerance:.3g}"
