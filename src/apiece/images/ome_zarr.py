"""OME-Zarr 0.4 and 0.5 (Zarr 2 and 3, sharded or not), and plain Zarr arrays of two axes.

An image is a folder with ``multiscales`` in its attributes (https://ngff.openmicroscopy.org). Of axes t, c, z, y, x the
channels become channels; ``page`` counts time points and planes, time first. Only the chunks of a window are read, so
images of any size open. Needs the extra ``zarr``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece._extras import extras
from apiece.core.image import PixelSize
from apiece.errors import ConfigError, ImageError
from apiece.images.contract import Box, Decoded, ImageReader, Pyramid, check_page, check_size

__all__ = ["READER"]

_MARKS = (".zgroup", ".zarray", "zarr.json")
_PLANES = ("t", "z")


@dataclass(frozen=True)
class _Plane:
    """The levels of one plane: an array each, its axes by name, and which index of time and depth it has."""

    arrays: tuple[Any, ...]
    axes: tuple[str, ...]
    index: Mapping[str, int]
    pixel_size: PixelSize | None

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        y, x = self.axes.index("y"), self.axes.index("x")
        return tuple((int(array.shape[y]), int(array.shape[x])) for array in self.arrays)

    @property
    def channels(self) -> int:
        return int(self.arrays[0].shape[self.axes.index("c")]) if "c" in self.axes else 1

    def pixels(self, level: int, box: Box) -> Array:
        x0, y0, x1, y1 = box
        where: dict[str, Any] = {"y": slice(y0, y1), "x": slice(x0, x1), "c": slice(None), **self.index}
        found = np.asarray(self.arrays[level][tuple(where[axis] for axis in self.axes)])
        kept = [axis for axis in self.axes if axis in "cyx"]
        if "c" not in kept:
            found, kept = found[..., None], [*kept, "c"]
        return np.ascontiguousarray(found.transpose([kept.index(axis) for axis in "yxc"]))


def _is_zarr(path: Path) -> bool:
    return any((path / mark).is_file() for mark in _MARKS)


def _plane(path: Path, page: int | None) -> _Plane:
    """Open the plane of a folder that ``page`` names."""
    with extras():
        import zarr

    node = zarr.open(store=str(path), mode="r")
    if isinstance(node, zarr.Array):
        if node.ndim != 2:
            raise ImageError(
                path, f"is a Zarr array of shape {node.shape} whose axes nobody names; OME-Zarr names them"
            )
        return _Plane((node,), ("y", "x"), {}, None)
    axes, arrays, size = _multiscale(node, path)
    for array in arrays:
        if array.dtype.kind not in "buif" or array.ndim != len(axes):
            raise ImageError(path, f"holds {array.dtype} with {array.ndim} axes where {'/'.join(axes)} are stated")
    shape = dict(zip(axes, arrays[0].shape, strict=True))
    counts = [int(shape.get(axis, 1)) for axis in _PLANES]
    number = check_page(path, page, math.prod(counts), f"planes (time and depth: {counts[0]} x {counts[1]})")
    index = dict(zip(_PLANES, divmod(number, counts[1]), strict=True))
    return _Plane(arrays, axes, {axis: index[axis] for axis in _PLANES if axis in axes}, size)


def _multiscale(group: Any, path: Path) -> tuple[tuple[str, ...], tuple[Any, ...], PixelSize | None]:
    """Return axes, arrays and pixel size of the first image in a group."""
    stated = group.attrs.get("ome", group.attrs)
    images = stated.get("multiscales") if isinstance(stated, Mapping) else None
    if not images:
        inside = ", ".join(sorted(group.keys())[:5])
        raise ImageError(path, f"is a Zarr group without an image; name one of its parts ({inside})")
    try:
        first = images[0]
        axes = tuple(axis if isinstance(axis, str) else axis["name"] for axis in first["axes"])
        arrays = tuple(group[one["path"]] for one in first["datasets"])
        units = {axis["name"]: axis.get("unit") for axis in first["axes"] if not isinstance(axis, str)}
        steps = first["datasets"][0].get("coordinateTransformations", ())
        scale = next((step["scale"] for step in steps if step["type"] == "scale"), None)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ImageError(path, f"is damaged: its multiscales cannot be read: {error!r}") from error
    if not {"y", "x"} <= set(axes) <= {"t", "c", "z", "y", "x"} or len(set(axes)) != len(axes):
        raise ImageError(path, f"has the axes {', '.join(map(str, axes))}; t, c, z, y and x are read")
    return axes, arrays, _size(axes, scale, units)


def _size(axes: tuple[str, ...], scale: Any, units: Mapping[str, Any]) -> PixelSize | None:
    if not isinstance(scale, list | tuple) or len(scale) != len(axes) or not units.get("x"):
        return None
    try:
        x, y = (PixelSize(float(scale[axes.index(a)]), 1.0, str(units[a])) for a in ("x", "y"))
    except (ConfigError, KeyError, ValueError, TypeError):  # a unit that is no length
        return None
    return PixelSize(x.x, y.to(x.unit).x, x.unit)


def _image_size(path: Path, page: int | None) -> tuple[int, int]:
    return _plane(path, page).sizes[0]


def _read(path: Path, page: int | None, max_pixels: int) -> Decoded:
    plane = _plane(path, page)
    height, width = plane.sizes[0]
    check_size(path, (height, width), plane.channels, max_pixels)
    return Decoded(plane.pixels(0, (0, 0, width, height)), pixel_size=plane.pixel_size)


@contextmanager
def _pyramid(path: Path, page: int | None) -> Iterator[Pyramid | None]:
    plane = _plane(path, page)
    dtype = np.dtype(plane.arrays[0].dtype).newbyteorder("=")
    stored = dict(zip(plane.axes, plane.arrays[0].chunks, strict=True))
    tile = (int(stored["y"]), int(stored["x"]))
    yield Pyramid(path, plane.sizes, plane.channels, dtype, plane.pixels, plane.pixel_size, tile=tile)


READER = ImageReader("OME-Zarr", lambda head: False, _image_size, _read, pyramid=_pyramid, folder=_is_zarr)
