"""Short labels drawn onto pixels: any script that DejaVu Sans has, white with a dark halo, thousands at once."""

from __future__ import annotations

import itertools
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from apiece._arrays import UInt8

_SQUARE = np.ones((3, 3), np.uint8)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    # DejaVu Sans has Greek, Cyrillic, arrows and units; Pillow's own font has Latin only
    return ImageFont.truetype(str(Path(__file__).parent / "fonts" / "DejaVuSans-Bold.ttf"), size)


@lru_cache(maxsize=4096)
def _glyph(character: str, size: int) -> UInt8:
    """Coverage of one character on the line, as wide as it moves the pen."""
    font = _font(size)
    width = max(round(font.getlength(character)), 1)
    cell = PillowImage.new("L", (width, text_height(size)))
    ImageDraw.Draw(cell).text((0, 0), character, fill=255, font=font)
    return np.asarray(cell)


def text_height(size: int) -> int:
    """Return height in pixels of a line of text of this size."""
    return size + (size + 3) // 4


def text_width(text: str, size: int) -> int:
    """Return width in pixels of a line of text of this size."""
    return sum(_glyph(c, size).shape[1] for c in " ".join(text.splitlines()))


@lru_cache(maxsize=256)
def _word(word: str, size: int) -> UInt8:
    return np.concatenate([_glyph(c, size) for c in word], axis=1)


@lru_cache(maxsize=1024)
def _line(text: str, size: int) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]:
    """A line of white text with its halo, padded by 2 pixels: (what is kept of the ground, of 255; what is added)."""
    # names repeat, numbers do not: words are kept, digits are put together
    parts: list[UInt8] = []
    for is_word, group in itertools.groupby(text, str.isalpha):
        piece = "".join(group)
        parts += [_word(piece, size)] if is_word else [_glyph(c, size) for c in piece]
    width = sum(p.shape[1] for p in parts)
    ink = np.zeros((text_height(size) + 4, width + 4), np.uint8)
    np.concatenate(parts, axis=1, out=ink[2:-2, 2:-2])
    halo = cv2.blur(cv2.dilate(ink, _SQUARE), (3, 3)).astype(np.uint16)
    keep = (255 - ink) * (255 - (halo * 217) // 255) // 255
    return keep[:, :, None], (ink.astype(np.uint16) * 255 + 128)[:, :, None]


def draw_text(canvas: UInt8, text: str, corner: tuple[int, int], size: int) -> None:
    """Draw a text whose upper left corner, halo and all, lies at (x, y), moved as needed to lie inside the canvas."""
    text = " ".join(text.splitlines())  # names of classes come from files, line breaks and all
    if not text:
        return
    height, width = canvas.shape[:2]
    keep, add = _line(text, size)
    x, y = max(min(corner[0], width - keep.shape[1]), 0), max(min(corner[1], height - keep.shape[0]), 0)
    spot = canvas[y : y + keep.shape[0], x : x + keep.shape[1]]
    rows, columns = spot.shape[:2]
    spot[:] = (spot * keep[:rows, :columns] + add[:rows, :columns]) // 255
