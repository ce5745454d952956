"""OME-Zarr labels, 0.4 and 0.5 (https://ngff.openmicroscopy.org): label images in group ``labels`` of a Zarr folder.

Read: a ``.zarr`` folder with one label image in its group ``labels``, one label image itself (``a.zarr/labels/cells``),
or a folder of such folders. Values of the full level become ids; 0 is background; there is one class, ``object``. The
image is the Zarr folder itself where that holds one, or else the one that apiece noted, or the one of the same name.
Pixels are read a band of rows at a time. ``page`` counts time points and planes.

Written: one folder ``NAME.zarr`` for each image, with the label image ``labels/objects`` and no image: copy the group
``labels`` into the image's folder where viewers should find it there. 32-bit; 0.5 with shards, or 0.4 where the image
is an OME-Zarr of Zarr 2. A coarse level holds, for each of its pixels, the value in the middle of the block of full
pixels; its ``translation`` says where that pixel lies. Needs the extra ``zarr``.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.files import never_raises
from apiece.formats._kit.image_places import image_of
from apiece.formats._kit.label_bands import BandedSet, read_in_bands
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.written import Names, atomic_folder
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record, by_image, refuse
from apiece.formats.ome_zarr._levels import NOTE, write_labels

__all__ = ["FORMAT"]

_ENDING = ".zarr"


@never_raises
def detect(path: Path) -> bool:
    """Return whether a folder is a Zarr with labels, or holds such folders."""
    if not path.is_dir():
        return False
    return bool(_named(path)) or _is_label(path) or any(map(_named, itertools.islice(_folders(path), 1)))


def _attributes(folder: Path) -> dict[str, Any]:
    """Return the attributes of a Zarr group of either version, those of OME from where they lie; raises for damage."""
    for name in ("zarr.json", ".zattrs"):
        file = folder / name
        if file.is_file():
            try:
                given = json.loads(file.read_bytes())
                given = given.get("attributes", {}) if name == "zarr.json" else given
                return {**given, **given.get("ome", {})}
            except (ValueError, AttributeError, TypeError, OSError) as error:
                raise FormatError(file, f"is damaged: {error}") from None
    return {}


def _named(folder: Path) -> list[str]:
    """Return the names of the label images in a Zarr folder."""
    names = _attributes(folder / "labels").get("labels", [])
    return [name for name in names if type(name) is str and "/" not in name and ".." not in name]


def _is_label(folder: Path) -> bool:
    stated = _attributes(folder)
    return "multiscales" in stated and ("image-label" in stated or folder.resolve().parent.name == "labels")


def _folders(path: Path, depth: int = 4) -> Iterator[Path]:
    """Yield the Zarr folders below a folder; they are not searched themselves."""
    with os.scandir(path) as entries:
        folders = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    for name in folders:
        if name.lower().endswith(_ENDING):
            yield path / name
        elif depth > 1:
            yield from _folders(path / name, depth - 1)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open one Zarr folder or a folder of them."""
    if not path.is_dir():
        raise FormatError(path, "is no folder, and so no Zarr")
    root, found = _labels_in(path, on_bad)
    refs = [_ref(folder, label, root, images) for folder, label in found]
    labels = _ZarrSet(tuple(refs), tuple(label for _, label in found), ("object",), _decode, on_bad=on_bad)
    return labels.sound()


def _labels_in(path: Path, on_bad: OnBad) -> tuple[Path, list[tuple[Path, Path]]]:
    """Return the folder that images' names are relative to, and each Zarr folder with its label image."""
    if _is_label(path):
        return path.parent.parent.parent, [(path.parent.parent, path)]
    if path.suffix.lower() == _ENDING or _named(path):
        return path.parent, [(path, path / "labels" / _only(path))]
    found: list[tuple[Path, Path]] = []
    for folder in _folders(path):
        try:
            found.append((folder, folder / "labels" / _only(folder)))
        except FormatError as error:
            refuse(error, on_bad)
    if not found:
        raise FormatError(path, "holds no Zarr folder with labels")
    return path, found


def _only(folder: Path) -> str:
    """Return the name of a folder's one label image."""
    _attributes(folder)
    names = _named(folder)
    if len(names) == 1:
        return names[0]
    if not names:
        raise FormatError(folder, "names no label image in its group 'labels'")
    raise FormatError(folder, f"holds several label images; name one of them: {folder / 'labels' / names[0]} ...")


def _ref(folder: Path, label: Path, root: Path, images: Path | None) -> ImageRef:
    if "multiscales" in _attributes(folder):
        return ImageRef(folder, folder.relative_to(root).as_posix())
    note = _attributes(label).get(NOTE)
    stated = note.get("image") if isinstance(note, Mapping) else None
    return image_of(folder, root, images, stated)


class _ZarrSet(BandedSet):
    """Label images in Zarr folders."""

    def pieces(self, index: int) -> Iterator[Record]:
        """Yield the objects of an image from the top down."""
        _check_stored(self.files[index])
        return super().pieces(index)


def _check_stored(label: Path) -> None:
    """Refuse an empty file, which zarr takes for a stored object of zeros."""
    for file in label.rglob("*"):
        if file.is_file() and not file.stat().st_size:
            raise FormatError(label, f"is damaged: {file.relative_to(label)} is empty")


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    _check_stored(labels.files[i])
    return read_in_bands(labels.files[i], labels.refs[i].page), {}


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one Zarr folder for one image, if ``path`` ends in .zarr, or else a folder of them."""
    one, names = path.suffix.lower() == _ENDING, Names(path)
    with atomic_folder(path) as made:
        count = 0
        for count, (ref, pieces) in enumerate(by_image(records), 1):
            if one and count > 1:
                break
            target = made if one else made / names.file(ref, _ENDING)
            write_labels(ref, pieces, target)
        if one and count != 1:
            many = "several" if count else "none"
            raise FormatError(path, f"one {_ENDING} folder holds one image, got {many}; name it without {_ENDING}")


FORMAT = LabelFormat(
    summary="OME-Zarr labels, of any size: values are ids; no overlap, no classes, no scores",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, ids=True, id_range=(1, 2**32 - 1)),
    suffixes=(_ENDING,),
    pieces="bands",
)
