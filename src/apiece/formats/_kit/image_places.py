"""Where the images are that label files name: one search for all tools' layouts and all machines' spellings.

A file ``annotations/instances_train2017.json`` has its images in ``train2017``, ``images/train2017`` or ``images``,
here or beside ``annotations``. `_folders` lists such places, the most special first, and the first place that has an
image wins. An image that is in none of them is looked for by the last parts of its name, `_by_tail`.
"""

from __future__ import annotations

import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apiece import images as image_files
from apiece.core.image import ImageRef
from apiece.errors import FormatError, ImageError, Message, Option
from apiece.formats._kit.checks import LONGEST, checked_size
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_in, is_file, stem_key
from apiece.formats._kit.image_names import called, common_tail, folded, spelled, variants
from apiece.formats._kit.sidecar import SIDECAR
from apiece.formats.contract import SPLIT_WORD, SPLITS, OnBad, refuse, split_of

_log = logging.getLogger("apiece")

LABEL_FOLDERS = frozenset(("annotations", "annotation", "labels", "label", "ann", "anns", "annots", "json", "jsons"))
"""Folders of label files; the images lie beside such a folder."""
_NO_IMAGES = frozenset(
    [
        "masks",
        "mask",
        "labels",
        "labelmaps",
        "label_maps",
        "segmentations",
        "gt",
        "overlay",
        "overlays",
        "panoptic",
        "predictions",
        "semantic",
        "thumbnails",
        "thumbs",
    ]
)
"""Folders of pictures that are called as images are, and are none."""
_IMAGE_FOLDERS = ("images", "image", "img", "imgs", "data", "photos", "JPEGImages")
_FEW = 64  # images looked for one by one; the folders of more are listed
_DEPTH, _MOST = 3, 200_000  # folders below the label file's, and files in them, that are searched unasked
_EITHER_CASE = tuple(ending for suffix in IMAGE_SUFFIXES for ending in (suffix, suffix.upper()))


@dataclass(frozen=True)
class Placed:
    """Where images are: image i is ``folder / files[i]``, and is called ``names[i]``."""

    folder: Path
    files: Sequence[str]
    names: Sequence[str]
    unclear: Mapping[int, str]
    """Why an image was not taken, though there are files of its name: there are several."""


def located(
    label: Path, names: Sequence[str], images: Path | None, home: Sequence[Path] = (), never: Path | None = None
) -> Placed:
    """Find the images of a label file.

    Parameters
    ----------
    label : the label file.
    names : the images' names, from `spelled`.
    images : the folder that a person named for them; nothing is looked for outside.
    home : where the format's own tool has its images; images that are nowhere are said to be missing in the first.
    never : a folder of label images, which no image is in.
    """
    words, around, whole = _surroundings(label)
    folders = _folders([images], words) if images is not None else [*home, *_folders(around, words)]
    folders = [folder for folder in folders if folder != never]
    found: list[Path | None] = [None] * len(names)
    plain = {i: name for i, name in enumerate(names) if not name.startswith("/")}
    for folder in dict.fromkeys(folders):
        if len(plain) == len(names) > _FEW and _holds_all(folder, names):
            return Placed(folder, names, names, {})
        for i in _present(folder, plain):
            found[i] = folder
            del plain[i]
        if not plain:
            break
    used = Counter(folder for folder in found if folder is not None)
    usual = max(used, key=used.__getitem__) if used else images or next(iter(home), None) or _expected(label, whole)
    # an image that is called as others are, and is not where they are, is missing
    rest = {i: name for i, name in enumerate(names) if found[i] is None and (not used or name.startswith("/"))}
    final = called(names)
    if not rest and len(used) <= 1:
        return Placed(usual, final, final, {})
    tails, unclear = _by_tail(rest, label, images, whole, words, never)
    files = [
        tails[i] if i in tails else os.path.join(found[i] or usual, name.lstrip("/") if found[i] else final[i])
        for i, name in enumerate(names)
    ]
    return Placed(Path(), files, final, unclear)


def placed(
    label: Path, refs: Sequence[ImageRef], images: Path | None, home: Sequence[Path] = (), on_bad: OnBad = None
) -> tuple[ImageRef, ...]:
    """Return the images, whose names `spelled` made, with the paths and names that `located` finds."""
    place = located(label, [ref.name for ref in refs], images, home)
    for i in place.unclear if images is not None else ():
        refuse(FormatError(label, f"image {place.names[i]!r}: " + place.unclear[i]), on_bad)
    return tuple(
        replace(ref, path=place.folder / file, name=name)
        for ref, file, name in zip(refs, place.files, place.names, strict=True)
    )


