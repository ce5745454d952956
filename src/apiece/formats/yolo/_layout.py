"""Where a YOLO data set keeps things: ``data.yaml``, its splits, images and the label file of each.

The label file of ``.../images/.../a.jpg`` is ``.../labels/.../a.txt``: the last folder called ``images`` is exchanged;
without one, it lies beside the image.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, checked_size, refuse_repeated
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_below, head_of, inside, read_text
from apiece.formats._kit.image_names import spelled
from apiece.formats.contract import SPLIT_WORD, OnBad, refuse, split_of

_log = logging.getLogger("apiece")
SPLITS = ("train", "val", "test")
NOTES = "apiece.jsonl"
"""File with a line ``[path, height, width, rows]`` for each image that `write` wrote labels of, and its name as a fifth
where `name_of` does not give it."""
_CLASSES = ("classes.txt", "obj.names")
"""Lists of classes, one a line, of tools that write no ``data.yaml``."""
_ROW = re.compile(r"\s*\d+( -?[\d.]+(e-\d+)?){4}")
_LOOKED_AT = 20  # label files
_MOST_BYTES = 1 << 20
_DEEPEST = 64  # brackets within brackets, which take YAML's parser quadratic time
_BRACKETS = {"[": 1, "{": 1, "]": -1, "}": -1}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEYS = (re.compile(r"^names\s*:", re.MULTILINE), re.compile(r"^(train|val|test)\s*:", re.MULTILINE))


@dataclass(frozen=True)
class Config:
    """What ``data.yaml`` says."""

    path: Path
    names: dict[int, str]
    splits: dict[str, list[str]]
    root: str
    """Its ``path``, where it is below the file's own folder; else nothing."""
    elsewhere: str
    """Its ``path``, where it is not."""


@dataclass(frozen=True)
class Item:
    """One image, named by its path relative to the data set's folder, and its label file."""

    relative: str
    split: str
    labels: Path


def config_file(path: Path) -> Path | None:
    """Return the YAML file at ``path`` or in the folder ``path``, or the folder's list of classes; None without it."""
    if path.is_file():
        return path if _is_config(path) or path == _list_of_classes(path.parent) else None
    if not path.is_dir():
        return None
    found = [p for p in sorted((*path.glob("*.yaml"), *path.glob("*.yml"))) if _is_config(p)]
    usual = [p for p in found if p.stem == "data"]
    if len(found) > 1 and not usual:
        return None
    return next(iter((*usual, *found)), None) or _list_of_classes(path)


def _list_of_classes(folder: Path) -> Path | None:
    """Return ``classes.txt`` (Label Studio), or a YAML file of names without splits (supervision), beside ``labels``.

    It may also lie beside folders of splits with ``labels`` in each. There is none where ``labels`` hold no rows.
    """
    lists = [folder / place / name for name in _CLASSES for place in ("", "labels")]
    plain = [p for p in sorted((*folder.glob("*.yaml"), *folder.glob("*.yml"))) if _is_config(p, splits=False)]
    found = next((file for file in (*lists, *plain) if file.is_file()), None)
    own = folder / "labels"
    homes = [own] if own.is_dir() else [p for p in folder.glob("*/labels") if p.is_dir() and split_of(p.parent.name)]
    if found is None:
        return None
    rows = (p for at in homes for p in files_below(at, (".txt",)) if p not in lists)
    return found if any(_ROW.match(head_of(file)) for file in itertools.islice(rows, _LOOKED_AT)) else None


def _is_config(path: Path, splits: bool = True) -> bool:
    """Return whether a file is YAML with ``names``, and with ``splits``, where these are asked for."""
    try:
        if path.suffix.lower() not in (".yaml", ".yml") or path.stat().st_size > _MOST_BYTES:
            return False
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except OSError:
        return False
    return all(key.search(text) for key in _KEYS[: 1 + splits])


def home_of(path: Path) -> Path:
    """Return the folder of a set by its ``data.yaml`` or its list of classes, which may lie in ``labels``."""
    return path.parent.parent if path.name in _CLASSES and path.parent.name == "labels" else path.parent


