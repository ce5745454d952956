"""Readings that several kinds of rules make."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from apiece._arrays import Float, Int
from apiece.rules.contract import Readings

__all__ = ["nothing", "of_members", "room", "stated"]

_SIGMAS = 4.0  # standard deviations
_WIDER = 1.3  # times what good examples show


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