def _surroundings(label: Path) -> tuple[list[str], list[Path], Path]:
    """Return the words by which folders may be of a label file, its folder and those around it, and its whole set's.

    The set's folder is the one beside ``annotations`` and the like, however deep the file is below that.
    """
    pieces = re.split(r"(?<=[_\-. ])", label.name.removesuffix(label.suffix))
    words = ["".join(pieces[k:]) for k in range(len(pieces))]
    words += [found[1] + (found[2] or "") for found in SPLIT_WORD.finditer(label.name.partition(".")[0])]
    around, whole, at = [label.parent], label.parent, label.absolute().parent
    while (of_labels := at.name.lower() in LABEL_FOLDERS) or SPLIT_WORD.fullmatch(at.name):
        words += [] if of_labels else [at.name]
        around.append(_parent(around[-1]))
        at, whole = at.parent, around[-1] if of_labels else whole
    split = next(filter(None, map(split_of, words)), None)
    return list(dict.fromkeys((*words, *SPLITS.get(split or "", ())))), around, whole


def _expected(label: Path, whole: Path) -> Path:
    """Return where images that are nowhere belong: ``images`` beside ``annotations``, else beside the file."""
    if whole == label.parent:
        return whole
    split = SPLIT_WORD.search(label.name)
    return whole / "images" / split[0] if split else whole / "images"


def _parent(folder: Path) -> Path:
    return folder.parent if folder.name not in ("", "..") else folder / ".."


def _folders(roots: Iterable[Path], words: Sequence[str]) -> list[Path]:
    """Return the folders below the roots that may hold the images of a label file, the most special first."""
    special, usual, bare = [], [], list(dict.fromkeys(roots))
    for root in bare:
        here = _subfolders(root)
        own = [here[name.lower()] for name in _IMAGE_FOLDERS if name.lower() in here]
        below = [_subfolders(folder) for folder in own]
        for word in dict.fromkeys(map(str.lower, words)):
            if word in _NO_IMAGES:
                continue  # labels.json beside a folder of label maps
            if word in here:
                inner = [here[word] / name for name in ("images", "data")]
                special += [*filter(os.path.isdir, inner), here[word]]
            special += [folders[word] for folders in below if word in folders]
        usual += own
    return [*special, *bare[:1], *usual, *bare[1:]]