def read_config(path: Path) -> Config:
    """Read ``data.yaml``, or a list of classes beside ``labels`` and ``images``."""
    if path.name in _CLASSES:
        names = _names(path, [line.strip() for line in read_text(path).splitlines() if line.strip()])
        return Config(path, names, _splits_of(path), "", "")
    document = _parsed(path)
    if type(document) is not dict:
        raise FormatError(path, "is no data.yaml: it must say names and where train, val or test images are")
    if "kpt_shape" in document:
        raise FormatError(path, "kpt_shape: this is a set of key points; its rows are no outlines")
    names = _names(path, document.get("names"))
    if type(document.get("nc", 0)) is not int or document.get("nc", len(names)) != len(names):
        raise FormatError(path, f"nc: is {document['nc']}, but there are {len(names)} names")
    splits: dict[str, list[str]] = {}
    for split in SPLITS:
        given = document.get(split)
        places = [] if given is None else given if type(given) is list else [given]
        if not all(type(p) is str and p for p in places):
            raise FormatError(path, f"{split}: must be a folder, a list of images in a .txt file, or several of them")
        splits[split] = places
    if not any(splits.values()) and config_file(path.parent) is not None:
        splits = _splits_of(path)
    if not any(splits.values()):
        raise FormatError(path, "says neither train, val nor test")
    root = document.get("path")
    root = root.replace("\\", "/") if type(root) is str else ""
    far = root if root and inside(root) else ""
    return Config(path, names, splits, "" if far else root, far)


def _splits_of(path: Path) -> dict[str, list[str]]:
    """Return the folders of images of each split, by those in ``labels`` or with ``labels``; without any, ``train``."""
    home = home_of(path)
    if (home / "labels").is_dir():
        found = {f"images/{p.name}": p.name for p in sorted((home / "labels").iterdir()) if p.is_dir()}
    else:
        found = {f"{p.name}/images": p.name for p in sorted(home.iterdir()) if (p / "labels").is_dir()}
    splits = {split: [place for place, name in found.items() if split_of(name) == split] for split in SPLITS}
    return splits if any(splits.values()) else splits | {"train": ["images"]}


def _parsed(path: Path) -> Any:
    if path.stat().st_size > _MOST_BYTES:
        raise FormatError(path, "is too large for a data.yaml")
    text = read_text(path)
    try:
        if max(itertools.accumulate(_BRACKETS[c] for c in re.findall(r"[][{}]", text)), default=0) > _DEEPEST:
            raise FormatError(path, "is nested too deep to be a data.yaml")
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _LOADER)):
            # a few lines of them can stand for gigabytes
            raise FormatError(path, "has YAML aliases (*name); write the values out")
        return yaml.load(text, _LOADER)
    except RecursionError:
        raise FormatError(path, "is nested too deep to be a data.yaml") from None
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise FormatError(path, f"is no YAML, or cut short: {' '.join(str(error).split())[:200]}") from None


def _names(path: Path, given: Any) -> dict[int, str]:
    if type(given) is list:
        given = dict(enumerate(given))
    if type(given) is not dict or not all(type(k) is int and k >= 0 for k in given):
        raise FormatError(path, "names: must be a list of class names, or a name for each number")
    odd = next((n for n in given.values() if type(n) not in (str, int)), None)
    if odd is not None or None in given.values():
        raise FormatError(path, f"names: {odd!r} is no text; put it in quotes")
    names = {k: str(v) for k, v in sorted(given.items())}
    refuse_repeated(names.values(), path, "names: ")
    return names


def label_path(relative: str) -> str:
    """Return the path of the label file of an image, both relative to the data set's folder."""
    parts = relative.split("/")
    at = max((k for k, part in enumerate(parts[:-1]) if part == "images"), default=None)
    if at is not None:
        parts[at] = "labels"
    return PurePosixPath(*parts).with_suffix(".txt").as_posix()


def name_of(relative: str) -> str:
    """Return what an image is called: its path without the last folder ``images``."""
    parts = relative.split("/")
    at = max((k for k, part in enumerate(parts[:-1]) if part == "images"), default=None)
    return "/".join(part for k, part in enumerate(parts) if k != at)


def items_of(config: Config, root: Path, on_bad: OnBad) -> Iterator[Item]:
    """Yield every image, split by split, in order of their lists, or by name.

    A folder or list that is not there is told and passed over; it is an error if none is there.
    """
    absent, found = list[str](), list[tuple[str, Path]]()
    for split in SPLITS:
        for place in config.splits[split]:
            at = _below(place, root)
            if at is None:
                absent.append(f"{split}: {place!r} is not there")
            else:
                found.append((split, root / at))
    if not found:
        where = f"below {root}" + (f" ({config.elsewhere!r}, its path, is not used)" if config.elsewhere else "")
        raise FormatError(config.path, "; ".join(absent) + f"; images and labels must lie {where}")
    for reason in absent:
        _log.warning("%s: %s; the other splits are read", config.path, reason)
    first: dict[Path, str] = {}
    ours = (root / NOTES).is_file()  # with one split alone, the writer names it twice, since YOLO asks for both
    for split, there in found:
        if (other := first.setdefault(there, split)) != split and not ours:
            _log.warning(
                "%s: %s names the images of %s; an image is of one split, here of %s", config.path, split, other, other
            )
        is_list = there.suffix.lower() == ".txt" and there.is_file()
        yield from _listed(there, root, split, on_bad) if is_list else _in_folder(there, root, split)


