"""`Gripper`: what a gripper can do, in pixels or in lengths of the world."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

import numpy as np

from apiece._arrays import Bool, Float
from apiece.calibration import length
from apiece.core.image import PixelSize
from apiece.errors import ConfigError, Message, Option
from apiece.grasps.surface import Surface

__all__ = ["Gripper", "Reach"]

_PIXELS = re.compile(r"\s*([0-9]+\.?[0-9]*)\s*(px)?\s*")


@dataclass(frozen=True)
class Reach:
    """The box in which the gripper may grip.

    Attributes
    ----------
    low, high : two or three coordinates each.
    unit : of the coordinates, in the frame of the camera or of the calibrated plane; ``px``: places in the picture.

    Examples
    --------
    >>> from apiece.grasps import Reach
    >>> Reach.parse("-0.2,-0.1,0.4 0.2,0.1,0.7 m").low
    (-0.2, -0.1, 0.4)
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    unit: str = "px"

    @classmethod
    def parse(cls, text: str) -> Reach:
        """Read ``"x,y x,y"`` in pixels, or ``"x,y,z x,y,z mm"``.

        Raises
        ------
        ConfigError
            If the text is neither, or the box is empty.
        """
        words = text.split()
        try:
            low, high = (tuple(float(v) for v in word.split(",")) for word in words[:2])
            unit = "px" if words[2:] in ([], ["px"]) else PixelSize(1.0, 1.0, " ".join(words[2:])).unit
        except ValueError:
            raise ConfigError(Option("reach", text) + ": write two corners, as 'x,y x,y' or 'x,y,z x,y,z mm'") from None
        except ConfigError as error:
            raise ConfigError(Option("reach", text) + f": {error}") from None
        flat = len(low) == 2 or (len(low) == 3 and unit != "px")
        if len(low) != len(high) or not flat or not np.isfinite([*low, *high]).all():
            raise ConfigError(Option("reach", text) + ": both corners need x and y, and z where lengths have a unit")
        if any(a >= b for a, b in zip(low, high, strict=True)):
            raise ConfigError(Option("reach", text) + ": the first corner needs the smaller numbers")
        return cls(low, high, unit)

    def holds(self, places: Float, surface: Surface) -> Bool:
        """Return whether each place in the picture (N, 2) lies in the box; False where its depth is not known."""
        points = places
        if self.unit != "px":
            known = surface.world(places)
            if known is None:
                raise ConfigError(_no_scale(Option("reach", ...) + f" is in {self.unit}"))
            points = known * PixelSize(1.0, 1.0, surface.unit).to(self.unit).x
            if points.shape[1] < len(self.low):
                raise ConfigError(Option("reach") + " has a z, and a plane has none; give depth and intrinsics")
        some = points[:, : len(self.low)]
        return np.asarray(((some >= np.array(self.low)) & (some <= np.array(self.high))).all(1))


@dataclass(frozen=True)
class Gripper:
    """Describe a gripper. A length is text such as ``"80 mm"`` or ``"40 px"``; a plain number is pixels.

    Attributes
    ----------
    opening : widest opening between the fingers. By default any.
    finger : width of a finger, across the closing direction. By default half of what each object allows.
    thickness : thickness of a finger, along the closing direction.
    clearance : least room that stays free behind each finger.
    insert : how far fingers reach below the grasp point, with depth. By default half of the opening at each object, and
        at most half way to the floor.
    cup : diameter of the suction cup. By default the widest that fits.
    reach : box in which the gripper may grip. By default everywhere.

    Raises
    ------
    ConfigError
        If a length cannot be read.
    """

    opening: str | float | None = None
    finger: str | float | None = None
    thickness: str | float = 2.0
    clearance: str | float = 2.0
    insert: str | float | None = None
    cup: str | float | None = None
    reach: Reach | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "reach" and value is not None:
                _length(one.name, value)

    def pixels(self, name: str, surface: Surface, otherwise: Float | float) -> Float:
        """Return a length in pixels at each of the surface's N objects; ``otherwise`` where none is given.

        Raises
        ------
        ConfigError
            If it has a unit and nothing says how large pixels are.
        """
        value = getattr(self, name)
        if value is None:
            return np.broadcast_to(np.asarray(otherwise, np.float64), (surface.count,)).copy()
        number, unit = _length(name, value)
        if unit == "px" or number == 0:
            return np.full(surface.count, number)
        if surface.pixels_per_metre is None:
            raise ConfigError(_no_scale(Option(name, value)))
        return number * PixelSize(1.0, 1.0, unit).to("m").x * surface.pixels_per_metre


def _no_scale(what: Message | Option) -> Message:
    return what + ": nothing says how large pixels are; give " + Option("calibration", ...) + ", or " + (
        Option("depth", ...) + " with " + Option("intrinsics", ...)
    )  # fmt: skip


def _length(name: str, value: str | float) -> tuple[float, str]:
    match = _PIXELS.fullmatch(str(value))
    try:
        number, unit = (float(match[1]), "px") if match else length(str(value), zero=True)
    except ConfigError as error:
        raise ConfigError(Option(name, value) + f": {error}") from None
    if not np.isfinite(number) or number < 0:
        raise ConfigError(Option(name, value) + ": a length is 0 or more")
    if number == 0 and name in ("opening", "finger", "cup"):
        raise ConfigError(Option(name, value) + ": must be above 0")
    return number, unit
