"""Files as every format needs them: written whole or not at all, found by stem, never outside their folder."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath

from apiece._atomic import atomic
from apiece.errors import FormatError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
_PROBES = 32  # images looked for before a folder is taken to be the wrong one


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends, and vanishes when it fails."""
    if path.is_dir():
        raise FormatError(path, "is a folder; name a file")
    _parent(path)
    with atomic(path) as temporary:
        yield temporary


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path`` that takes its name when the block ends, and vanishes when it fails.

    Raises
    ------
    FormatError
        if ``path`` is a file or a folder with something in it: labels of two runs would mix.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise FormatError(path, "already exists and is not an empty folder; name another or remove it")
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name[:60]}.", suffix=".part", dir=_parent(path)))
    try:
        yield temporary
        _usual_rights(temporary, 0o777)
        if path.exists():
            path.rmdir()
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _parent(path: Path) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FormatError(path, f"its folder cannot be made: {error.strerror}") from None
    return path.parent


def _usual_rights(path: Path, rights: int) -> None:
    # temporary files are made for their owner alone; the finished one is like any other
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(rights & ~mask)


def inside(name: str) -> str | None:
    """Why ``name``, a path as a label file spells it, must not be followed; None for one that stays in its folder."""
    if not name:
        return "is empty"
    if name.isprintable() and ".." not in name and name[0] not in "/\\" and ":" not in name:
        return None  # nearly every name, and files have hundreds of thousands
    if "\0" in name or (not name.isprintable() and any(0xD800 <= ord(c) < 0xE000 for c in name)):
        return f"{name!r} is no file name"
    windows = PureWindowsPath(name)
    if PurePosixPath(name).is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        return f"{name!r} leaves the folder; images must lie below it, named by a relative path"
    return None


def visible_name(path: Path, name: str) -> str:
    """An image's name with ``/`` between its parts, for a writer to ``path`` that calls files after it.

    Raises
    ------
    FormatError
        if a part of it is hidden: `rasters` would pass the file over.
    """
    plain = name.replace("\\", "/")
    if any(part.startswith(".") for part in plain.split("/")):
        raise FormatError(path, f"{name!r} would be a hidden file, never read back; rename the image")
    return plain


def is_file(path: Path) -> bool:
    """Whether there is a file; False for what no file can be called, where `Path.is_file` raises before Python 3.14."""
    return os.path.isfile(path)


def read_text(path: Path, advice: str = "save it as UTF-8") -> str:
    """What a text file in UTF-8 says, a byte order mark left out.

    Raises
    ------
    FormatError
        if it cannot be read, or is of another encoding; ``advice`` is what to do then.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not UTF-8 (byte {error.start}); {advice}") from None


def pick_folder(names: Iterator[str], candidates: list[Path]) -> Path:
    """The first candidate that holds one of the first few ``names``; the first of all if none does."""
    for _, name in zip(range(_PROBES), names, strict=False):
        for folder in candidates:
            if is_file(folder / name):
                return folder
    return candidates[0]


def rasters(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Every image file below ``folder``, sorted; hidden ones left out."""
    found = (p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def stem_key(path: Path, root: Path) -> str:
    """Path relative to ``root`` without its ending (``.ome.tif`` counts as one): what an image and its labels share."""
    key = path.relative_to(root).as_posix()
    key = key[: len(key) - len(path.suffix)]
    return key.removesuffix(".ome")
