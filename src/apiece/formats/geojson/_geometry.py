"""Where pixels lie in the world: six numbers, stated by a label file or by a world file beside the image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Float
from apiece.errors import FormatError

Affine = tuple[float, float, float, float, float, float]
"""GDAL's order: x of the upper left corner, x per column, x per row, y of the corner, y per column, y per row."""


def checked_transform(value: Any) -> Affine | None:
    """Return six numbers as a transform that can be undone; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) != 6 or not all(type(v) in (int, float) for v in value):
        return None
    try:
        found = tuple(float(v) for v in value)
    except OverflowError:
        return None
    x0, dx, rx, y0, ry, dy = found
    if not np.isfinite(found).all() or dx * dy - rx * ry == 0:
        return None
    try:
        back = _inverse(dx, rx, ry, dy)
    except np.linalg.LinAlgError:  # what is left of rounding is no determinant
        return None
    return (x0, dx, rx, y0, ry, dy) if np.isfinite(back).all() else None


def _inverse(dx: float, rx: float, ry: float, dy: float) -> Float:
    return np.linalg.inv(np.array([[dx, ry], [rx, dy]]))


def to_world(points: Float, transform: Affine) -> Float:
    """Return pixel coordinates (K, 2) in the world; not finite where doubles do not reach."""
    x0, dx, rx, y0, ry, dy = transform
    with np.errstate(over="ignore", invalid="ignore"):
        world: Float = points @ np.array([[dx, ry], [rx, dy]]) + np.array([x0, y0])
    return world


def to_pixels(points: Float, transform: Affine) -> Float:
    """Return world coordinates (K, 2) in pixels; not finite where doubles do not reach."""
    x0, dx, rx, y0, ry, dy = transform
    with np.errstate(over="ignore", invalid="ignore"):
        pixels: Float = (points - np.array([x0, y0])) @ _inverse(dx, rx, ry, dy)
    return pixels


def world_file(image: Path) -> Affine | None:
    """Return the transform in a world file beside an image (``.pgw``, ``.pngw``, ``.wld``); None without such a file.

    A world file speaks of the centre of the upper left pixel.
    """
    ending = image.suffix
    short = ending[:2] + ending[-1:] + "w" if len(ending) > 3 else ending + "w"
    for suffix in (short, ending + "w", ".wld"):
        path = image.with_suffix(suffix)
        if len(suffix) < 3 or not path.is_file():
            continue
        try:
            if path.stat().st_size > 4096:
                raise ValueError
            a, d, b, e, c, f = (float(word) for word in path.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            raise FormatError(path, "a world file holds six numbers, one a line") from None
        found = checked_transform((c - a / 2 - b / 2, a, b, f - d / 2 - e / 2, d, e))
        if found is None:
            raise FormatError(path, "its six numbers place all pixels on one line")
        return found
    return None
