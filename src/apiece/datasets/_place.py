"""`Placer`: put images where labels look for them, as links or copies, or leave them."""

from __future__ import annotations

import contextlib
import filecmp
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from apiece._atomic import is_temporary
from apiece.core.image import ImageRef
from apiece.errors import ConfigError, DataError, Option
from apiece.images import read_image, write_image

_IMAGES = "images"
ImageMode = Literal["link", "copy", "leave"]


class Placer:
    """Puts images in their places in the folder ``stage``, and removes them again if its block fails.

    The mode ``link`` makes hard links, symbolic ones if the file system has none, and copies if it has neither.
    """

    def __init__(self, mode: ImageMode, stage: Path, step: Callable[[], None]) -> None:
        self.stage, self.step = stage, step
        self.made: list[Path] = []
        ways: dict[str, tuple[str, ...]] = {
            "link": ("hard links", "symbolic links", "copies"), "copy": ("copies",), "leave": ()
        }  # fmt: skip
        if mode not in ways:
            raise ConfigError(
                Option("images", flag="--image-files") + f" must be one of {', '.join(ways)}; got {mode!r}"
            )
        self.ways = list(ways[mode])

    def __enter__(self) -> Placer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if kind is not None:
            for path in reversed(self.made):
                with contextlib.suppress(OSError):
                    path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()

    def put(self, images: Sequence[tuple[ImageRef, Path]], final: Path | None = None) -> dict[str, int]:
        """Put each image at its path in the stage, or at the same path in ``final``, an existing folder.

        Returns the number of images by what was done with them. Raises `DataError` if another image is in the place.
        """
        if not self.ways:
            return {}
        found = Counter[str]()
        for ref, place in images:
            found[self._put(ref, place, final)] += 1
            self.step()
        return dict(found)

    def _put(self, ref: ImageRef, place: Path, final: Path | None) -> str:
        if ref.path.is_dir():
            return "folders, left where they are"  # OME-Zarr
        if not ref.path.is_file():
            return "missing"
        if not place.is_relative_to(self.stage):
            if final is None:
                return "without a place"  # the name of the folder makes the reader of this layout look elsewhere
            place = self.stage / ref.name.replace("\\", "/")  # found in the folder that the stage is in
        if final is not None:
            relative = place.relative_to(self.stage)
            place = final / relative
            # readers look in images/ and beside it, so an image there need not come twice
            within = relative.parts[0] == _IMAGES and len(relative.parts) > 1
            other = Path(*relative.parts[1:]) if within else Path(_IMAGES, relative)
            if any(p.exists() and p.samefile(ref.path) for p in (place, final / other)):
                return "there already"
        if place.exists():
            if ref.page is None and filecmp.cmp(ref.path, place, shallow=False):
                return "there already"
            raise DataError(f"{place}: another image is there, so {ref.path} cannot be put there; choose another place")
        self._folder(place.parent)
        if ref.page is not None:
            write_image(place, read_image(ref.path, page=ref.page))
            self.made.append(place)
            return "pages of a stack, as files of their own"
        if is_temporary(ref.path):
            _copy(ref.path, place)
            self.made.append(place)
            return "taken out of the label files"
        while True:
            try:
                _WAYS[self.ways[0]](ref.path.resolve(), place)
                break
            except OSError:
                if len(self.ways) == 1:
                    raise
                del self.ways[0]  # this file system cannot; nor will it for the next image
        self.made.append(place)
        return self.ways[0]

    def _folder(self, folder: Path) -> None:
        for missing in reversed([p for p in (folder, *folder.parents) if not p.exists()]):
            missing.mkdir()
            self.made.append(missing)


def _copy(source: Path, place: Path) -> None:
    temporary = place.with_name(f".{place.name[:60]}.part{place.suffix}")
    try:
        shutil.copyfile(source, temporary)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


_WAYS: dict[str, Callable[[Path, Path], None]] = {
    "hard links": os.link,
    "symbolic links": lambda source, place: place.symlink_to(source),
    "copies": _copy,
}
