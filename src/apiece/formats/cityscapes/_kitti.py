"""KITTI's set of semantic instances (http://www.cvlibs.net/datasets/kitti/eval_instance_seg.php).

``training/instance/000000_10.png`` has 16 bits and Cityscapes' classes, and a pixel is class * 256 + n. Where n is 0,
objects of the class are not told apart. datumaro and CVAT list own classes in ``label_colors.txt``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.files import files_below, files_in, stem_key
from apiece.formats._kit.image_places import image_ref
from apiece.formats._kit.label_images import is_16_bit_png, read_raster, regions_of
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats.cityscapes._classes import JUDGED, STUFF, THINGS, UNDRAWN, listed_classes, own_classes
from apiece.formats.contract import OnBad

_LABELS, _IMAGES, _PER_CLASS = "instance", "image_2", 256


def kitti_labels(path: Path) -> Path | None:
    """Return the folder of label images of a split, of KITTI's set, or around a label image; None for anything else."""
    if path.is_file():
        folder = path.parent
        return folder if folder.resolve().name == _LABELS and is_16_bit_png(path) else None
    places = [path] if path.resolve().name == _LABELS else [path / _LABELS, path / "training" / _LABELS]
    first = ((folder, file) for folder in places for file in files_in(folder, (".png",))[:1])
    return next((folder for folder, file in first if is_16_bit_png(file)), None)


def read_kitti(path: Path, folder: Path, images: Path | None, on_bad: OnBad) -> LabelImageSet:
    """Open what `kitti_labels` found; images lie in ``image_2`` beside the folder."""
    files = [path] if path.is_file() else files_below(folder, (".png",))
    pictures = images or folder.parent / _IMAGES
    refs: list[ImageRef] = [image_ref(pictures, stem_key(file, folder), None) for file in files]
    listed = listed_classes(folder)
    own = {} if listed is None else own_classes(listed.names)
    if listed is not None:
        own.pop(listed.ground, None)
    known = own or THINGS
    stuff = {} if own else {number: name for name, number in STUFF.items()}
    context = {number: k for k, number in enumerate(known.values())}, stuff, set() if own else {UNDRAWN["unlabeled"]}
    metadata = {"cityscapes": {"stuff": JUDGED}} if stuff else {}
    return LabelImageSet(
        tuple(refs), tuple(files), tuple(known), _decode, metadata=metadata, context=context, on_bad=on_bad
    ).sound()


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file = labels.files[i]
    array = read_raster(file).astype(np.int64)
    numbers, stuff, undrawn = labels.context
    number = array // _PER_CLASS
    regions = regions_of(np.where(np.isin(number, list(stuff)), number, 0), stuff)
    found = Instances.from_label_map(np.where(np.isin(number, [*stuff, *undrawn]), 0, array))
    ids = np.zeros(0, np.int64) if found.ids is None else found.ids
    own = np.array([numbers.get(k, -1) for k in (ids // _PER_CLASS).tolist()], np.int64)
    for value in ids[own < 0].tolist():
        k = value // _PER_CLASS
        labels.report(FormatError(file, f"value {value}: there is no class of objects with the number {k}"))
    good = own >= 0
    crowd = ids[good] % _PER_CLASS == 0
    instances = Instances(found.masks[good], own[good], labels.classes, ids=ids[good], crowd=crowd)
    return instances, {"stuff": regions} if regions else {}
