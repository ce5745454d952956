"""The size of an image that a label file names but does not measure, read from the image's header when needed."""

from __future__ import annotations

from pathlib import Path

from apiece import images
from apiece.core.image import ImageRef
from apiece.errors import FormatError, ImageError, Option
from apiece.formats._kit.checks import LONGEST


def image_size(path: Path, ref: ImageRef) -> tuple[int, int]:
    """Return (height, width) of an image, upright, decoding no pixel; ``path`` is the label file that names it."""
    try:
        height, width = images.image_size(ref.path, page=ref.page)
    except ImageError as error:
        raise FormatError(
            path,
            f"image {ref.name!r}: its size is not stated, and the image {error.reason} ({ref.path}); "
            "name the folder of the images with " + Option("images", ...),
        ) from None
    if max(height, width) > LONGEST:
        raise FormatError(path, f"image {ref.name!r}: its header claims {width} x {height} pixels ({ref.path})")
    return height, width
