"""Label files while they are written: whole or not at all, each image once, no two images in one file."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from apiece._atomic import atomic, staged, take_place
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats.contract import Record


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary file that takes the place of ``path`` when the block ends, and vanishes when it fails."""
    if path.is_dir():
        raise FormatError(path, "is a folder; name a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(path, f"its folder cannot be made: {error.strerror}") from None
    with atomic(path) as temporary:
        yield temporary


@contextmanager
def text_file(path: Path) -> Iterator[IO[str]]:
    """Give a text in UTF-8 with Unix line ends that becomes the file at ``path`` as in `atomic_file`."""
    with atomic_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
        yield out


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Give a temporary folder that takes the name ``path`` when the block ends, and vanishes when it fails.

    A folder with something in it is refused: labels of two runs would mix.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FormatError(path, "already exists and is not an empty folder; name another or remove it")
    with ExitStack() as stack:
        try:
            stage = stack.enter_context(staged(path.parent, path.name))
        except OSError as error:
            raise FormatError(path, f"its folder cannot be made: {error.strerror}") from None
        made = stage / "made"
        made.mkdir()
        yield made
        take_place(made, path, stage)


class Names:
    """Know the images that were written to ``path``, by what they are called there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._taken: dict[str, str] = {}

    def once(self, ref: ImageRef) -> str:
        """Return the image's name with ``/`` between its parts; refuse an image that comes twice."""
        name = ref.name.replace("\\", "/")
        self.take(name, ref, name)
        return name

    def file(self, ref: ImageRef, ending: str = "") -> str:
        """Return the name, with another ending, of the file for an image's labels; refuse hidden and shared names."""
        name = ref.name.replace("\\", "/")
        if any(part.startswith(".") for part in name.split("/")):
            raise FormatError(self.path, f"{ref.name!r} would be a hidden file, never read back; rename the image")
        key = Path(name).with_suffix("").as_posix()
        self.take(key, ref, key + ending)
        return key + ending

    def take(self, key: str, ref: ImageRef, file: str) -> None:
        """Note that ``file`` holds the labels of an image; refuse another image with the same ``key``."""
        other = self._taken.get(key)
        if other == ref.name:
            raise FormatError(self.path, f"image {other!r} comes twice; its labels belong in one record")
        if other is not None:
            raise FormatError(self.path, f"images {other!r} and {ref.name!r} would share {file}; rename one")
        self._taken[key] = ref.name


def write_each(
    records: Iterable[Record],
    path: Path,
    endings: tuple[str, ...],
    ending: str | Callable[[Instances], str],
    write_one: Callable[[ImageRef, Instances, Path], None],
) -> None:
    """Write one file if ``path`` has one of these endings, or else a folder with a file per image."""
    images = ((ref, iter([instances])) for ref, instances in records)
    write_each_in_pieces(
        images, path, endings, ending, lambda ref, pieces, target: write_one(ref, next(pieces), target)
    )


def write_each_in_pieces(
    images: Iterable[tuple[ImageRef, Iterator[Instances]]],
    path: Path,
    endings: tuple[str, ...],
    ending: str | Callable[[Instances], str],
    write_one: Callable[[ImageRef, Iterator[Instances], Path], None],
) -> None:
    """Do the same for images that `by_image` gives."""
    if path.name.lower().endswith(endings):
        count = 0
        with atomic_file(path) as temporary:
            for count, (ref, pieces) in enumerate(itertools.islice(images, 2), 1):
                if count == 1:
                    write_one(ref, pieces, temporary)
            if count != 1:
                many = "several" if count else "none"
                raise FormatError(path, f"one {path.suffix} file holds one image, got {many}; name a folder instead")
        return
    names = Names(path)
    with atomic_folder(path) as folder:
        for ref, pieces in images:
            first = next(pieces)
            target = folder / names.file(ref, ending if isinstance(ending, str) else ending(first))
            target.parent.mkdir(parents=True, exist_ok=True)
            write_one(ref, itertools.chain([first], pieces), target)
