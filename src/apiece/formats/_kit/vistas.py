"""Where a folder of Mapillary Vistas lies, and the list of classes above it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from apiece.formats._kit.files import is_file
from apiece.formats._kit.json_keys import peek_json

_VERSIONS = ("v2.0", "v1.2", "")  # the newest first; what is older than 2.0 may lie without a folder of its own
_ABOVE = 3  # folders above the label images in which the list may lie


class Vistas(NamedTuple):
    """One split."""

    folder: Path
    """The split's folder, with ``images``."""
    labels: Path
    """The folder of the label images."""
    config: Path
    """The list of classes."""


def vistas_of(path: Path) -> Vistas | None:
    """Return the parts of a folder of Mapillary Vistas: a split, or what is in it; None for anything else."""
    places = [(path, path / version / "instances") for version in _VERSIONS]
    if path.name == "instances":
        places = [(path.parent, path)]
    if (path / "instances").is_dir():
        places = [(path, path / "instances")]
    for folder, labels in places:
        if labels.is_dir() and (config := _config(labels)) is not None:
            split = folder.parent if folder.name in _VERSIONS else folder
            return Vistas(split, labels, config)
    return None


def _config(labels: Path) -> Path | None:
    """Return the list of classes of the version of these label images."""
    version = labels.resolve().parent.name
    named = f"config_{version}.json" if version in _VERSIONS else "config_v1.2.json"
    for folder in labels.resolve().parents[: _ABOVE + 1]:
        for file in _files(folder, named):
            seen = peek_json(file) if is_file(file) else None
            if seen is not None and seen.opening == "{" and "labels" in seen.keys and "shapes" not in seen.keys:
                return file
    return None


def _files(folder: Path, named: str) -> Iterator[Path]:
    yield from (folder / named, folder / "config.json")
