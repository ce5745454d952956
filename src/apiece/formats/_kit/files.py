"""Files as readers of labels need them: found below a folder, read as text, named by path without ending."""

from __future__ import annotations

import functools
import os
import shlex
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath

from apiece.errors import FormatError

_ARCHIVES = {
    "zip": b"PK\3\4",
    "gzip": b"\x1f\x8b",
    "7z": b"7z\xbc\xaf",
    "rar": b"Rar!",
    "xz": b"\xfd7zXZ",
    "bzip2": b"BZh",
}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")


def inside(name: str) -> str | None:
    """Return why ``name``, a path as a label file spells it, must not be followed; None if it stays in its folder."""
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


def unpacking(path: Path) -> str:
    """Return how to unpack an archive, as tools export labels; empty for any other file, NumPy's own kind included."""
    if not path.is_file() or path.suffix.lower() == ".npz":
        return ""
    with path.open("rb") as file:
        head = file.read(262)
    kind = next((kind for kind, start in _ARCHIVES.items() if head.startswith(start)), "")
    kind = "tar" if head[257:] == b"ustar" or (path.name.lower().endswith((".tar.gz", ".tgz")) and kind) else kind
    if not kind:
        return ""
    module, name = {"zip": "zipfile", "tar": "tarfile"}.get(kind), path.name
    folder = name.partition(".")[0] or "unpacked"
    command = f" (python -m {module} -e {shlex.quote(name)} {shlex.quote(folder)})" if module else ""
    return f"is a {kind} archive; unpack it{command} and name the folder"


def never_raises(detect: Callable[[Path], bool]) -> Callable[[Path], bool]:
    """Return a ``detect`` that says False where the file system raises."""

    @functools.wraps(detect)
    def quiet(path: Path) -> bool:
        try:
            return detect(path)
        except OSError:
            return False

    return quiet


def is_file(path: Path) -> bool:
    """Return whether there is a file; False for impossible names, where `Path.is_file` raises before Python 3.14."""
    return os.path.isfile(path)


def read_text(path: Path, advice: str = "save it as UTF-8") -> str:
    """Return what a text file in UTF-8 says; of another encoding, ``advice`` is what to do about it."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FormatError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FormatError(path, f"is not UTF-8 (byte {error.start}); {advice}") from None


def head_of(path: Path, size: int = 1 << 14) -> str:
    """Return the beginning of a text file, for a look at its first line; empty for what is no file."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return file.read(size).decode("utf-8-sig", errors="replace")


def files_below(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Return every file below ``folder`` with one of these endings, sorted; hidden ones left out."""
    found = (p for p in folder.rglob("*") if p.name.lower().endswith(suffixes) and p.is_file())
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def files_in(folder: Path, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> list[Path]:
    """Return the files directly in ``folder`` with one of these endings, sorted; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and not p.name.startswith("."))


def stem_key(path: Path, root: Path) -> str:
    """Return the path relative to ``root`` without its ending (``.ome.tif`` counts as one): the key of an image."""
    key = path.relative_to(root).as_posix()
    return key[: len(key) - len(path.suffix)].removesuffix(".ome")
