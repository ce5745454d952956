"""Image files to `Image` and back: exact pixels, one orientation, or an `ImageError` with the reason.

The content of a file decides its kind, not its name, but for slides. Each module here reads one kind; a new kind is a
new file.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from apiece.core.image import Image, PixelSize
from apiece.errors import ImageError, MissingExtraError
from apiece.images._engine.video import VIDEO_SUFFIXES, Moment, VideoOptions, is_stream, open_video
from apiece.images._engine.video_write import VideoWriter
from apiece.images._engine.write import write_image
from apiece.images._kit.geo import Place, Tag, geo_tags, place_of
from apiece.images._kit.tiff_meta import check_directories
from apiece.images.contract import LARGE, MAX_PIXELS, ROOM, Box, ImageReader, Pyramid, as_stored, oriented

__all__ = [
    "LARGE",
    "MAX_PIXELS",
    "VIDEO_SUFFIXES",
    "Box",
    "ImageReader",
    "Moment",
    "Place",
    "Pyramid",
    "Tag",
    "VideoOptions",
    "VideoWriter",
    "as_stored",
    "check_directories",
    "describe",
    "geo_tags",
    "image_orientation",
    "image_pixel_size",
    "image_size",
    "is_image_folder",
    "is_stream",
    "is_video",
    "load",
    "names",
    "open_pyramid",
    "open_video",
    "page_count",
    "place_of",
    "read_image",
    "write_image",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe


def read_image(path: Path | str, *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Image:
    """Read one image: pixels (height, width, channels) in the dtype and range of the file, EXIF orientation applied.

    Parameters
    ----------
    path : PNG, JPEG, TIFF, WebP or BMP, by content.
    page : for a file of several images (TIFF pages, slices of a stack), the number of one, from 0.
    max_pixels : most pixels (height × width); `read_image` refuses a header that claims more before it takes memory.

    Returns
    -------
    The image, with its pixel size, its alpha channel and its nodata value if the file states them.

    Raises
    ------
    ImageError
        If the file is missing, empty, truncated, damaged, of another kind or too large, or holds several images and
        ``page`` names none. `read_image` never converts, fills in or drops pixels to avoid the error.

    Examples
    --------
    >>> from apiece.images import read_image
    >>> image = read_image("photo.png")
    >>> image.size, image.channels, image.pixels.dtype
    ((24, 32), 3, dtype('uint8'))
    """
    path = Path(path)
    with _reader(path) as reader:
        decoded = reader.read(path, page, max_pixels)
        pixels = oriented(decoded.pixels, decoded.orientation)
        return Image(pixels, decoded.pixel_size, path, decoded.alpha, decoded.nodata)


def image_size(path: Path | str, *, page: int | None = None) -> tuple[int, int]:
    """Return the (height, width) of the image that `read_image` would give, from the header alone.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it.

    Examples
    --------
    >>> from apiece.images import image_size
    >>> image_size("photo.png")
    (24, 32)
    """
    path = Path(path)
    with _reader(path) as reader:
        return reader.size(path, page)


def image_orientation(path: Path | str, *, page: int | None = None) -> int:
    """Return the EXIF orientation, 1 to 8, that `read_image` applies (Exif 2.32, tag 274); from the header alone.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it.

    Examples
    --------
    >>> from apiece.images import image_orientation
    >>> image_orientation("photo.png")
    1
    """
    path = Path(path)
    with _reader(path) as reader:
        return reader.orientation(path, page)


def page_count(path: Path | str) -> int:
    """Return how many images a file holds: pages of a TIFF, slices of a stack; from the header alone.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it.

    Examples
    --------
    >>> from apiece.images import page_count
    >>> page_count("photo.png")
    1
    """
    path = Path(path)
    with _reader(path) as reader:
        return reader.pages(path)


def is_video(path: Path) -> bool:
    """Return whether a file is no image, and by its name a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


