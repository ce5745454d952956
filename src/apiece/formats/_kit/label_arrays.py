"""Label maps as NumPy files: ``.npy``, or ``.npz`` with one such array. Files of Python objects are never loaded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as numpy_format

from apiece._arrays import Array
from apiece.errors import FormatError

ARRAY_SUFFIXES = (".npy", ".npz")
_NAMES = ("instances", "masks", "mask", "labels", "label", "label_map", "instance_map", "inst_map", "y")
"""What tools call the label map among several arrays."""
_INFLATION = 1100  # deflate cannot pack tighter than about 1030 : 1
_MAX_PIXELS = 1 << 30


def is_label_array(path: Path) -> bool:
    """Return whether a file holds one array of integers that has a height and a width, by its header."""
    with _label_map(path) as (_, dtype, _file):
        return dtype.kind in "biu"


def read_label_array(path: Path) -> Array:
    """Return the label map of a file, (height, width)."""
    with _label_map(path) as (shape, dtype, file):
        if dtype.kind not in "biuf":
            raise FormatError(path, f"holds values of a kind ({dtype}) that cannot be read")
        array = numpy_format.read_array(file, allow_pickle=False)
    array = array.reshape(_sides(shape))
    return array.view(np.uint8) if dtype.kind == "b" else array.astype(dtype.newbyteorder("="), copy=False)


@contextmanager
def _label_map(path: Path) -> Iterator[tuple[tuple[int, ...], np.dtype, IO[bytes]]]:
    """Open the one array that is a label map: its shape, its type, and the file to read it from."""
    if path.suffix.lower() == ".npy":
        with path.open("rb") as file:
            shape, dtype = _head(path, file)
            _check(path, shape, dtype, path.stat().st_size, 1)
            file.seek(0)
            yield shape, dtype, file
        return
    with zipfile.ZipFile(path) as archive:
        heads = {}
        for member in (name for name in archive.namelist() if name.endswith(".npy")):
            with archive.open(member) as file:
                heads[member.removesuffix(".npy")] = _head(path, file)
        flat = [name for name, (shape, dtype) in heads.items() if len(_sides(shape)) == 2 and dtype.kind in "biuf"]
        chosen = flat if len(flat) == 1 else [name for name in flat if name.lower() in _NAMES]
        if len(chosen) != 1:
            arrays = ", ".join(f"{name} {shape}" for name, (shape, _) in list(heads.items())[:8])
            raise FormatError(path, f"must hold one label map (height, width); its arrays are: {arrays or 'none'}")
        member = chosen[0] + ".npy"
        _check(path, *heads[chosen[0]], archive.getinfo(member).compress_size, _INFLATION)
        with archive.open(member) as file:
            yield (*heads[chosen[0]], file)


def _head(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = numpy_format.read_magic(file)
    read = numpy_format.read_array_header_1_0 if version == (1, 0) else numpy_format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
        raise FormatError(path, "holds Python objects (a pickle), which could run anything: they are never loaded")
    return shape, dtype


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without axes of length 1, as (1, height, width) and (height, width, 1) have them."""
    return shape if len(shape) <= 2 else tuple(n for n in shape if n != 1)


def _check(path: Path, shape: tuple[int, ...], dtype: np.dtype, stored: int, inflation: int) -> None:
    if len(_sides(shape)) != 2:
        said = f"is of shape {shape}, where a label map is (height, width)"
        raise FormatError(path, f"{said}: save one for each image, or a TIFF stack with axes ZYX or TYX")
    pixels = shape[0] * int(np.prod(shape[1:]))
    if pixels > _MAX_PIXELS or pixels * dtype.itemsize > stored * inflation:
        raise FormatError(path, f"claims {pixels} pixels, which its {stored} bytes cannot hold; it is cut short")
