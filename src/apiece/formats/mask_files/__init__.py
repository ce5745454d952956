"""One mask file per instance: the folders of the 2018 Data Science Bowl
(https://www.kaggle.com/c/data-science-bowl-2018).

``ID/images/ID.png`` and ``ID/masks/*.png``, one black and white mask for each object; masks may overlap. Or flat:
``images/NAME.png`` and ``masks/NAME_0.png, NAME_1.png, ...``, if no mask could belong to two images.

Read: the folder of all images (``stage1_train``), one image's folder, or a flat folder. A mask is where its file is not
0; besides 0 the file has one value. Ids are the masks' file names if all of one image's are numbers, or the numbers
behind ``NAME_``; otherwise there are no ids, and masks come by file name. There is one class, ``object``.

Also read: Open Images' masks (``MaskPath, ImageID, LabelName, ...`` in a CSV), with their classes.

Written: ``NAME/masks/1.png, 2.png ...`` by id, without the images, and a file ``apiece.json`` that keeps names and
sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Bool
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import LONGEST, skip_bad
from apiece.formats._kit.files import files_in, never_raises
from apiece.formats._kit.image_places import find_image, image_size
from apiece.formats._kit.label_images import RASTER_SUFFIXES, read_raster, save_label_png
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.mask_layout import flat_masks, is_mask_folder
from apiece.formats._kit.mask_lists import is_object_list, object_lists
from apiece.formats._kit.mask_stack import MaskStack
from apiece.formats._kit.said import numbered
from apiece.formats._kit.sidecar import SIDECAR, load_sidecar, noted_file, sidecar_format, written_set
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record
from apiece.formats.mask_files._open_images import read_lists

__all__ = ["FORMAT"]

_NAME = "mask_files"
_FIRST = 64  # folders looked at by `detect`

_Note = tuple[tuple[Path, ...], tuple[int, ...] | None]


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a folder with ``images`` and ``masks``, of such folders, or a list of Open Images."""
    if not path.is_dir():
        return is_object_list(path)
    if object_lists(path):
        return True
    if sidecar_format(path) is not None:
        return sidecar_format(path) == _NAME
    if (path / "masks").is_dir():
        return is_mask_folder(path)
    if (path / "images").is_dir():
        return False
    below = [p for p in islice(path.iterdir(), _FIRST) if (p / "masks").is_dir() and (p / "images").is_dir()]
    return bool(below) and all(is_mask_folder(p) for p in below)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open a folder of masks, one file each, or lists of them."""
    if lists := object_lists(path) if path.is_dir() else [path] if is_object_list(path) else []:
        return read_lists(lists, images, on_bad)
    if not path.is_dir():
        raise FormatError(path, "is a file; masks of one file each lie in folders, ID/masks/*.png")
    said = load_sidecar(path, _NAME)
    if said:
        found = _written(path, said, images)
    elif (path / "masks").is_dir():
        flat = flat_masks(path, images)
        found = [_one(path, images)] if flat is None else [(ref, (files, ids), {}) for ref, files, ids in flat]
    else:
        below = sorted(p for p in path.iterdir() if (p / "masks").is_dir())
        if not below:
            raise FormatError(path, "holds neither masks/ nor folders with masks/ in them")
        found = [_one(p, images) for p in below]
    seen: dict[str, Path] = {}
    for ref, _, _ in found:
        if seen.setdefault(ref.name, ref.path) is not ref.path:
            raise FormatError(path, f"has two images called {ref.name!r}")
    places = tuple(note[0][0].parent if note[0] else path for _, note, _ in found)
    refs = tuple(ref for ref, _, _ in found)
    notes = tuple((note, extra) for _, note, extra in found)
    return LabelImageSet(refs, places, ("object",), _decode, notes, on_bad=on_bad).sound()


def _one(folder: Path, images: Path | None) -> tuple[ImageRef, _Note, dict[str, Any]]:
    """Return the image of one image's folder, and its masks."""
    own = folder / "images"
    pictures = files_in(own)
    if len(pictures) > 1:
        raise FormatError(folder, f"has {len(pictures)} images; masks of one file each need an image of their own")
    name = pictures[0].name if pictures else f"{folder.name}.png"
    elsewhere = None if images is None else find_image(images, folder.name)
    path = elsewhere or (pictures[0] if pictures else own / name)
    return ImageRef(path, name), _numbered(files_in(folder / "masks", RASTER_SUFFIXES)), {}


def _numbered(files: list[Path]) -> _Note:
    """Return masks with their numbers as ids, in order of these; or by name."""
    stems = [p.stem for p in files]
    plain = all(s.isascii() and s.isdecimal() and len(s) < 19 and str(int(s)) == s for s in stems)
    if not plain or len(set(stems)) != len(stems):
        return tuple(files), None
    order = sorted(range(len(files)), key=lambda k: int(stems[k]))
    return tuple(files[k] for k in order), tuple(int(stems[k]) for k in order)


def _written(path: Path, said: dict[str, Any], images: Path | None) -> list[tuple[ImageRef, _Note, dict[str, Any]]]:
    found: list[tuple[ImageRef, _Note, dict[str, Any]]] = []
    for key, note in said["images"].items():
        size, ids, name = note.get("size"), note.get("ids"), note.get("name")
        if type(size) is not list or len(size) != 2 or not all(type(n) is int and 0 < n <= LONGEST for n in size):
            raise FormatError(path / SIDECAR, f"images[{key!r}].size: must be [height, width]")
        if type(ids) is not list or not all(type(v) is int and 0 <= v < 2**63 for v in ids) or type(name) is not str:
            raise FormatError(path / SIDECAR, f"images[{key!r}].ids: must be a list of numbers of masks")
        files = tuple(path / key / "masks" / f"{v}.png" for v in ids)
        ref = ImageRef((images or path / key / "images") / name, name, (size[0], size[1]))
        found.append((ref, (files, tuple(ids)), {"size": (size[0], size[1])}))
    return found


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    (files, ids), extra = labels.rows[i]
    stack, kept = MaskStack(extra.get("size")), []
    for k, file in enumerate(files):
        with skip_bad(labels.on_bad, file, "mask"):
            stack.add(_mask(file))
            kept.append(k)
    masks = stack.masks(stack.size or image_size(labels.files[i], labels.refs[i]))
    own = None if ids is None else np.array([ids[k] for k in kept], np.int64)
    return Instances(masks, ids=own), {}


def _mask(file: Path) -> Bool:
    array = read_raster(noted_file(file))
    mask: Bool = array != 0
    values = array[mask]
    if values.size and (values != values[0]).any():
        raise FormatError(
            file, f"has several values ({values.min()} to {values.max()}); a file of one mask has 0 and another"
        )
    return mask


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder for each image, with a file for each mask."""
    with written_set(path, _NAME, classes) as out:
        for ref, instances in records:
            key, ids = out.key(ref), numbered(instances).tolist()
            out.note(key, ref, size=list(instances.size), ids=ids)
            (out.folder / key / "masks").mkdir(parents=True, exist_ok=True)
            for own, mask in zip(ids, instances.masks, strict=True):
                save_label_png(mask.to_dense()[0], out.folder / key / "masks" / f"{own}.png")


FORMAT = LabelFormat(
    summary="one mask file per instance: ID/masks/*.png (Data Science Bowl); reads Open Images; overlap, no classes",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(overlap=True, holes=True, parts=True, empty=True, ids=True, id_range=(0, 2**63 - 1)),
)
