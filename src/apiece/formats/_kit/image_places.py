"""Where the images are that label files name, and how large: one place for layouts and spellings of all formats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from apiece import images as image_files
from apiece.core.image import ImageRef
from apiece.errors import FormatError, ImageError, Option
from apiece.formats._kit.checks import LONGEST, BadEntryError, checked_size
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_in, inside, is_file, stem_key

_PROBES = 32  # images looked for before a folder is taken to be the wrong one
_EITHER_CASE = tuple(ending for suffix in IMAGE_SUFFIXES for ending in (suffix, suffix.upper()))


def image_name(stated: str) -> str:
    """Return the name of an image as a label file spells it, if it may be followed."""
    reason = inside(stated)
    if reason:
        raise BadEntryError(f"image name {reason}")
    return stated


def image_folder(names: Iterable[str], images: Path | None, candidates: Sequence[Path]) -> Path:
    """Return the folder that image names are relative to.

    That is ``images``, the folder that a person named, or else the first candidate that holds one of the first few
    ``names``; the first of all if none does.
    """
    if images is not None:
        return images
    for name in islice(names, _PROBES):
        for folder in candidates:
            if is_file(folder / name):
                return folder
    return candidates[0]


def placed(refs: Sequence[ImageRef], images: Path | None, candidates: Sequence[Path]) -> tuple[ImageRef, ...]:
    """Return the images with their paths, which `image_folder` finds by their names."""
    folder = image_folder((ref.name for ref in refs), images, candidates)
    return tuple(replace(ref, path=folder / ref.name) for ref in refs)


def find_image(folder: Path, key: str) -> Path | None:
    """Return the image ``key`` with any of the usual endings, if there is one."""
    return next((folder / (key + ending) for ending in _EITHER_CASE if is_file(folder / (key + ending))), None)


def image_ref(folder: Path, key: str, name: str | None, ending: str = ".png") -> ImageRef:
    """Return the image called ``name``; without a name, ``key`` as it is found, or with ``ending`` if it is nowhere."""
    if name is None:
        found = find_image(folder, key)
        name = key + ending if found is None else found.relative_to(folder).as_posix()
    return ImageRef(folder / name, name)


def images_in(folder: Path) -> dict[str, Path]:
    """Return all that `find_image` would find directly in a folder, by key."""
    found = sorted(files_in(folder), key=lambda p: IMAGE_SUFFIXES.index(p.suffix.lower()), reverse=True)
    return {p.stem: p for p in found}


def noted_image(file: Path, root: Path, images: Path | None, note: Mapping[str, Any]) -> ImageRef:
    """Return the image of a label file that may hold a note of its name and size, as `image_note` makes it."""
    found, size = image_of(file, root, images, note.get("image")), note.get("size")
    return replace(found, size=checked_size(*size)) if isinstance(size, list) and len(size) == 2 else found


def image_note(ref: ImageRef, size: tuple[int, int], classes: Sequence[str]) -> dict[str, Any]:
    """Return the note of an image for a file of its labels."""
    return {"image": ref.name, "size": list(size), "classes": list(classes)}


def image_of(file: Path, root: Path, images: Path | None, stated: object) -> ImageRef:
    """Return the image of a label file: as the file says, or else the one of its name without ending."""
    folders = [images] if images is not None else [root, root / "images", root.parent / "images"]
    if type(stated) is str:
        name = image_name(stated)
        folder = next((f for f in folders if is_file(f / name)), folders[0])
        return ImageRef(folder / name, name)
    key = stem_key(file, root)
    is_image = key.lower().endswith(IMAGE_SUFFIXES)  # "a.png.geojson" is of "a.png"
    for folder in folders:
        found = folder / key if is_image and is_file(folder / key) else find_image(folder, key)
        if found is not None:
            return ImageRef(found, found.relative_to(folder).as_posix())
    name = key if is_image else key + ".png"
    return ImageRef(folders[0] / name, name)


def image_size(path: Path, ref: ImageRef) -> tuple[int, int]:
    """Return (height, width) of an image, upright, decoding no pixel; ``path`` is the label file that names it."""
    try:
        height, width = image_files.image_size(ref.path, page=ref.page)
    except ImageError as error:
        raise FormatError(
            path,
            f"image {ref.name!r}: its size is not stated, and the image {error.reason} ({ref.path}); "
            "name the folder of the images with " + Option("images", ...),
        ) from None
    if max(height, width) > LONGEST:
        raise FormatError(path, f"image {ref.name!r}: its header claims {width} x {height} pixels ({ref.path})")
    return height, width