@contextmanager
def open_pyramid(path: Path | str, *, page: int | None = None, max_pixels: int = MAX_PIXELS) -> Iterator[Pyramid]:
    """Open an image to read it in windows, as large as it may be.

    Of a TIFF only the strips or tiles are read that a window touches. Other files, and TIFFs with an orientation, are
    read whole and held.

    Parameters
    ----------
    path, page : as for `read_image`.
    max_pixels : most pixels of an image that is held whole.

    Yields
    ------
    The open image, a `Pyramid`.

    Raises
    ------
    ImageError
        As `read_image`.

    Examples
    --------
    >>> from apiece.images import open_pyramid
    >>> with open_pyramid("photo.png") as pyramid:
    ...     pyramid.levels, pyramid.channels
    (((24, 32),), 3)
    """
    path = Path(path)
    with ExitStack() as stack:
        with _reader(path) as reader:
            pyramid = None if reader.pyramid is None else stack.enter_context(reader.pyramid(path, page))
        if pyramid is None:
            image = read_image(path, page=page, max_pixels=max_pixels)
            held = image.pixels
            pyramid = Pyramid(
                path, (image.size,), image.channels, held.dtype,
                lambda level, box: held[box[1] : box[3], box[0] : box[2]], image.pixel_size, image.alpha,
                nodata=image.nodata,
            )  # fmt: skip
        yield pyramid


def image_pixel_size(path: Path | str, *, page: int | None = None) -> PixelSize | None:
    """Return the pixel size that a TIFF or OME-Zarr states, without reading its pixels; None for other files.

    Raises
    ------
    ImageError
        As `read_image`, as far as the header shows it.

    Examples
    --------
    >>> from apiece.images import image_pixel_size
    >>> image_pixel_size("photo.png") is None
    True
    """
    path = Path(path)
    with _reader(path) as reader:
        if reader.pyramid is None:
            return None
        with reader.pyramid(path, page) as pyramid:
            return None if pyramid is None else pyramid.pixel_size


def is_image_folder(path: Path) -> bool:
    """Return whether a folder is one image, as an OME-Zarr is."""
    return any(reader.folder(path) for reader in ROOM.load_all().values())


def _reader_of_folder(path: Path) -> ImageReader:
    reader = next((reader for reader in ROOM.load_all().values() if reader.folder(path)), None)
    if reader is None:
        raise ImageError(path, "is a folder, not an image")
    return reader


_TEXT_SUFFIXES = (".csv", ".geojson", ".json", ".jsonl", ".txt", ".xml", ".yaml", ".yml")


def _reader_of_file(path: Path) -> ImageReader:
    try:
        if path.exists() and not path.is_file():
            raise ImageError(path, "is not a file")
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError) as error:
        reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be opened: {error}"
        raise ImageError(path, reason) from error
    if not head:
        raise ImageError(path, "is empty")
    readers = ROOM.load_all().values()
    named = (reader for reader in readers if path.suffix.lower() in reader.suffixes)
    reader = next(named, next((reader for reader in readers if reader.detect(head)), None))
    if reader is None:
        if is_video(path):
            raise ImageError(path, "is a video, not an image; apiece track follows the objects of a video")
        if path.suffix.lower() in _TEXT_SUFFIXES:
            raise ImageError(path, "is a file of labels or text, not an image; name the images, or their folder")
        kinds = ", ".join(reader.kind for reader in readers)
        raise ImageError(
            path, f"is none of {kinds}, whatever its name says: it begins with {head[:12]!r}; save it as PNG or TIFF"
        )
    return reader


@contextmanager
def _reader(path: Path) -> Iterator[ImageReader]:
    """Give the reader of a file; the block raises nothing but `ImageError`."""
    reader = _reader_of_folder(path) if path.is_dir() else _reader_of_file(path)
    try:
        yield reader
    except (ImageError, MissingExtraError):
        raise
    except Exception as error:
        # decoders raise anything from struct.error to MemoryError; to the caller all of it means: this file is bad
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        message = f"cannot be decoded as {reader.kind}, it is damaged or uses a rare feature: {reason}"
        raise ImageError(path, message) from error
