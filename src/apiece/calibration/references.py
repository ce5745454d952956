"""Calibration by one known length in the picture; the camera looks straight at the plane."""

from __future__ import annotations

import numpy as np

from apiece.calibration.camera import Calibration, length
from apiece.core.image import PixelSize
from apiece.core.masks import Masks
from apiece.errors import ConfigError

__all__ = ["from_pixel_size", "from_reference", "from_scale_bar"]

_POINT = 0.5  # pixels: standard uncertainty of a point that a person gives


def _scaled(size: tuple[int, int], x: float, y: float, unit: str, method: str, scale_error: float) -> Calibration:
    return Calibration((size[0], size[1]), unit, (x, 0, 0, 0, y, 0, 0, 0, 1), method=method, scale_error=scale_error)


def from_pixel_size(size: tuple[int, int], pixel_size: PixelSize | str) -> Calibration:
    """Return the calibration of a known pixel size, given or from a file's metadata.

    Examples
    --------
    >>> apiece.calibration.from_pixel_size((480, 640), "0.5 um").unit
    'um'
    """
    known = PixelSize.parse(pixel_size) if isinstance(pixel_size, str) else pixel_size
    return _scaled(size, known.x, known.y, known.unit, "pixel size", 0.0)


def from_scale_bar(
    size: tuple[int, int], begin: tuple[float, float], end: tuple[float, float], known: str
) -> Calibration:
    """Return the calibration of two points (x, y) in pixels that are a known length apart.

    Raises
    ------
    ConfigError
        If the points are one point, or lie outside of the image, or the length is none.

    Examples
    --------
    >>> apiece.calibration.from_scale_bar((480, 640), (10, 10), (110, 10), "5 mm").homography[0]
    0.05
    """
    value, unit = length(known)
    points = np.array([begin, end], np.float64)
    if not np.isfinite(points).all() or (points < 0).any() or (points > np.array(size[::-1])).any():
        raise ConfigError(f"the points of the scale bar must lie within the image of {size[1]} x {size[0]} pixels")
    far = float(np.hypot(*(points[1] - points[0])))
    if far < 2:
        raise ConfigError(
            f"the points of the scale bar are {far:.2g} pixels apart; give the two ends of a known length"
        )
    return _scaled(size, value / far, value / far, unit, "scale bar", _POINT * 2**0.5 / far)


def from_reference(masks: Masks, known: str) -> Calibration:
    """Return the calibration of round objects of one known diameter, such as a coin.

    Raises
    ------
    ConfigError
        If there is no such object, or if it is not round: then the camera looks at it from the side.

    Examples
    --------
    >>> y, x = np.mgrid[:100, :100] + 0.5
    >>> coin = apiece.Masks.from_dense([np.hypot(x - 50, y - 50) < 40])
    >>> round(apiece.calibration.from_reference(coin, "23.25 mm").homography[0], 3)
    0.291
    """
    value, unit = length(known)
    area = masks.area[masks.area > 0]
    if not len(area):
        raise ConfigError("there is no object of the reference class in the photo; lower conf, or give a scale bar")
    box = masks.boxes[masks.area > 0].astype(np.float64)
    sides = box[:, 2:] - box[:, :2]
    if (sides.max(1) > 1.15 * sides.min(1) + 2).any():
        raise ConfigError(
            "the reference object is not round: take the photo from straight above, or calibrate with a checkerboard"
        )
    pixels = np.sqrt(4 / np.pi * area)
    spread = pixels.std(ddof=1) / len(pixels) ** 0.5 if len(pixels) > 1 else 0.3
    return _scaled(
        masks.size,
        float(value / pixels.mean()),
        float(value / pixels.mean()),
        unit,
        "reference object",
        float(spread / pixels.mean()),
    )