def _below(place: str, root: Path) -> str | None:
    """Return the path below ``root`` that a stated one means, if it, or labels for it, are there.

    Exporters write ``../train/images`` beside a folder train, and absolute paths of their own machine: the longest end
    of such a path counts that is there, and that still names the split which the whole path names.
    """
    if place.startswith("/") and Path(place).is_relative_to(root.resolve()):
        place = Path(place).relative_to(root.resolve()).as_posix()
    try:
        parts = spelled(place).lstrip("/").split("/")
    except BadEntryError:
        return "." if posixpath.normpath(place) == "." else None
    splits = [k for k, part in enumerate(parts) if SPLIT_WORD.fullmatch(part)]
    for k in range(len(parts) if not splits else splits[-1] + 1):
        end = "/".join(parts[k:])
        # os.path, since the methods of Path raise for names that no file can have
        if os.path.exists(root / end) or os.path.isdir(root / posixpath.dirname(label_path(end + "/a"))):
            return posixpath.normpath(end)
    return None


def _listed(file: Path, root: Path, split: str, on_bad: OnBad) -> Iterator[Item]:
    folders: dict[str, str | None] = {}
    for number, line in enumerate(read_text(file).split("\n"), 1):
        place = line.strip().replace("\\", "/")
        if not place:
            continue
        # ./ is the folder of the list, anything else is relative to the folder of the data set
        base = file.parent.relative_to(root).as_posix() if place.startswith("./") else ""
        relative = posixpath.normpath(posixpath.join(base, place))
        reason = None
        folder = posixpath.dirname(relative)
        if folder not in folders:
            folders[folder] = _below(folder, root) if folder else "."
        if (below := folders[folder]) is None:
            reason = inside(relative)
        else:
            relative = posixpath.normpath(f"{below}/{posixpath.basename(relative)}")
        if reason is None and PurePosixPath(relative).suffix.lower() not in IMAGE_SUFFIXES:
            reason = f"{relative!r} is no image ({', '.join(IMAGE_SUFFIXES)})"
        if reason is not None:
            refuse(FormatError(file, f"line {number}: {reason}"), on_bad)
            continue
        yield Item(relative, split, root / label_path(relative))


def _in_folder(folder: Path, root: Path, split: str) -> Iterator[Item]:
    relative = folder.relative_to(root)
    found: dict[str, str] = {}
    for image in files_below(folder) if folder.is_dir() else []:
        path = image.relative_to(root).as_posix()
        found.setdefault(path, label_path(path))
    labels = posixpath.dirname(label_path((relative / "a").as_posix()))
    if labels != relative.as_posix() and (root / labels).is_dir():
        known = set(found.values())
        for file in (root / labels).rglob("*.txt"):
            path = file.relative_to(root).as_posix()
            if path not in known and file.name not in _CLASSES:
                # labels whose image is elsewhere or missing: its name lacks the ending, which is unknown
                place = (relative / file.relative_to(root / labels)).as_posix()
                found[place.removesuffix(".txt")] = path
    for path in sorted(found):
        yield Item(path, split, root / found[path])


@dataclass(frozen=True)
class Note:
    """What `write` noted of an image."""

    size: tuple[int, int]
    rows: int
    name: str


def read_notes(root: Path) -> dict[str, Note]:
    """Return the note of every image by its path; empty without notes; damaged notes are refused."""
    path = root / NOTES
    if not path.is_file():
        return {}
    advice = "it is cut short or edited; mend it, or remove the file if the images are here"
    try:
        text = path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(path, f"cannot be read ({error}); {advice}") from None
    notes = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            continue
        try:
            relative, height, width, rows, *own = json.loads(line)
            if type(relative) is not str or type(rows) is not int or not {type(n) for n in own} <= {str}:
                raise ValueError("it must be [path, height, width, rows]")
            notes[relative] = Note(checked_size(height, width), rows, own[0] if own else name_of(relative))
        except (ValueError, TypeError, RecursionError, BadEntryError) as error:
            raise FormatError(path, f"line {number}: {error}; {advice}") from None
    if not notes:
        raise FormatError(path, f"is empty; {advice}")
    return notes
