"""Formats with a label file per image: which files there are, and what is found in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from apiece.core.image import ImageRef
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError
from apiece.formats._kit.files import files_below
from apiece.formats.contract import OnBad, refuse

Found = TypeVar("Found")


def label_files(path: Path, endings: tuple[str, ...]) -> tuple[Path, list[Path]]:
    """Return the folder that names are relative to, and the label files: ``path`` itself, or all below it."""
    if path.is_file():
        return path.parent, [path]
    found = files_below(path, endings)
    if not found:
        raise FormatError(path, f"holds no {' or '.join(endings)} files")
    return path, found


def opened(
    path: Path, files: list[Path], look: Callable[[Path], tuple[ImageRef, Found]], on_bad: OnBad
) -> Iterator[tuple[Path, ImageRef, Found]]:
    """Yield each label file with the image and whatever else ``look`` finds in it.

    A file that is broken, or whose image has a label file already, is reported and left out; it is raised if it is
    ``path`` itself, since nothing is left then.
    """
    files_of: dict[str, Path] = {}
    for file in files:
        try:
            ref, found = look(file)
            if ref.name in files_of:
                raise BadEntryError(f"{files_of[ref.name].name} is about image {ref.name!r} too; remove one of the two")
        except (BadEntryError, FormatError) as error:
            known = error if isinstance(error, FormatError) else FormatError(file, str(error))
            refuse(known, None if path.is_file() else on_bad)
            continue
        files_of[ref.name] = file
        yield file, ref, found
