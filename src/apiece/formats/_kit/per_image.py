"""Formats with a label file per image: which files there are, which image each is of, and writing a folder of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.files import (
    IMAGE_SUFFIXES,
    atomic_file,
    atomic_folder,
    inside,
    is_file,
    rasters,
    stem_key,
    visible_name,
)
from apiece.formats.contract import OnBad, Record, refuse

Found = TypeVar("Found")


def label_files(path: Path, endings: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """(the folder that names are relative to, the label files): ``path`` itself, or all below it."""
    return (path.parent, [path]) if path.is_file() else (path, rasters(path, endings))


def opened(
    path: Path, files: list[Path], look: Callable[[Path], tuple[ImageRef, Found]], on_bad: OnBad
) -> Iterator[tuple[Path, ImageRef, Found]]:
    """Each label file with what ``look`` finds in it; one that is broken, or of an image that has one, is left out.

    Raises
    ------
    FormatError
        for the first of them, if nobody is told or ``path`` is that file.
    """
    names: set[str] = set()
    for file in files:
        try:
            ref, found = look(file)
            if ref.name in names:
                raise FormatError(file, f"image {ref.name!r} has another label file already; remove one")
        except FormatError as error:
            if path.is_file():
                raise
            refuse(error, on_bad)
            continue
        names.add(ref.name)
        yield file, ref, found


def image_of(file: Path, root: Path, images: Path | None, stated: object) -> ImageRef:
    """The image of a label file: as the file says, or else the one of its name without ending.

    Raises
    ------
    FormatError
        if the file names an image outside the folder.
    """
    folders = [images] if images is not None else [root, root / "images", root.parent / "images"]
    if type(stated) is str:
        reason = inside(stated)
        if reason:
            raise FormatError(file, f"image name {reason}")
        folder = next((f for f in folders if is_file(f / stated)), folders[0])
        return ImageRef(folder / stated, stated)
    key = stem_key(file, root)
    for folder in folders:
        for ending in ("", *IMAGE_SUFFIXES, *(s.upper() for s in IMAGE_SUFFIXES)):
            name = key + ending  # "a.png.geojson" is of "a.png"
            if Path(name).suffix.lower() in IMAGE_SUFFIXES and is_file(folder / name):
                return ImageRef(folder / name, name)
    name = key if Path(key).suffix.lower() in IMAGE_SUFFIXES else key + ".png"
    return ImageRef(folders[0] / name, name)


def write_each(
    records: Iterable[Record],
    path: Path,
    endings: tuple[str, ...],
    ending: str,
    write_one: Callable[[ImageRef, Instances, Path], None],
) -> None:
    """Write one file if ``path`` has such an ending, or else a folder with a file per image.

    Raises
    ------
    FormatError
        for a folder with something in it, two images of one name, or several images into one file.
    """
    if path.suffix.lower() in endings:
        stream = iter(records)
        record = next(stream, None)
        if record is None or next(stream, None) is not None:
            many = "no image" if record is None else "several images"
            raise FormatError(path, f"one {path.suffix} file cannot hold {many}; name a folder instead of a file")
        with atomic_file(path) as temporary:
            write_one(*record, temporary)
        return
    with atomic_folder(path) as folder:
        seen: dict[str, str] = {}
        for ref, instances in records:
            name = visible_name(path, ref.name)
            target = Path(name).with_suffix(ending)
            if target.as_posix() in seen:
                other = seen[target.as_posix()]
                raise FormatError(path, f"images {other!r} and {ref.name!r} would share a label file; rename one")
            seen[target.as_posix()] = ref.name
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            write_one(ref, instances, folder / target)
