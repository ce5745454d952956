"""Depth images, and the pinhole camera that turns a pixel and its depth into a place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float
from apiece._strict_json import StrictError
from apiece.calibration._json_file import json_file
from apiece.calibration.camera import Calibration
from apiece.core.image import PixelSize
from apiece.errors import ConfigError, ImageError, InvalidInstancesError, Option
from apiece.images import read_image

__all__ = ["Intrinsics", "check_depth", "read_depth"]

_FAR = 100.0  # metres; a greater median depth is a wrong unit
_TILT = 0.03  # how much shorter, squared, a tilted plane has to look before it says anything about the focal length


@dataclass(frozen=True)
class Intrinsics:
    """Hold the pinhole camera of a depth image, whose lens is straightened.

    Attributes
    ----------
    size : (height, width) in pixels.
    fx, fy : focal length in pixels.
    cx, cy : principal point in pixels; the centre of the first pixel is (0, 0), as OpenCV, ROS and Open3D count.

    Raises
    ------
    ConfigError
        If the numbers are no camera.

    Examples
    --------
    >>> from apiece.calibration import Intrinsics
    >>> camera = Intrinsics((480, 640), 600.0, 600.0, 319.5, 239.5)
    >>> camera.points(np.array([[380.0, 240.0]]), np.array([0.5])).round(6).tolist()  # x right, y down, z ahead
    [[0.05, 0.0, 0.5]]
    """

    size: tuple[int, int]
    fx: float
    fy: float
    cx: float
    cy: float

    def __post_init__(self) -> None:
        numbers = np.array([self.fx, self.fy, self.cx, self.cy], np.float64)
        if not np.isfinite(numbers).all() or min(self.fx, self.fy) <= 0 or min(self.size) < 1:
            raise ConfigError("intrinsics are a size, focal lengths fx and fy above 0, and a principal point cx, cy")

    @property
    def focal(self) -> float:
        """Mean focal length in pixels."""
        return float(np.sqrt(self.fx * self.fy))

    def points(self, places: Float, depth: Float) -> Float:
        """Return places (P, 2; x, y in pixels, edges of pixels at whole numbers) in the camera's frame: metres (P, 3).

        Parameters
        ----------
        depth : metres (P,) along the camera's axis, as depth images hold it; not along the ray.
        """
        x = (places[:, 0] - 0.5 - self.cx) / self.fx * depth
        y = (places[:, 1] - 0.5 - self.cy) / self.fy * depth
        return np.stack((x, y, np.asarray(depth, np.float64)), 1)

    def check(self, size: tuple[int, int]) -> None:
        """Refuse pictures of another size.

        Raises
        ------
        InvalidInstancesError
            If a picture of this (height, width) cannot come from this camera.
        """
        if tuple(size) != tuple(self.size):
            raise InvalidInstancesError(
                f"the intrinsics hold for pictures of {self.size[0]} x {self.size[1]} pixels (height x width), and "
                f"this one has {size[0]} x {size[1]}"
            )

    @classmethod
    def load(cls, path: Path | str) -> Intrinsics:
        """Read a JSON file: ``width, height, fx, fy, cx, cy``, Open3D's ``intrinsic_matrix``, or `apiece calibrate`'s.

        Raises
        ------
        FormatError
            If it is none of them; says what is missing.
        """
        with json_file(Path(path)) as content:
            if isinstance(content, dict) and "homography" in content:
                return cls.from_calibration(Calibration.load(path))
            return cls._of(content)

    @classmethod
    def _of(cls, content: Any) -> Intrinsics:
        if not isinstance(content, dict):
            raise StrictError("is no JSON object with width, height, fx, fy, cx and cy")
        matrix = content.get("intrinsic_matrix")
        if isinstance(matrix, list) and len(matrix) == 9:  # Open3D writes columns
            content = content | dict(zip(("fx", "fy", "cx", "cy"), (matrix[k] for k in (0, 4, 6, 7)), strict=True))
        names = ("height", "width", "fx", "fy", "cx", "cy")
        for name in names:
            value = content.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise StrictError(f"has no number {name!r}; intrinsics are {', '.join(names)}")
        height, width, *numbers = (content[name] for name in names)
        return cls((int(height), int(width)), *map(float, numbers))

    @classmethod
    def from_calibration(cls, calibration: Calibration) -> Intrinsics:
        """Return the camera that saw a calibrated plane; its principal point is the middle of the picture.

        The sides of a square on the plane are equal and at right angles, which the focal length has to explain
        (Zhang 2000, with one unknown).

        Raises
        ------
        ConfigError
            If the camera looks straight at the plane: then no focal length can be told.
        """
        middle = np.array(calibration.size[::-1]) / 2
        to_image = np.linalg.inv(np.array(calibration.homography).reshape(3, 3))
        to_image[:2] -= middle[:, None] * to_image[2]
        one, two = to_image[:, 0], to_image[:, 1]
        seen = np.array([one[:2] @ two[:2], one[:2] @ one[:2] - two[:2] @ two[:2]])
        depth = np.array([one[2] * two[2], one[2] ** 2 - two[2] ** 2])
        whole = one[:2] @ one[:2] + two[:2] @ two[:2]
        square = -(seen @ depth) / max(seen @ seen, 1e-300)
        if np.hypot(*seen) < _TILT * whole or square <= 0:
            raise ConfigError(
                "the calibration's board was seen face on, so its photo does not tell the focal length; tilt the board "
                "by 30 degrees, or give the camera's own numbers with " + Option("intrinsics", ...)
            )
        focal = float(1 / np.sqrt(square))
        return cls(calibration.size, focal, focal, float(middle[0] - 0.5), float(middle[1] - 0.5))


def read_depth(path: Path | str, size: tuple[int, int] | None = None, depth_unit: str | None = None) -> Float:
    """Read a depth image: float64 (H, W) in metres, NaN where nothing was measured.

    Parameters
    ----------
    size : (height, width) of its photo.
    depth_unit : of its values, such as ``"mm"``. By default whole numbers are millimetres and floats are metres. 0,
        negative values, NaN and infinity are no measurement.

    Raises
    ------
    ImageError
        If it has several channels or another size, holds no depth at all, or seems to be in another unit.
    """
    path = Path(path)
    image = read_image(path)
    if image.channels != 1:
        raise ImageError(path, f"is no depth image: it has {image.channels} channels; a depth image has one")
    pixels = image.pixels[..., 0]
    scale = PixelSize(1.0, 1.0, depth_unit or ("m" if pixels.dtype.kind == "f" else "mm")).to("m").x
    try:
        depth = check_depth(pixels.astype(np.float64) * scale, size)
    except InvalidInstancesError as error:
        raise ImageError(path, str(error)) from None
    middle = float(np.nanmedian(depth))
    if middle > _FAR and depth_unit is None:
        raise ImageError(
            path,
            f"the depth in the middle is {middle:,.0f} m; name the unit of the values with "
            + Option("depth_unit", "mm"),
        )
    return depth


def check_depth(depth: npt.ArrayLike, size: tuple[int, int] | None = None) -> Float:
    """Return depth in metres as float64 (H, W), NaN for what is no measurement.

    Raises
    ------
    InvalidInstancesError
        If it has another size than its photo, or holds no measurement.
    """
    found = np.asarray(depth, np.float64)
    if found.ndim != 2 or (size is not None and found.shape != tuple(size)):
        shape = " x ".join(map(str, found.shape))
        wanted = "(height, width)" if size is None else f"{size[0]} x {size[1]}"
        raise InvalidInstancesError(
            f"the depth image is {shape} pixels (height x width), and its photo is {wanted}; let the camera's driver "
            "register depth to colour, so that both show the same pixels"
        )
    found = np.where(np.isfinite(found) & (found > 0), found, np.nan)
    if np.isnan(found).all():
        raise InvalidInstancesError("there is no depth in the depth image: every pixel is NaN, infinite, 0 or below")
    return found
