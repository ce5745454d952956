"""Numbers with a unit, as a person writes them: ``12.5 mm``, ``0.4 mm2``, ``5 deg``, ``2 px``, ``95 %``."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import Literal

from apiece.core.image import PixelSize
from apiece.errors import ConfigError

__all__ = ["Dimension", "Quantity", "parse_quantity"]

Dimension = Literal["length", "area", "degree", "none"]

_TEXT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([^\d\s,].*?)?\s*")
_LENGTHS = ("px", "nm", "um", "mm", "cm", "m", "in")
_SPELLED = {
    "": ("", "none"), "%": ("%", "none"), "deg": ("deg", "degree"), "°": ("deg", "degree"),
    "degree": ("deg", "degree"), "degrees": ("deg", "degree"), "pixel": ("px", "length"), "pixels": ("px", "length"),
    "µm": ("um", "length"), "μm": ("um", "length"), "inch": ("in", "length"),
    **{unit: (unit, "length") for unit in _LENGTHS},
    **{unit + power: (f"{unit}2", "area") for unit in (*_LENGTHS, "µm", "μm") for power in ("2", "²", "^2")},
}  # fmt: skip
_SHOWN = {"length": "px, um, mm, cm, m or in", "area": "px2, um2, mm2, cm2, m2 or in2", "degree": "deg", "none": "%"}


@dataclass(frozen=True)
class Quantity:
    """A number and its unit.

    Attributes
    ----------
    value : finite; per cent are kept as a share.
    unit : ``px``, ``mm``, ``mm2``, ``deg`` ...; empty for a plain number.
    dimension : what it is a quantity of.
    """

    value: float
    unit: str
    dimension: Dimension

    def within(self, size: PixelSize | None) -> float:
        """Return the value in the unit in which an image of this pixel size is measured.

        Raises
        ------
        ConfigError
            if it has a unit of length, and the image has no pixel size.
        """
        if self.dimension not in ("length", "area"):
            return self.value
        power, unit = (2, self.unit[:-1]) if self.dimension == "area" else (1, self.unit)
        if unit == "px":
            return self.value if size is None else self.value * math.sqrt(size.x * size.y) ** power
        if size is None:
            raise ConfigError(f"{self} needs a pixel size, and nothing says how large a pixel is")
        return self.value * PixelSize(1.0, 1.0, unit).to(size.unit).x ** power

    def __str__(self) -> str:
        if self.unit == "%":
            return f"{100 * self.value:g} %"
        return f"{self.value:g} {self.unit}".strip()


def parse_quantity(given: object, dimension: Dimension | None = None) -> Quantity:
    """Return the quantity that a number or a text stands for.

    A plain number is pixels where a length is wanted, square pixels where an area is, degrees where an angle is.

    Raises
    ------
    ValueError
        saying what is wrong, and which units fit.

    Examples
    --------
    >>> parse_quantity("12,5 mm")
    Traceback (most recent call last):
    ValueError: '12,5 mm' is no number with a unit; write it as 12.5 mm
    >>> parse_quantity("5 kg", "length")
    Traceback (most recent call last):
    ValueError: '5 kg' is no length: there is no unit 'kg'; use px, um, mm, cm, m or in
    """
    text = str(given)
    match = _TEXT.fullmatch(text) if isinstance(given, str | int | float) and not isinstance(given, bool) else None
    if match is None or not math.isfinite(float(match[1])):
        hint = f"; write it as {text.replace(',', '.')}" if re.fullmatch(r"\s*[+-]?\d+,\d+.*", text) else ""
        raise ValueError(f"{text!r} is no number with a unit{hint}")
    value, unit = float(match[1]), match[2] or ""
    what = {"length": "length", "area": "area", "degree": "angle", "none": "plain number", None: "quantity"}[dimension]
    found = _SPELLED.get(unit) or _SPELLED.get(unit.lower() if unit.lower() in ("µm", "mm", "cm", "px") else unit)
    if found is None:
        near = difflib.get_close_matches(unit, _SPELLED, n=1, cutoff=0.5)
        use = _SHOWN[dimension] if dimension else "px, mm, mm2, deg, %"
        guess = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{text!r} is no {what}: there is no unit {unit!r}; use {use}{'.' if guess else ''}{guess}")
    spelled, own = found
    if dimension and not unit:
        spelled, own = {"length": "px", "area": "px2", "degree": "deg", "none": ""}[dimension], dimension
    if dimension and own != dimension:
        raise ValueError(f"{text!r} is no {what}; use {_SHOWN[dimension]}")
    return Quantity(value / 100 if spelled == "%" else value, spelled, own)  # type: ignore[arg-type]
