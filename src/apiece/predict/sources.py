"""What to predict on: files, folders, globs and arrays, in one list with a name for each image."""

from __future__ import annotations

import glob
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeGuard, cast

import numpy as np

from apiece._arrays import Array
from apiece.core.image import Image
from apiece.errors import DataError, ImageError, Message, Option
from apiece.images import LARGE, MAX_PIXELS, VIDEO_SUFFIXES, is_image_folder, is_stream, read_image

__all__ = [
    "IMAGE_SUFFIXES",
    "LARGE",
    "ArrayLike",
    "Bad",
    "OnBad",
    "Source",
    "Sources",
    "find_sources",
    "is_array",
    "iter_sources",
    "unreadable",
]

_log = logging.getLogger("apiece")

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".ndpi", ".png", ".scn", ".svs", ".tif", ".tiff", ".webp")
"""What is taken for an image in a folder or glob; a file named by itself may be called anything."""

_NOT_READ = (".avif", ".dng", ".gif", ".heic", ".heif", ".jp2", ".jxl", ".pgm", ".ppm", ".tga")

Bad: TypeAlias = ImageError | DataError
"""The error of an image that cannot be read."""
OnBad: TypeAlias = Callable[[Bad], None]
"""Called with the error of each image that is left out."""

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, eq=False)
class Source:
    """Name one image that is to be predicted on, not yet opened.

    Attributes
    ----------
    name : its key in results: the path below the folder that was named, with ``/``.
    path : the file; None for an array.
    image : the pixels, if they were given.
    root : the folder that ``name`` is relative to.
    page : the page of a file with several, from 0; of a video the number of the frame.
    limits : the values that become 0 and 1 for the network; None: the image's own, see `value_limits`.
    seconds : when a frame of a video is shown.
    """

    name: str
    path: Path | None = None
    image: Image | None = None
    root: Path | None = None
    page: int | None = None
    limits: tuple[float, float] | None = None
    seconds: float | None = None

    def read(self, max_pixels: int = MAX_PIXELS) -> Image:
        """Return the pixels; raises as `apiece.images.read_image`."""
        if self.image is not None:
            return self.image
        if self.path is None:
            raise DataError(f"source {self.name!r} has neither pixels nor a path")
        return read_image(self.path, max_pixels=max_pixels, page=self.page)


