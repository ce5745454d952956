"""Mapillary Vistas, versions 1 and 2 (https://www.mapillary.com/dataset/vistas).

A folder ``training`` or ``validation`` with ``images/`` and ``instances/`` (or ``v1.2/instances/``,
``v2.0/instances/``) of 16-bit PNG, whose values are class * 256 + n. ``config.json`` above it, or
``config_v2.0.json``, lists the classes and says which of them have objects.

Read: objects of the classes that have objects; ids are the pixel values. Stuff (road, sky) is no object: the reader
keeps it on the image, ``ImageRef.attributes["stuff"]``, as COCO RLE by name. Classes are called by their ``readable``
name. Of two versions side by side 2.0 is read; name the folder ``v1.2`` for the other.

Not written.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_in, never_raises
from apiece.formats._kit.json_files import load_object
from apiece.formats._kit.label_images import read_raster, regions_of
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.vistas import vistas_of
from apiece.formats.contract import ANY_INT64, Holds, LabelFormat, OnBad

__all__ = ["FORMAT"]

_log = logging.getLogger("apiece")
_PER_CLASS = 256


class _Class(NamedTuple):
    """A class of the list."""

    name: str
    objects: bool


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a folder with ``instances`` and Mapillary's list of classes above it."""
    return path.is_dir() and vistas_of(path) is not None


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open one split; images lie in ``images`` beside the label images, or beside the folder of their version."""
    found = vistas_of(path)
    if found is None:
        raise FormatError(path, "is no folder of Mapillary Vistas: instances/ with a config.json above it")
    listed = _classes(found.config)
    things = [k for k, one in enumerate(listed) if one.objects]
    files = files_in(found.labels, (".png",))
    if not files:
        raise FormatError(found.labels, "holds no label images (.png)")
    folder = images or found.folder / "images"
    pictures = {picture.stem: picture for picture in files_in(folder, IMAGE_SUFFIXES)}
    found_at = [pictures.get(file.stem, folder / f"{file.stem}.jpg") for file in files]
    refs = tuple(ImageRef(picture, picture.name) for picture in found_at)
    bare = sorted(pictures.keys() - {file.stem for file in files})
    if bare:
        _log.warning("%s: %d images have no labels and are left out, such as %s", path, len(bare), bare[0])
    stuff = {k: one.name for k, one in enumerate(listed) if not one.objects}
    context = {k: label for label, k in enumerate(things)}, stuff
    classes = tuple(listed[k].name for k in things)
    return LabelImageSet(refs, tuple(files), classes, _decode, context=context, on_bad=on_bad).sound()


def _classes(config: Path) -> list[_Class]:
    labels = load_object(config)[0].get("labels")
    if type(labels) is not list or not all(type(one) is dict for one in labels):
        raise FormatError(config, "labels: must be a list of objects with a readable name")
    found = [_Class(one.get("readable") or one.get("name"), one.get("instances") is True) for one in labels]
    names = [one.name for one in found]
    for k, name in enumerate(names):
        if type(name) is not str or name in names[:k]:
            raise FormatError(config, f"labels[{k}].readable: {str(name)[:60]!r} is no name, or another's")
    return found


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    array = read_raster(labels.files[i]).astype(np.int64)
    numbers, stuff = labels.context
    number = array // _PER_CLASS
    strange = np.setdiff1d(np.unique(number), [*numbers, *stuff]).tolist()
    for k in strange:
        labels.report(FormatError(labels.files[i], f"value {k * _PER_CLASS}: the list has no class {k}"))
    regions = regions_of(np.where(np.isin(number, list(stuff)), number + 1, 0), {k + 1: n for k, n in stuff.items()})
    things = np.isin(number, list(numbers))
    found = Instances.from_label_map(np.where(things, array + 1, 0))  # 0 is an object of the first class
    ids = np.zeros(0, np.int64) if found.ids is None else found.ids - 1
    own = np.array([numbers[k] for k in (ids // _PER_CLASS).tolist()], np.int64)
    return Instances(found.masks, own, labels.classes, ids=ids), {"stuff": regions} if regions else {}


FORMAT = LabelFormat(
    summary="Mapillary Vistas: 16-bit instances/ with config.json; only read",
    detect=detect,
    read=read,
    write=None,
    holds=Holds(holes=True, parts=True, classes=True, ids=True, id_range=ANY_INT64),
)
