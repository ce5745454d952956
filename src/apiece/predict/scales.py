"""Predict at the scale that a model learned: the level of a pyramid, resampled to the model's pixel size."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from apiece._arrays import Array
from apiece._scipy import sp
from apiece.core.image import PixelSize
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand
from apiece.errors import ConfigError, ImageError, Option
from apiece.images import Box, Pyramid, place_of
from apiece.transforms.input import ModelInput

__all__ = ["at_learned_scale", "rescaled"]

_log = logging.getLogger("apiece")
_ALIKE = 1.05  # pixel sizes that differ by less are the same


def at_learned_scale(pyramid: Pyramid, wanted: str, spec: ModelInput) -> Pyramid:
    """Return an open image with the pixels that a model learned at, read from the level that is next finer.

    Parameters
    ----------
    pyramid : the image.
    wanted : its pixel size, as `PixelSize.parse` reads it; ``"auto"``: as the file states it.
    spec : says what pixel size the model learned at.

    Raises
    ------
    ConfigError, ImageError
        If the model knows no pixel size, or the image states none.
    """
    learned = None if spec.learned is None else spec.learned.pixel_size
    if learned is None:
        raise ConfigError(
            "the model knows no pixel size: its training images stated none, or different ones; leave out "
            + Option("pixel_size", wanted)
            + ", or take a model that was trained on images which all state the same"
        )
    own = pyramid.pixel_size if wanted == "auto" else PixelSize.parse(wanted)
    if own is None:
        raise ImageError(pyramid.path, _no_size(pyramid.path) + "; give it, such as " + Option("pixel_size", "0.5 um"))
    own = own.to("um")
    height, width = pyramid.size
    down, across = learned / own.y, learned / own.x
    if max(down, 1 / down) < _ALIKE and max(across, 1 / across) < _ALIKE:
        return pyramid
    size = max(round(height / down), 1), max(round(width / across), 1)
    finer = [k for k, level in enumerate(pyramid.levels) if level[0] >= size[0] and level[1] >= size[1]]
    level = max(finer, default=0)
    _log.info(
        "%s: %s a pixel, learned at %g um: level %d of %d x %d pixels is taken as %d x %d",
        *(pyramid.path.name, own, learned, level, *pyramid.levels[level], *size),
    )
    if pyramid.levels[level] == size:
        pixels = lambda _, box: pyramid.window(box, level).pixels  # noqa: E731
    else:
        pixels = lambda _, box: _resampled(pyramid, level, size, box)  # noqa: E731
    return replace(pyramid, levels=(size,), pixels=pixels, pixel_size=PixelSize(learned, learned, "um"))


def _no_size(path: Path) -> str:
    """Return why an image has no pixel size."""
    place = place_of(path) if path.is_file() else None
    if place is None:
        return "states no pixel size"
    return f"is in {place.crs}, whose units are degrees, so its pixels have no size; reproject it to a system in metres"


def _resampled(pyramid: Pyramid, level: int, size: tuple[int, int], box: Box) -> Array:
    """Return a window of the level resampled to ``size``: what the whole level, resampled, has there."""
    x0, y0, x1, y1 = box
    rows, top = _weights(pyramid.levels[level][0], size[0], y0, y1)
    columns, left = _weights(pyramid.levels[level][1], size[1], x0, x1)
    window = pyramid.window((left, top, left + columns.shape[1], top + rows.shape[1]), level)
    seen, data = window.pixels, None if window.alpha == "associated" else window.data

    def mean(values: Array) -> Array:
        return np.asarray((rows @ values.astype(np.float64)) @ columns.T)

    if data is None:
        values = np.stack([mean(seen[..., k]) for k in range(seen.shape[2])], axis=2)
    else:  # colours of pixels without data mean nothing; associated ones are 0 there, and are divided by alpha later
        share, colours = mean(data), seen.shape[2] - (window.alpha is not None)
        values = np.stack([mean(np.where(data, seen[..., k], 0)) for k in range(colours)], axis=2)
        values /= np.where(share > 0, share, 1)[..., None]
        if window.alpha is not None:
            values = np.append(values, mean(seen[..., -1])[..., None], 2)
        elif window.nodata is not None:
            values[share == 0] = window.nodata
    if seen.dtype.kind == "b":
        return np.asarray(values >= 0.5)
    return (np.rint(values) if seen.dtype.kind in "iu" else values).astype(seen.dtype)


def _weights(source: int, target: int, begin: int, end: int) -> tuple[sp.coo_array, int]:
    """Return how target pixels ``begin`` to ``end`` are made of source pixels, and the first of these.

    A triangle as wide as two pixels of the coarser grid weighs them: bilinear, and without aliases where it shrinks.
    """
    step = source / target
    reach = max(step, 1.0)
    centre = (np.arange(begin, end) + 0.5) * step
    first = np.floor(centre - reach).astype(int)
    count = int(np.ceil(2 * reach)) + 2
    index = first[:, None] + np.arange(count)
    weight = np.maximum(1 - np.abs(index + 0.5 - centre[:, None]) / reach, 0)
    weight /= weight.sum(1, keepdims=True)
    index = np.clip(index, 0, source - 1)  # the edge goes on beyond itself
    low, high = int(index.min()), int(index.max()) + 1
    row = np.repeat(np.arange(end - begin), count)
    return sp.coo_array((weight.ravel(), (row, index.ravel() - low)), shape=(end - begin, high - low)).tocsr(), low


def rescaled(found: Instances, size: tuple[int, int]) -> Instances:
    """Return instances on an image of another size: each pixel is of what lies under its centre."""
    full = None if found.full is None else _stretched(found.full, size)
    return found.replace(masks=_stretched(found.masks, size), full=full)


def _stretched(masks: Masks, size: tuple[int, int]) -> Masks:
    owner, x, y0, y1 = (values.astype(np.int64) for values in masks.runs.loose)
    left, right, top, bottom = (
        -((old - 2 * edge * new) // (2 * old))  # the first pixel whose centre lies at or behind the edge
        for edge, old, new in (
            (x, masks.size[1], size[1]), (x + 1, masks.size[1], size[1]),
            (y0, masks.size[0], size[0]), (y1, masks.size[0], size[0]),
        )
    )  # fmt: skip
    each = right - left
    run = np.repeat(np.arange(len(x)), each)
    return Masks.of_runs(size, Runs.pack((owner[run], expand(left, each), top[run], bottom[run]), len(masks), size))