class ArrayLike(Protocol):
    """What lends its pixels to NumPy, such as an image of Pillow."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """How NumPy reads the pixels."""
        ...


def is_array(given: object) -> TypeGuard[ArrayLike]:
    """Return whether NumPy takes an object for an array."""
    return hasattr(given, "__array_interface__")


def image_of(given: object) -> Image | None:
    """Return the pixels of a Pillow image, or of another object that is an array to NumPy; None for what is none.

    A Pillow image is turned as its EXIF says, as files are.

    Raises
    ------
    DataError
        if it is a Pillow image whose values are no grey levels or colours, such as indices into a palette.
    """
    if not is_array(given):
        return None
    mode = getattr(given, "mode", None)
    if mode in _NO_PIXELS:
        raise DataError(f"the values of a Pillow image of mode {mode!r} are no colours; give image.convert('RGB')")
    if mode is not None and hasattr(given, "getexif"):
        from PIL import ImageOps

        given = ImageOps.exif_transpose(cast(Any, given))
    return Image(np.asarray(given), alpha="unassociated" if mode in ("RGBA", "LA") else None)


_NO_PIXELS = ("P", "PA", "CMYK", "YCbCr", "LAB", "HSV", "RGBa", "La")
_One: TypeAlias = str | os.PathLike[str] | Image | Array | ArrayLike | Source
Sources: TypeAlias = _One | Iterable[_One]


def find_sources(sources: Sources, *, exclude: Sequence[Path] = (), page: int | None = None) -> list[Source]:
    """List every image that ``sources`` means, each with a name of its own, folders and globs in natural order.

    Parameters
    ----------
    sources : a file, a folder (searched with its subfolders), a glob, an array, an `Image`, or several of these.
    exclude : folders whose files are not taken: where results go.
    page : the page of files with several, from 0.

    Raises
    ------
    DataError
        If a folder or glob has no image in it, or there is nothing at all; it names the folder.

    Examples
    --------
    >>> [source.name for source in find_sources(["photo.png", "data"])]
    ['photo.png', 'a.png', 'b.png', 'c.png']
    """
    found: dict[str, Source] = {}
    without = {Path(os.path.abspath(folder)) for folder in exclude}
    for i, source in enumerate(iter_sources(sources)):
        if source.path is not None and not without.isdisjoint(Path(os.path.abspath(source.path)).parents):
            continue
        # pixels that were given are not looked up by path: several may come from one file, such as a stack's pages
        key = os.path.abspath(source.path) if source.path is not None and source.image is None else f"array {i}"
        if key in found:
            _log.info("%s is named more than once; it is taken once", source.path)
        found.setdefault(key, source)
    if not found:
        raise DataError("there are no images: name a file, a folder, a glob such as 'photos/*.png', or give an array")
    return [replace(source, page=page) for source in _with_own_names(list(found.values()))]


def iter_sources(sources: Sources) -> Iterator[Source]:
    """Yield what `find_sources` lists, one by one: an iterator of arrays, such as a camera, never becomes a list."""
    if isinstance(sources, Source):
        yield sources
    elif isinstance(sources, Image | np.ndarray):
        yield _given(sources, 0)
    elif isinstance(sources, str | os.PathLike):
        if not os.fspath(sources):  # as of a variable of the shell that is not set: not the folder one is in
            raise DataError("the name of an image is empty; for the images of this folder name '.'")
        if is_stream(os.fspath(sources)):
            raise _moving(os.fspath(sources))
        yield from _named(Path(sources))
    elif (image := image_of(sources)) is not None:
        yield _given(image, 0)
    elif isinstance(sources, Iterable):
        for i, item in enumerate(sources):
            if isinstance(item, np.ndarray | Image):
                yield _given(item, i)
            elif isinstance(item, Source | str | os.PathLike):
                yield from iter_sources(item)
            elif (image := image_of(item)) is not None:
                yield _given(image, i)
            else:
                raise DataError(f"item {i} of the sources is {type(item).__name__}; give paths, arrays or Images")
    else:
        raise DataError(f"cannot predict on {type(sources).__name__}; give paths, arrays or Images")


def _moving(name: str) -> DataError:
    return DataError(
        f"{name} is video, and images are wanted here; `apiece track {name}` finds the objects of every frame and "
        "follows them (in Python: model.track)"
    )


def _given(given: Image | Array, index: int) -> Source:
    image = given if isinstance(given, Image) else Image(given)
    if image.path is not None:
        return Source(image.path.name, image.path, image, image.path.parent)
    return Source(f"image_{index:06d}", None, image)


def _named(path: Path) -> Iterator[Source]:
    if path.is_dir() and not is_image_folder(path):
        files = sorted(_taken(_below(path), path), key=lambda p: _natural(p.relative_to(path).as_posix()))
        if not files:
            if any(file.suffix.lower() in VIDEO_SUFFIXES for file in path.iterdir()):
                raise _moving(str(path))
            raise DataError(f"folder {path} has no image in it ({', '.join(IMAGE_SUFFIXES)})")
        yield from (Source(f.relative_to(path).as_posix(), f, root=path) for f in files)
    elif _WILD.search(str(path)) and not path.exists():
        yield from _matching(path)
    elif path.suffix.lower() in VIDEO_SUFFIXES:
        raise _moving(str(path))
    else:  # a missing file is an ImageError when it is read, like any other bad image
        yield Source(path.name, path, root=path.parent)


def _matching(pattern: Path) -> Iterator[Source]:
    parts = pattern.parts
    fixed = next(i for i, part in enumerate(parts) if _WILD.search(part))
    root = Path(*parts[:fixed])
    matches = [Path(m) for m in glob.glob(str(pattern), recursive=True)]
    folders = {m for m in matches if m.is_dir() and not is_image_folder(m)}
    files = [m for m in matches if m not in folders]
    if "**" not in parts:
        files += (f for folder in folders for f in _below(folder))
    images = set(_taken(files, pattern))
    if not images:
        if any(f.suffix.lower() in VIDEO_SUFFIXES for f in files):
            raise _moving(str(pattern))
        what = f"matches {len(matches)} paths, none of them an image" if matches else "matches nothing"
        raise DataError(f"glob {str(pattern)!r} {what} ({', '.join(IMAGE_SUFFIXES)})")
    names = {f: f.relative_to(root).as_posix() for f in images}
    yield from (Source(names[f], f, root=root) for f in sorted(images, key=lambda f: _natural(names[f])))


def _below(folder: Path) -> Iterator[Path]:
    """Yield pictures in a folder and its subfolders, hidden ones left out; links are followed, circles are not."""
    seen: set[str] = set()
    for root, folders, files in os.walk(folder, followlinks=True):
        images = [f for f in folders if f.lower().endswith(".zarr") and is_image_folder(Path(root, f))]
        yield from (Path(root, f) for f in images)
        folders[:] = [f for f in folders if f not in images]
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted((f for f in folders if not f.startswith(".")), key=_natural)
        for name in files:
            if not name.startswith(".") and name.lower().endswith((*IMAGE_SUFFIXES, *_NOT_READ)):
                yield Path(root, name)


def _taken(files: Iterable[Path], named: Path) -> list[Path]:
    """Return the images among ``files``; warn of pictures of kinds that are not read."""
    kinds = {file: file.suffix.lower() for file in files}
    left = Counter(kind for kind in kinds.values() if kind in _NOT_READ)
    if left:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(left.items()))
        _log.warning("%s: pictures of kinds that are not read are left out (%s); save them as PNG or TIFF", named, told)
    return [file for file, kind in kinds.items() if kind in (*IMAGE_SUFFIXES, ".zarr")]


def _natural(text: str) -> tuple[list[Any], str]:
    """Return a key that sorts ``img2`` before ``img10``; the text itself decides between equals."""
    parts = re.split(r"([0-9]+)", text.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def _with_own_names(sources: Sequence[Source]) -> list[Source]:
    """Make names longer until no two are the same: two folders may hold files of one name."""
    if len({s.name for s in sources}) == len(sources):
        return list(sources)
    paths = [os.path.abspath(s.path) for s in sources if s.path is not None]
    root = Path(os.path.commonpath([os.path.dirname(p) for p in paths])) if paths else Path()
    below = (None if s.path is None else Path(os.path.abspath(s.path)).relative_to(root) for s in sources)
    named = [s if p is None else replace(s, name=p.as_posix(), root=root) for s, p in zip(sources, below, strict=True)]
    names = [s.name for s in named]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise DataError(f"two images are both called {twice!r}; rename one")
    return named


def unreadable(errors: Sequence[ImageError | DataError], total: int) -> ImageError:
    """Return one error that names every bad image."""
    first = errors[0]
    path = first.path if isinstance(first, ImageError) else Path("image")
    reason = first.reason if isinstance(first, ImageError) else first.message
    more = (part for error in errors[1:] for part in ("\n", error.message))
    counted = f"\n{len(errors)} of {total} images cannot be used"
    skip = ("; leave them out with ", Option("skip_bad", True)) if len(errors) < total else ()
    return ImageError(path, Message(reason, *more, counted, *skip))
