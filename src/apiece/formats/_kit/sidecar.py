"""Folders of label images, with what their layout cannot say in a file ``apiece.json`` beside them.

`written_set` writes that file, `load_sidecar` reads it: class names that the format has no number for, image names, ids
that are no pixel values. A folder without it is read by the format's own rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.errors import FormatError
from apiece.formats._kit.files import inside, is_file
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.written import Names, atomic_folder

SIDECAR = "apiece.json"
_SMALL = 1 << 28  # bytes; `written_set` never writes as many


def sidecar_format(folder: Path) -> str | None:
    """Return which format wrote a folder, by its `SIDECAR`; None for other folders; never raises."""
    try:
        with (folder / SIDECAR).open("rb") as file:
            head = file.read(80).decode("utf-8", errors="replace")
        key, _, rest = head.partition(":")
        return rest.split('"')[1] if key.strip(' {"\n') == "apiece" else None
    except (OSError, IndexError, ValueError):
        return None


def load_sidecar(folder: Path, format: str) -> dict[str, Any]:
    """Return the checked content of ``apiece.json``: ``classes``, and ``images`` by key; ``{}`` without such a file."""
    path = folder / SIDECAR
    if not path.exists():
        return {}
    if path.stat().st_size > _SMALL:
        raise FormatError(path, "is larger than any list of images")
    found = load_json(path)
    if type(found) is not dict or found.get("apiece") != format:
        raise FormatError(path, f"apiece: must be {format!r}; remove the file to read the folder by its layout alone")
    classes, images = found.setdefault("classes", []), found.setdefault("images", {})
    if type(classes) is not list or not all(type(c) is str for c in classes) or len(set(classes)) != len(classes):
        raise FormatError(path, "classes: must be a list of distinct names")
    if type(images) is not dict or not all(type(v) is dict for v in images.values()):
        raise FormatError(path, "images: must be an object of objects")
    for key, said in images.items():
        for name in (key, said.get("name", "a")):
            reason = inside(name) if type(name) is str else "must be a string"
            if reason:
                raise FormatError(path, f"images[{key!r}]: {reason}")
    return found


class WrittenSet:
    """A folder of label images while it is written, and the notes that become its `SIDECAR`."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder, self.names = path, folder, Names(path)
        self.notes: dict[str, Mapping[str, Any]] = {}

    def key(self, ref: ImageRef) -> str:
        """Return the image's name without ending, as files are called after it."""
        return self.names.file(ref)

    def note(self, key: str, ref: ImageRef, **said: Any) -> None:
        """Keep an image's name, and what else is said, under ``key``."""
        if key in self.notes:
            other = self.notes[key]["name"]
            raise FormatError(self.path, f"images {other!r} and {ref.name!r} would share {key}; rename one")
        self.notes[key] = {"name": ref.name.replace("\\", "/"), **said}


@contextmanager
def written_set(path: Path, format: str, classes: tuple[str, ...]) -> Iterator[WrittenSet]:
    """Write a folder of label images and, when the block ends, its `SIDECAR`."""
    with atomic_folder(path) as folder:
        written = WrittenSet(path, folder)
        yield written
        # the format comes first, for `sidecar_format`
        said = {"apiece": format, "classes": list(classes), "images": written.notes}
        (folder / SIDECAR).write_text(json.dumps(said, ensure_ascii=False, indent=1), encoding="utf-8")


def noted_file(file: Path) -> Path:
    """Return a label image that is there; refuse one that is only named in the `SIDECAR`."""
    if not is_file(file):
        raise FormatError(file, f"is missing, and it is named in {SIDECAR}")
    return file
