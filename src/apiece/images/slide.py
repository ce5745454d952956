"""Slides of microscope scanners that are no TIFF (MIRAX, Hamamatsu VMS, Zeiss, DICOM, Sakura), through OpenSlide.

OpenSlide gives 8-bit colours with an alpha channel, which is 0 where the scanner stored nothing. It places windows of a
level by pixels of level 0. So a level is used only if its pixels are a whole number of these; windows of any other
would be off by parts of a pixel. TIFF slides (SVS, NDPI, SCN) are read as TIFF, also because OpenSlide gives only the
upper 8 of 16 bits. Needs the extra ``slides``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece._extras import extras
from apiece.core.image import PixelSize
from apiece.errors import ConfigError
from apiece.images.contract import Box, Decoded, ImageReader, Pyramid, check_page, check_size

__all__ = ["READER"]

_SUFFIXES = (".mrxs", ".vms", ".vmu", ".svslide", ".czi", ".dcm")
_WHOLE = 1e-6  # by how much a factor may differ from a whole number: rounding


@contextmanager
def _opened(path: Path, page: int | None) -> Iterator[Any]:
    check_page(path, page, 1)
    with extras():
        import openslide
    with openslide.OpenSlide(path) as slide:
        yield slide


@contextmanager
def _pyramid(path: Path, page: int | None) -> Iterator[Pyramid | None]:
    with _opened(path, page) as slide:
        factors = slide.level_downsamples
        used = [k for k, factor in enumerate(factors) if k == 0 or abs(factor - round(factor)) < _WHOLE]

        def pixels(level: int, box: Box) -> Array:
            x0, y0, x1, y1 = box
            k = used[level]
            corner = (x0 * round(factors[k]), y0 * round(factors[k]))
            return np.asarray(slide.read_region(corner, k, (x1 - x0, y1 - y0)))

        sizes = tuple((height, width) for width, height in (slide.level_dimensions[k] for k in used))
        yield Pyramid(path, sizes, 4, np.dtype(np.uint8), pixels, _pixel_size(slide.properties), "unassociated")


def _pixel_size(properties: Any) -> PixelSize | None:
    try:
        return PixelSize(float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"]), "um")
    except (KeyError, ValueError, ConfigError):
        return None


def _size(path: Path, page: int | None) -> tuple[int, int]:
    with _opened(path, page) as slide:
        width, height = slide.dimensions
        return int(height), int(width)


def _read(path: Path, page: int | None, max_pixels: int) -> Decoded:
    with _pyramid(path, page) as pyramid:
        assert pyramid is not None
        height, width = pyramid.size
        check_size(path, pyramid.size, pyramid.channels, max_pixels)
        return Decoded(pyramid.pixels(0, (0, 0, width, height)), pixel_size=pyramid.pixel_size, alpha=pyramid.alpha)


READER = ImageReader("slide", lambda head: False, _size, _read, pyramid=_pyramid, suffixes=_SUFFIXES)
