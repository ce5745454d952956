"""`Calibration`: what a photo's pixels are on a plane, as a value and as a file."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece._arrays import Array, Float
from apiece._atomic import write_text
from apiece._strict_json import StrictError, dataclass_from
from apiece.calibration._json_file import json_file
from apiece.core.image import PixelSize
from apiece.errors import ConfigError, InvalidInstancesError

__all__ = ["Calibration", "length"]

_VERSION = 1
_LENGTH = re.compile(r"\s*([0-9.eE+-]+)\s*([A-Za-zµμ\"]+)\s*")


def length(text: str, *, zero: bool = False) -> tuple[float, str]:
    """Read a length with its unit; it may be 0 with ``zero``.

    Raises
    ------
    ConfigError
        If the text is no length, such as ``"5"`` or ``"5 kg"``.

    Examples
    --------
    >>> length("5 mm"), length("0.5 micron")
    ((5.0, 'mm'), (0.5, 'um'))
    """
    match = _LENGTH.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        number = float(match[1])
        if not 0 <= number < math.inf or (number == 0 and not zero):
            raise ConfigError("it must be above 0")
        unit = PixelSize(1.0, 1.0, match[2]).unit
    except ValueError:
        raise ConfigError(f"{text!r} is no length; write a number and a unit, such as '5 mm'") from None
    except ConfigError as error:
        raise ConfigError(f"{text!r} is no length: {error}") from None
    return number, unit


@dataclass(frozen=True)
class Calibration:
    """Map pixels of a photo to places on a plane: the lens is straightened, then the plane seen face on.

    Attributes
    ----------
    size : (height, width) in pixels of the photos that it holds for.
    unit : unit of length on the plane.
    homography : 3 x 3, row by row: from straightened pixels (x, y; pixel edges at whole numbers) to the plane.
    lens : radial distortion k1, k2 of a pixel's distance from the middle of the image, in units of the longer side.
    method : how it was found.
    error : rms distance in pixels of the points that it was fitted to.
    scale_error : relative standard uncertainty of a length on the plane.

    Raises
    ------
    ConfigError
        If the numbers are no such map.

    Examples
    --------
    >>> Calibration((480, 640), "mm", (0.05, 0, 0, 0, 0.05, 0, 0, 0, 1)).plane(np.array([[100.0, 40.0]])).tolist()
    [[5.0, 2.0]]
    """

    size: tuple[int, int]
    unit: str
    homography: tuple[float, ...]
    lens: tuple[float, ...] = (0.0, 0.0)
    method: str = "number"
    error: float = 0.0
    scale_error: float = 0.0

    def __post_init__(self) -> None:
        PixelSize(1.0, 1.0, self.unit)
        object.__setattr__(self, "homography", tuple(float(v) for v in self.homography))
        numbers = np.array([*self.homography, *self.lens, self.error, self.scale_error])
        if len(self.homography) != 9 or len(self.lens) != 2 or not np.isfinite(numbers).all():
            raise ConfigError("a calibration has 9 numbers of a homography and 2 of a lens, all finite")
        if min(self.size) < 1 or self.error < 0 or self.scale_error < 0:
            raise ConfigError("a calibration has a size of at least 1 x 1 pixels, and errors of at least 0")
        matrix = np.array(self.homography).reshape(3, 3)
        if abs(np.linalg.det(matrix)) <= 1e-12 * np.abs(matrix).max() ** 3:
            raise ConfigError("the calibration maps the image to a line: its points lie on one line")

    def check(self, size: tuple[int, int]) -> None:
        """Refuse images of another size.

        Raises
        ------
        InvalidInstancesError
            If an image of this (height, width) cannot come from the calibrated camera.
        """
        if tuple(size) != tuple(self.size):
            raise InvalidInstancesError(
                f"the calibration holds for images of {self.size[0]} x {self.size[1]} pixels (height x width), and "
                f"this one has {size[0]} x {size[1]}; calibrate with a photo as the camera takes them"
            )

    def straight(self, points: Array) -> Float:
        """Return where a lens without distortion would show points (P, 2), in pixels."""
        points = np.asarray(points, np.float64)
        if self.lens == (0.0, 0.0):
            return points
        middle, unit = np.array(self.size[::-1]) / 2, max(self.size)
        seen = (points - middle) / unit
        out = seen.copy()
        for _ in range(30):
            square = (out * out).sum(1, keepdims=True)
            out = seen / (1 + square * (self.lens[0] + square * self.lens[1]))
        return out * unit + middle

    def plane(self, points: Array) -> Float:
        """Return the places on the plane of points (P, 2) in pixels (x, y; edges of pixels at whole numbers)."""
        points = self.straight(points)
        h = np.array(self.homography).reshape(3, 3)
        out = points @ h[:, :2].T + h[:, 2]
        return np.asarray(out[:, :2] / out[:, 2:])

    def stretch(self, points: Array) -> Float:
        """Return the Jacobian of `plane` at each point: float64 (P, 2, 2), in units per pixel."""
        points, step = np.asarray(points, np.float64), 0.5
        columns = [(self.plane(points + d) - self.plane(points - d)) / (2 * step) for d in np.eye(2) * step]
        return np.stack(columns, axis=2)

    def save(self, path: Path | str) -> None:
        """Write a JSON file, atomically."""
        text = json.dumps({"version": _VERSION, **dataclasses.asdict(self)}, indent=1, allow_nan=False)
        write_text(Path(path), text + "\n")

    @classmethod
    def load(cls, path: Path | str) -> Calibration:
        """Read a file that `save` has written.

        Raises
        ------
        FormatError
            If it is no such file; says what is wrong.
        """
        with json_file(Path(path)) as content:
            version = content.pop("version", None) if isinstance(content, dict) else None
            if version != _VERSION:
                raise StrictError(f"is no calibration of version {_VERSION}; make one with apiece calibrate")
            return dataclass_from(cls, content, "calibration")
