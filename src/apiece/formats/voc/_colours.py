"""``labelmap.txt`` of CVAT and datumaro, ``name:r,g,b:parts:actions``, and label images in its colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array, UInt8
from apiece.errors import FormatError
from apiece.formats._kit.files import read_text
from apiece.formats._kit.label_images import colour_numbers, has_palette, read_colours, read_raster

LABELMAP = "labelmap.txt"
VOID = 255
_BACKGROUND, _BLACK = "background", (0, 0, 0)
_HEADER = "# label:color_rgb:parts:actions"
Colour = tuple[int, int, int]


def _palette() -> list[Colour]:
    """Return VOC's colours: bits of the index, dealt to red, green and blue from the highest bit down."""
    index, colours = np.arange(256), np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return [(r, g, b) for r, g, b in colours.tolist()]


PALETTE = _palette()


@dataclass(frozen=True)
class LabelMap:
    """What colours and values of label images mean: 0 is background, k the class number k, 255 void."""

    classes: tuple[str, ...]
    colours: Mapping[Colour, int]
    values: Mapping[int, int]
    """What values mean in images without colours."""
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Parts and actions of a class, as the file spells them."""
    stated: bool = False
    """Whether a file says so, and not only VOC's own palette."""

    @classmethod
    def of(cls, classes: tuple[str, ...]) -> LabelMap:
        """Return what VOC's own colours mean."""
        meant = {k: k for k in (*range(len(classes) + 1), VOID)}
        return cls(classes, {PALETTE[k]: k for k in meant}, meant)

    def palette(self) -> list[Colour]:
        """Return the colour of every number; VOC's own where the file says none."""
        own = {number: colour for colour, number in self.colours.items()}
        return [own.get(k, colour) for k, colour in enumerate(PALETTE)]

    def noted(self) -> dict[str, Any]:
        """Return the file as `LabelSet.metadata` keeps it."""
        rows = zip(self.classes, self.palette()[1:], strict=False)
        return {name: [list(colour), *self.more.get(name, ("", ""))] for name, colour in rows}

    def text(self) -> str:
        """Return the file; nothing where a class has a name that the file cannot hold."""
        if any(c != c.strip() or ":" in c or c.startswith("#") or c == _BACKGROUND for c in self.classes):
            return ""
        rows = zip((_BACKGROUND, *self.classes), self.palette(), strict=False)
        lines = [":".join([name, ",".join(map(str, c)), *self.more.get(name, ("", ""))]) for name, c in rows]
        return "\n".join([_HEADER, *lines, ""])


def labelmap_of(classes: tuple[str, ...], noted: Mapping[str, Any]) -> LabelMap:
    """Return the colours that `LabelMap.noted` kept of the classes; other classes get free ones of VOC's."""
    own: dict[str, Colour] = {name: tuple(colour) for name, (colour, *_) in noted.items()}
    free = (c for c in PALETTE[1:VOID] if c not in own.values())
    colours = {own.get(name) or next(free): k for k, name in enumerate(classes, 1)}
    more = {name: rest for name, (_, *rest) in noted.items()}
    return replace(LabelMap.of(classes), colours={_BLACK: 0, **colours, PALETTE[VOID]: VOID}, more=more)


def read_labelmap(path: Path) -> LabelMap:
    """Read the file; without colours, its lines have VOC's in their order."""
    said: dict[str, tuple[Colour | None, list[str]]] = {}
    for k, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, *rest = line.strip().split(":")
        if len(rest) != 3 or not name or name in said:
            raise FormatError(path, f"line {k}: must be name:r,g,b:parts:actions with a new name, got {line[:60]!r}")
        said[name] = _colour(path, k, rest[0]), rest[1:]
    stated = [colour for colour, _ in said.values()]
    ground = next((n for n, (colour, _) in said.items() if colour == _BLACK), _BACKGROUND)
    shift = int(ground not in said)  # then black and 0 are no class's
    if len(said) + shift > VOID:
        raise FormatError(path, f"has {len(said)} lines; label images of 8 bits hold {VOID - 1} classes")
    colours: list[Colour | None] = stated if any(stated) else list(PALETTE[shift : len(said) + shift])
    classes = [n for n, colour in zip(said, colours, strict=True) if n != ground and colour != PALETTE[VOID]]
    numbers = {ground: 0} | {name: k for k, name in enumerate(classes, 1)}
    meant = [numbers.get(name, VOID) for name in said]
    if len(set(colours) - {None}) < len(colours) - colours.count(None):
        raise FormatError(path, "has one colour for two classes; give each its own")
    return LabelMap(
        tuple(classes),
        {_BLACK: 0, PALETTE[VOID]: VOID} | {c: k for c, k in zip(colours, meant, strict=True) if c is not None},
        {0: 0, VOID: VOID} | dict(enumerate(meant, shift)),
        {name: more for name, (_, more) in said.items() if any(more)},
        True,
    )


def _colour(path: Path, line: int, text: str) -> Colour | None:
    parts = [p.strip() for p in text.split(",")]
    if parts == [""]:
        return None
    if len(parts) != 3 or not all(p.isascii() and p.isdecimal() and int(p) < 256 for p in parts):
        raise FormatError(path, f"line {line}: a colour is r,g,b of 0 to 255 each, got {text[:40]!r}")
    return int(parts[0]), int(parts[1]), int(parts[2])


def class_values(file: Path, meant: LabelMap) -> UInt8:
    """Return what each pixel of a label image of classes means, whether it has colours, a palette or values."""
    palette = has_palette(file)
    colours = None if palette and not meant.stated else read_colours(file)
    if colours is not None:
        found = _looked_up(colours, meant.colours)
        if (found >= 0).all():
            return found.astype(np.uint8)
        if not palette:
            r, g, b = colours[found < 0][0].tolist()
            raise FormatError(file, f"has pixels of the colour {r},{g},{b}, which is no class's; list it in {LABELMAP}")
    table = np.arange(256, dtype=np.uint8)  # a value that means nothing stays, and is refused with its object
    table[list(meant.values)] = list(meant.values.values())
    return table[byte_values(file)]


def object_numbers(file: Path, meant: LabelMap) -> Array:
    """Return the number of the object at each pixel; colours are VOC's, or others, numbered in order."""
    palette = has_palette(file)
    colours = None if palette and not meant.stated else read_colours(file)
    if colours is None:
        return byte_values(file)
    found = _looked_up(colours, {colour: k for k, colour in enumerate(PALETTE)})
    if (found >= 0).all():
        return found
    if palette:
        return byte_values(file)
    others, place = np.unique(colour_numbers(colours), return_inverse=True)
    order = np.arange(len(others)) + (others[0] != 0)
    return (order + (order >= VOID))[place.reshape(found.shape)]  # 255 is void


def byte_values(file: Path) -> UInt8:
    """Return the values of a label image of 8 bits."""
    array = read_raster(file)
    if array.dtype.itemsize > 1:
        raise FormatError(file, f"is of {array.dtype.itemsize * 8} bits; label images of VOC have 8")
    return array


def _looked_up(colours: UInt8, meant: Mapping[Colour, int]) -> Array:
    """Return what the colour of each pixel means; -1 where it means nothing."""
    return _table(tuple(meant.items()))[colour_numbers(colours)]


@lru_cache(maxsize=2)  # of classes and of objects
def _table(meant: tuple[tuple[Colour, int], ...]) -> Array:
    """Return what every one of 16 million colours means; -1 for nothing."""
    table = np.full(1 << 24, -1, np.int16)
    for (r, g, b), number in meant:
        table[r | g << 8 | b << 16] = number
    return table
