"""What every image reader promises, on files of its kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from apiece.errors import ImageError
from apiece.images.contract import MAX_PIXELS, ROOM, ImageReader, oriented
from apiece.testing._promises import expect, refused


def detection(reader: ImageReader, folder: Path, files: list[Path]) -> None:
    """It knows its files by their first bytes, and no other reader takes them."""
    expect(reader.kind and "\n" not in reader.kind, f"kind is {reader.kind!r}")
    expect(not any(map(reader.detect, (b"", b"\0" * 64, b"hello, I am a letter"))), "it takes files that are no images")
    for path in files:
        with path.open("rb") as file:
            head = file.read(64)
        expect(reader.detect(head), f"{path} is not detected")
        others = [name for name, other in ROOM.load_all().items() if other is not reader and other.detect(head)]
        expect(not others, f"{path} is also detected by {others}")


def sizes(reader: ImageReader, folder: Path, files: list[Path]) -> None:
    """`size` and `orientation` say what `read` gives; pixels are (height, width) or (height, width, channels)."""
    for path in files:
        found = reader.read(path, None, MAX_PIXELS)
        expect(found.pixels.ndim in (2, 3) and found.pixels.size, f"{path}: pixels of shape {found.pixels.shape}")
        said = reader.orientation(path, None)
        expect(said == found.orientation, f"{path}: orientation says {said}, read gives {found.orientation}")
        shape = oriented(found.pixels, found.orientation).shape[:2]
        expect(reader.size(path, None) == shape, f"{path}: size says {reader.size(path, None)}, the pixels are {shape}")


def limits(reader: ImageReader, folder: Path, files: list[Path]) -> None:
    """More than ``max_pixels`` are refused, and so is a page that is not there."""
    for path in files:
        height, width = reader.read(path, None, MAX_PIXELS).pixels.shape[:2]
        reader.read(path, None, height * width)
        with refused(ImageError, "max_pixels", f"{path}, one pixel above the limit,"):
            reader.read(path, None, height * width - 1)
        for call in (lambda p: reader.read(p, 1, MAX_PIXELS), lambda p: reader.size(p, 1)):
            with refused(ImageError, "no page 1", f"{path}, page 1,"):
                call(path)


def files_cut_short(reader: ImageReader, folder: Path, files: list[Path]) -> None:
    """A file that is cut short raises an error; pixels are never made up."""
    for path in files:
        data, whole, cut = path.read_bytes(), reader.read(path, None, MAX_PIXELS).pixels, folder / path.name
        for length in np.linspace(0, len(data) - 1, 60).astype(int):
            cut.write_bytes(data[:length])
            try:
                found = reader.read(cut, None, MAX_PIXELS).pixels
            except Exception:  # a reader may raise anything: `apiece.images` makes an `ImageError` of it
                continue
            # a trailing note may be lost, a pixel may not
            expect(np.array_equal(found, whole), f"{path}, cut at {length} of {len(data)} bytes, has other pixels")


PROMISES = (detection, sizes, limits, files_cut_short)