def _subfolders(folder: Path) -> dict[str, Path]:
    """Return the folders in a folder, by name in lower case."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name.lower(): folder / entry.name for entry in entries if entry.is_dir()}
    except OSError:
        return {}


def _holds_all(folder: Path, names: Sequence[str]) -> bool:
    """Return whether all images lie directly in a folder."""
    try:
        return set(os.listdir(folder)).issuperset(names)
    except OSError:
        return False


def _present(folder: Path, names: Mapping[int, str]) -> list[int]:
    """Return which of the images are in a folder, or where their names lead below it."""
    if not os.path.isdir(folder):
        return []
    if len(names) <= _FEW:
        return [i for i, name in names.items() if is_file(folder / name)]
    listed: dict[str, set[str]] = {}
    there = []
    for i, name in names.items():
        below, _, last = name.rpartition("/")
        if below not in listed:
            try:
                listed[below] = set(os.listdir(folder / below))
            except (OSError, ValueError):
                listed[below] = set()
        if last in listed[below]:
            there.append(i)
    return there


def _by_tail(
    names: Mapping[int, str], label: Path, images: Path | None, whole: Path, words: Sequence[str], never: Path | None
) -> tuple[dict[int, str], dict[int, str]]:
    """Find images by the longest common tail of their names and the files' paths.

    Returns the files, and why images are unclear: several files, or several images of one file, have equal tails.
    """
    below, beside = images or whole, _parent(whole)
    index = _files_below(below, images is None, never) if names else {}
    split = next(filter(None, map(split_of, words)), None)
    near = {name.lower() for name in (*_IMAGE_FOLDERS, *words)}
    best: dict[int, tuple[int, list[str]]] = {}
    for i, name in names.items():
        best[i] = longest(name, index, below, split)
        if not best[i][1] and images is None and name.startswith("/"):  # ../images/a.png in a folder of any name
            tails = (tail for tail in _tails(name, 2) if tail.partition("/")[0].lower() in near)
            found_beside = (beside / tail for tail in tails if is_file(beside / tail))
            best[i] = next(((2, [str(file)]) for file in found_beside), best[i])
    owners = defaultdict[str, list[int]](list)
    for i, (_, files) in best.items():
        for file in files if len(files) == 1 else ():
            owners[file].append(i)
    found: dict[int, str] = {}
    unclear: dict[int, str] = {}
    for i, (length, files) in best.items():
        if len(files) > 1:
            unclear[i] = f"{files[0]} and {files[1]} could both be it; name its folder with " + _WHERE
        elif files:
            others = [j for j in owners[files[0]] if j != i and best[j][0] >= length]
            if others:
                both = f"and image {names[others[0]].lstrip('/')!r} could both be {files[0]}"
                unclear[i] = f"{names[i].lstrip('/')!r} {both}; name the folder of the images with " + _WHERE
            else:
                found[i] = files[0]
    _tell(label, names, found, {} if images is not None else unclear)
    return found, unclear


_WHERE = Option("images", ...)


def _tell(label: Path, names: Mapping[int, str], found: Mapping[int, str], unclear: Mapping[int, str]) -> None:
    if found:
        first = next(iter(found))
        _log.warning(
            "%s: images found by the last parts of their names: %d, such as %s, which is %s",
            label, len(found), names[first].lstrip("/"), found[first],
        )  # fmt: skip
    if unclear:
        first = next(iter(unclear))
        _log.warning(Message(f"{label}: images that are unclear: {len(unclear)}, such as this: ", unclear[first]))


def _tails(name: str, least: int) -> Iterator[str]:
    """Yield the ends of a path, the longest first, of at least so many parts."""
    parts = name.lstrip("/").split("/")
    return ("/".join(parts[k:]) for k in range(len(parts) - least + 1))


def longest(name: str, index: Mapping[str, Sequence[str]], root: Path, split: str | None) -> tuple[int, list[str]]:
    """Return the longest common tail of a name with files, and these files; nothing of another split's folder."""
    for variant in variants(name):
        last = variant.rpartition("/")[2]
        lengths = {file: common_tail(variant, file.replace("\\", "/")) for file in index.get(folded(last), ())}
        splits = {file: _split_below(root, file) for file in lengths} if split is not None else {}
        lengths = {f: n for f, n in lengths.items() if n > 1 or splits.get(f) in (None, split)}
        most = max(lengths.values(), default=0)
        if most:
            chosen = [file for file, length in lengths.items() if length == most]
            own = [file for file in chosen if splits.get(file) is not None]
            exact = [file for file in chosen if file.endswith(last)]
            return most, next((some for some in (own, exact) if len(some) == 1), chosen)
    return 0, []


def _split_below(root: Path, file: str) -> str | None:
    parts = os.path.relpath(file, root).split(os.sep)[:-1]
    return next(filter(None, map(split_of, reversed(parts))), None)


def _files_below(folder: Path, bounded: bool, never: Path | None) -> dict[str, list[str]]:
    """Return the image files below a folder by their last part, `folded`; ``bounded``: nothing where there are many."""
    found: dict[str, list[str]] = defaultdict(list)
    seen: set[str] = set()
    count, top = 0, str(folder).count(os.sep)
    for at, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(at)
        label_images = SIDECAR in files and at != str(folder)
        if real in seen or label_images or (bounded and at.count(os.sep) - top >= _DEPTH):
            folders.clear()  # a link back, pictures of labels, or deep enough
        if real in seen or label_images:
            continue
        seen.add(real)
        some = (name for name in folders if name.lower() not in _NO_IMAGES and Path(at, name) != never)
        folders[:] = sorted(name for name in some if not name.startswith("."))
        count += len(files)
        if bounded and count > _MOST:
            return {}
        for name in sorted(files):
            if name.lower().endswith(IMAGE_SUFFIXES):
                found[folded(name.replace("\\", "/").rpartition("/")[2])].append(os.path.join(at, name))
    return found


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
        name = spelled(stated)
        folder = next((f for f in folders if is_file(f / name)), None)
        ref = ImageRef(Path(name), name)
        return replace(ref, path=folder / name) if folder else placed(file, [ref], images, folders)[0]
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
