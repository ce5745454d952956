"""`Image`: pixels as they were stored, with their physical size; `ImageRef`: where an image is, unread."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt

from apiece import _show
from apiece._arrays import Array, Bool
from apiece.errors import ConfigError, ImageError, InvalidInstancesError

__all__ = ["Image", "ImageRef", "PixelSize", "Shape", "check_drawn_on"]

# every spelling that occurs in TIFF, OME and on command lines, to the one we print
_UNITS = {
    "nm": "nm", "nanometer": "nm", "nanometre": "nm",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm",
    "cm": "cm", "centimeter": "cm", "centimetre": "cm",
    "m": "m", "meter": "m", "metre": "m",
    "in": "in", "inch": "in",
}  # fmt: skip
_METRES = {"nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "in": 0.0254}
_PIXEL_SIZE = re.compile(r"\s*([0-9.eE+-]+)\s*(?:[x×,]\s*([0-9.eE+-]+)\s*)?([A-Za-zµμ]+)(?:\s*/\s*(?:px|pixel))?\s*")


@dataclass(frozen=True)
class PixelSize:
    """Hold the physical width and height of one pixel.

    Attributes
    ----------
    x, y : width and height of a pixel, in ``unit``; finite and greater than 0.
    unit : ``nm``, ``um``, ``mm``, ``cm``, ``m`` or ``in`` (other spellings are accepted and normalised).
    """

    x: float
    y: float
    unit: str = "um"

    def __post_init__(self) -> None:
        unit = _UNITS.get(self.unit.strip().lower())
        if unit is None:
            raise ConfigError(f"unknown unit of length {self.unit!r}; use one of {', '.join(sorted(_METRES))}")
        object.__setattr__(self, "unit", unit)
        if not (np.isfinite([self.x, self.y]).all() and self.x > 0 and self.y > 0):
            raise ConfigError(f"pixel size must be finite and greater than 0, got {self.x} x {self.y} {self.unit}")

    @classmethod
    def parse(cls, text: str) -> PixelSize:
        """Read ``"0.5 um"``, ``"0.5um/px"`` or ``"0.5 x 0.4 um"`` (width first).

        Raises
        ------
        ConfigError
            If the text is none of these.

        Examples
        --------
        >>> apiece.PixelSize.parse("500 x 400 nm/px").to("um")
        PixelSize(x=0.5, y=0.4, unit='um')
        """
        match = _PIXEL_SIZE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            x = float(match[1])
            y = float(match[2]) if match[2] else x
        except ValueError:
            raise ConfigError(f"cannot read pixel size {text!r}; write it as '0.5 um' or '0.5 x 0.4 um'") from None
        return cls(x, y, match[3])

    def to(self, unit: str) -> PixelSize:
        """Return the same size in another unit."""
        target = PixelSize(1.0, 1.0, unit).unit
        factor = _METRES[self.unit] / _METRES[target]
        return PixelSize(self.x * factor, self.y * factor, target)

    def __str__(self) -> str:
        value = f"{self.x:g}" if self.x == self.y else f"{self.x:g} x {self.y:g}"
        return f"{value} {self.unit}"


@dataclass(frozen=True, eq=False)
class Image:
    """Hold pixels exactly as stored: no rescaling, no conversion, no dropped channel.

    Attributes
    ----------
    pixels : array of shape (height, width, channels), any integer, float or bool dtype; a 2-D array gets one channel.
    pixel_size : physical size of a pixel, if known.
    path : the file it came from, if any.
    alpha : how the last channel is an alpha channel: ``"unassociated"``, or ``"associated"``, which is to say that the
        other channels were multiplied by it; None if it is none. Only the file can say so.
    nodata : the value of pixels that hold nothing, which have it in every channel (NaN is one, too), as GDAL writes it;
        None if there is none.

    Examples
    --------
    >>> tile = apiece.Image(np.array([[[10, 255], [77, 0]]], np.uint8), alpha="unassociated")
    >>> tile.channels, tile.data.tolist()
    (2, [[True, False]])
    >>> tile.colours().pixels[..., 0].tolist()
    [[10, 10]]
    """

    pixels: Array
    pixel_size: PixelSize | None = None
    path: Path | None = None
    alpha: Literal["unassociated", "associated"] | None = None
    nodata: float | None = None

    def __post_init__(self) -> None:
        given: object = self.pixels
        if isinstance(given, str | Path):
            raise InvalidInstancesError(
                f"an image is its pixels, got a path; read it with apiece.read_image({str(given)!r})"
            )
        pixels = np.asarray(self.pixels)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.ndim != 3 or pixels.dtype.kind not in "buif":
            raise InvalidInstancesError(
                f"an image is a number array of shape (height, width) or (height, width, channels); "
                f"got shape {pixels.shape}, dtype {pixels.dtype}"
            )
        object.__setattr__(self, "pixels", pixels)
        if self.alpha not in (None, "unassociated", "associated"):
            raise ConfigError(f"alpha must be 'unassociated', 'associated' or None, got {self.alpha!r}")
        if self.alpha is not None and self.channels < 2:
            raise InvalidInstancesError("an image of one channel has no alpha channel beside it")
        if self.alpha is not None and self.nodata is not None:
            raise ConfigError("an image has an alpha channel or a nodata value, not both")

    @property
    def data(self) -> Bool | None:
        """Where there is anything to be seen, bool (height, width): alpha is above 0, or a channel has data.

        None if that is all of it."""
        shown: Bool
        if self.alpha is not None:
            shown = self.pixels[:, :, -1] > 0
        elif self.nodata is not None:
            some = ~np.isnan(self.pixels) if np.isnan(self.nodata) else self.pixels != self.nodata
            shown = np.any(some, axis=2)
        else:
            return None
        return None if shown.all() else shown

    def colours(self) -> Image:
        """Return the image without its alpha channel and pixels of ``nodata``; itself if it has neither.

        Colours that were multiplied by alpha are divided by it. Ground that is transparent or ``nodata``, whose stored
        colours mean nothing, gets the median of the rest in each channel.
        """
        if self.alpha is None and self.nodata is None:
            return self
        pixels, alpha = self.pixels[:, :, : -1 if self.alpha else None], self.pixels[:, :, -1]
        full = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "iu" else 1
        if self.alpha == "associated" and (partial := (alpha > 0) & (alpha < full)).any():
            pixels = pixels.copy()
            values = pixels[partial] * (full / alpha[partial].astype(np.float64))[:, None]
            pixels[partial] = (np.rint(values) if pixels.dtype.kind in "iu" else values).clip(0, full)
        shown = self.data
        if shown is not None:
            seen = pixels[shown]
            middle = np.median(seen[:: max(len(seen) // 4096, 1)], axis=0) if len(seen) else np.zeros(pixels.shape[2])
            pixels = np.where(shown[:, :, None], pixels, middle.astype(pixels.dtype))
        return replace(self, pixels=np.ascontiguousarray(pixels), alpha=None, nodata=None)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return int(self.pixels.shape[0]), int(self.pixels.shape[1])

    @property
    def channels(self) -> int:
        """Number of channels, alpha among them."""
        return int(self.pixels.shape[2])

    def _repr_png_(self) -> bytes:
        return _show.png(self)

    def __repr__(self) -> str:
        height, width = self.size
        known = "".join(f", {x}" for x in (self.pixel_size, self.path) if x is not None)
        alpha = "" if self.alpha is None else ", the last one alpha"
        alpha += "" if self.nodata is None else f", nodata {self.nodata:g}"
        return f"Image({height} x {width}, {self.channels} x {self.pixels.dtype}{alpha}{known})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Array:
        return np.array(self.pixels, dtype=dtype, copy=copy)


@dataclass(frozen=True)
class Shape:
    """Hold what a label file says of an image that is no mask, and so no instance: points, a line, a tag.

    Attributes
    ----------
    kind : what the format calls it: ``"polyline"``, ``"keypoint"``, ``"tag"``.
    format : the format whose writer can write it again.
    content : the element as that format's file has it; None where its writer cannot write it either.
    labels : the classes it names: the name that ``content`` has, and the one it has now.
    """

    kind: str
    format: str
    content: Any = None
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, kind: str, format: str, content: Any, names: Iterable[Any]) -> Self:
        """Return a shape that names these classes; what is no text is no name."""
        return cls(kind, format, content, {name: name for name in names if isinstance(name, str)})

    def now(self, name: Any) -> Any:
        """Return the name that a class of ``content`` has now; anything else as it is."""
        return self.labels.get(name, name) if isinstance(name, str) else name


@dataclass(frozen=True)
class ImageRef:
    """Refer to an image that a label file names, without opening it.

    Attributes
    ----------
    path : where the pixels are (may not exist: labels can be used without them).
    name : as the label file spells it; the key that joins ground truth and predictions.
    size : (height, width) the labels were drawn on, if stated.
    id : the label file's own id, if it has one.
    attributes : whatever else the file says of the image (``modality``, ``license`` ...).
    page : which page of the file at ``path`` it is, from 0, where that is a stack; None for a file of one image.
    shapes : what the file says of the image that is no mask; the writer of the same format writes it again.
    """

    path: Path
    name: str
    size: tuple[int, int] | None = None
    id: int | str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    page: int | None = None
    shapes: tuple[Shape, ...] = field(default=(), hash=False)


class _Sized(Protocol):
    @property
    def size(self) -> tuple[int, int]: ...


def check_drawn_on(image: _Sized, size: tuple[int, int], path: Path) -> None:
    """Refuse an image, read from ``path``, whose size is not the (height, width) that its labels were drawn on.

    Raises
    ------
    ImageError
        If the sizes differ; says what the reason may be.
    """
    if image.size == size:
        return
    hint = "these labels belong to another or a resized image"
    if image.size == size[::-1]:
        hint = (
            "its sides are exchanged: the labels were drawn on the pixels as stored, before the rotation that the "
            "photo's EXIF entry asks for; rotate the labels, or remove the entry from the photo"
        )
    raise ImageError(
        path,
        f"the image is {image.size[0]} x {image.size[1]} pixels (height x width), "
        f"but its labels were drawn on {size[0]} x {size[1]}; {hint}",
    )
