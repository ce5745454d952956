"""Label maps: one integer image per image, whose value is the object's number; PNG (8, 16 bit) or TIFF (8, 16, 32 bit).

Also read: NumPy's ``.npy``, and ``.npz`` with one array of a height and a width, or one called ``masks``, ``labels``,
``y`` ... A file of Python objects, which NumPy unpickles, is refused.

Read: one file, or a folder laid out as ``images/`` (or any folder of the same names) beside ``instances/``, ``masks/``
or ``labels/``, or beside ``mask/``, ``gt/``, ``ground_truth/`` ... with nothing else in it; or with the label maps
named as tools do (``a_masks``, ``a_cp_masks``, ``a_label``, ``a-labels``, ``a_seg`` ...), or a folder of label maps
alone. Label map and image share their path without ending; an image may also end in ``_img``. A TIFF (OME, ImageJ) that
says its pages are slices or frames of one stack is an image for each page, called ``NAME#0.tif``, with
``ImageRef.page``; ids are the same over all pages. Other files of several pages are refused. Values become ids, floats
that are whole numbers too, as ImageJ writes them; 0 is background; there is one class, ``object``. Palette images are
read by their index; BMP, GIF and colour images that are all grey are read too. Label maps whose values look like
classes (several regions apart from each other have one value) are refused until the format is named: ``class_map``
makes each region an object, ``labelmap`` each value.

Written: a folder of PNG (TIFF where an id is beyond 65535), or one file; always the smallest depth that fits. Images of
67 million pixels or more become tiled 32-bit TIFFs (BigTIFF from 268 million on). A note inside each file says which
image it belongs to. A TIFF of a GeoTIFF lies in the world where its image lies.
"""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError, Option
from apiece.formats._kit.class_signs import class_sign
from apiece.formats._kit.files import IMAGE_SUFFIXES, files_below, inside, never_raises, stem_key
from apiece.formats._kit.label_arrays import ARRAY_SUFFIXES
from apiece.formats._kit.label_bands import WIDE, BandedSet, is_banded, painted, read_in_bands, write_large_raster
from apiece.formats._kit.label_images import (
    RASTER_SUFFIXES,
    is_label_raster,
    note_of,
    read_raster,
    stack_pages,
    write_raster,
)
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.mask_layout import bare_stem, image_keys, is_mask_folder
from apiece.formats._kit.mask_lists import LISTS, has_result_lists, object_lists
from apiece.formats._kit.said import numbered
from apiece.formats._kit.sidecar import sidecar_format
from apiece.formats._kit.vistas import vistas_of
from apiece.formats._kit.written import write_each_in_pieces
from apiece.formats.contract import BAND, Holds, LabelFormat, OnBad, Record, by_image, comes_in_bands, refuse
from apiece.images import geo_tags

__all__ = ["FORMAT"]

_log = logging.getLogger("apiece")
_FOLDERS = ("instances", "masks", "labels", "labelmaps", "label_maps")
_ALSO = ("instance_masks", "mask", "label", "ground_truth", "groundtruth", "gt", "annotations")
"""Folders of label maps where nothing else is in them."""
_DRAWN = re.compile("overlay|preview|visual|colou?r", re.IGNORECASE)  # folders of pictures that show labels
_HIGHEST = 2**32 - 1
_READ = (*RASTER_SUFFIXES, ".bmp", ".gif", *ARRAY_SUFFIXES)
_READ_AS = (
    Option("format='class_map'", flag="--instances components")
    + ", which makes each separate region an object, or "
    + Option("format='labelmap'", flag="--instances values")
    + ", which makes each value one (in training it is "
    + Option("format", "class_map")
    + " or "
    + Option("format", "labelmap")
    + ")"
)


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a label map by its place, name or note, or a folder laid out as such."""
    if path.is_file():
        named = path.resolve().parent.name in _FOLDERS or _marked(path) or _is_array(path)
        return named and is_label_raster(path)
    if not path.is_dir():
        return False
    if sidecar_format(path) is not None or is_mask_folder(path) or vistas_of(path) is not None:
        return False
    root, files = _label_files(path)
    if not files or not is_label_raster(files[0]) or any(path.glob("*_seg.npy")):
        return False  # Cellpose keeps the same masks in its own files too
    frame = files[0].stem.isdecimal() and files[0].parent.name.isdecimal()
    if root.name == _FOLDERS[0] and (frame or sidecar_format(root) is not None):
        return False  # MOTS: instances/0000/000000.png
    named = root.name in (*_FOLDERS, *_ALSO) and not _labelled(files[0])
    laid_out = root != path or named or _marked(files[0]) or _all_arrays(path, files)
    return laid_out and not has_result_lists(path) and not object_lists(path)


def _labelled(file: Path) -> bool:
    """Return whether a file of labels of another kind lies beside an image, so that the image is no label map."""
    return any(file.with_suffix(ending).is_file() for ending in (".geojson", ".json", ".txt", ".xml"))


def doubt(path: Path) -> str:
    """Return why the values are classes rather than objects, and what to name; empty if they look like objects."""
    root, files = (path.parent, [path]) if path.is_file() else _label_files(path)
    if not files or note_of(files[0]) is not None:
        return ""
    near = (folder for above in (root.resolve(), *root.resolve().parents[:2]) for folder in (above, above / LISTS[0]))
    listed = next(filter(None, map(object_lists, near)), None)
    if listed:
        return f"holds one object a file, and {listed[0]} says of which image (Open Images); name that file"
    beside = root.resolve().parent / _FOLDERS[0]
    if root.resolve() != beside and _files(beside):
        return f"holds classes, where {beside} holds objects; name that folder, or say " + _READ_AS
    sign = class_sign(files)
    return f"the values look like classes, not like objects: {sign}; say " + _READ_AS if sign else ""


def _marked(path: Path) -> bool:
    """Return whether the name, or the note inside, says that this is a label map."""
    return bare_stem(path.stem) != path.stem or note_of(path) is not None


def _label_files(folder: Path) -> tuple[Path, list[Path]]:
    """Return the folder that label maps' paths are relative to, and the label maps."""
    for name in _FOLDERS:
        if (folder / name).is_dir() and (name != _FOLDERS[0] or _files(folder / name)):
            return folder / name, _files(folder / name)
    for name in _ALSO:
        if files := _only_label_files(folder / name):
            return folder / name, files
    found = _files(folder)
    marked = [p for p in found if bare_stem(p.stem) != p.stem]
    if not marked:
        return folder, [p for p in found if _is_array(p) and p.parent == folder and is_label_raster(p)] or found
    return folder, found if note_of(marked[0]) is not None else marked


def _files(folder: Path) -> list[Path]:
    """Return every file below a folder that may be a label map; Cellpose's own files hold more than an array."""
    return [p for p in files_below(folder, _READ) if not p.name.endswith("_seg.npy") or is_label_raster(p)]


def _only_label_files(folder: Path) -> list[Path]:
    """Return every file below a folder if all of them may be label maps."""
    found = _files(folder) if folder.is_dir() else []
    return found if len(found) == len(files_below(folder, ("",))) else []


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in ARRAY_SUFFIXES


def _all_arrays(folder: Path, files: Sequence[Path]) -> bool:
    """Return whether a folder holds label maps as arrays, perhaps images, and nothing that other labels could be in."""
    known = (*ARRAY_SUFFIXES, *IMAGE_SUFFIXES)
    return _is_array(files[0]) and all(p.name.lower().endswith(known) for p in folder.iterdir() if p.is_file())


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file, page = labels.files[i], labels.refs[i].page
    if is_banded(file, page):
        return read_in_bands(file, page), {}
    return Instances.from_label_map(read_raster(file, page)), {}


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open one label map or a folder of them.

    With ``on_bad`` every label map is decoded once now, so that ``refs`` names no image whose label map is broken.
    """
    if path.is_file():
        root, files = path.parent, [path]
    else:
        root, files = _label_files(path)
        if not files:
            raise FormatError(path, f"holds no label maps ({', '.join(_READ)})")
    alone = path.is_file()
    others = [name for name in _FOLDERS[1:] if root != path and (path / name).is_dir()]
    if others and root.name == _FOLDERS[0]:
        _log.warning("%s: %s/ is read; %s/ beside it, of classes, is left alone", path, root.name, others[0])
    beside = [root / "images", root][alone:]
    if root.resolve().name in (*_FOLDERS, *_ALSO):
        beside = [root.parent / "images", path]
    folder = images or next((f for f in beside if f.is_dir()), root)
    absent = images or (beside[0] if beside[0] != root else root / "images")  # never the label map itself
    wanted = [image_keys(_key(file, root)) for file in files]
    only = _key(files[0], root) if alone else None
    pictures, unclear = _pictures(folder, set(files), only, on_bad)
    # a folder of labels by its name; apiece's own files name their images, and lie beside overlays
    apart = images is None and root.resolve().name in (*_FOLDERS, *_ALSO) and note_of(files[0]) is None
    if apart and pictures.keys().isdisjoint(itertools.chain.from_iterable(wanted)):
        folder = _sibling(root, wanted) or folder
        pictures, unclear = _pictures(folder, set(files), only, on_bad)
    keys: dict[str, Path] = {}
    refs: list[ImageRef] = []
    kept: list[Path] = []
    for file in files:
        key = _key(file, root)
        if key in keys:
            refuse(FormatError(file, f"and {keys[key].name} are label maps of the same image; remove one"), on_bad)
        elif key not in unclear:
            keys[key] = file
            image = next((pictures[k] for k in image_keys(key) if k in pictures), None)
            for name, page in _paged(file, _name(file, root, image, folder)):
                refs.append(ImageRef(image or absent / name, name, page=page))
                kept.append(file)
    used = set(itertools.chain.from_iterable(map(image_keys, keys)))
    unlabelled = [] if alone or not pictures.keys() & used else sorted(pictures.keys() - used)
    if unlabelled:
        example = pictures[unlabelled[0]].name
        _log.warning("%s: %d images have no label map and are left out, such as %s", path, len(unlabelled), example)
    labels = BandedSet(tuple(refs), tuple(kept), ("object",), _decode, on_bad=on_bad)
    if on_bad is not None and alone and len(labels) == 1:
        labels.look(0)  # raises for a broken file: with its one image, nothing is left
    return labels.sound()


def _sibling(root: Path, wanted: Sequence[list[str]]) -> Path | None:
    """Return the folder beside a folder of label maps that holds the images of most of them, if any holds one."""
    held: dict[Path, int] = {}
    near = (p for p in sorted(root.resolve().parent.iterdir()) if p.is_dir() and p.name not in (*_FOLDERS, *_ALSO))
    for folder in (p for p in near if not _DRAWN.search(p.name)):
        own = {stem_key(file, folder) for file in files_below(folder, IMAGE_SUFFIXES)}
        held[root.parent / folder.name] = sum(not own.isdisjoint(keys) for keys in wanted)
    best = max(held, key=held.__getitem__, default=None)
    return best if best is not None and held[best] else None


def _paged(file: Path, name: str) -> list[tuple[str, int | None]]:
    """Return what the images of a file's label maps are called, and the page of each."""
    count = stack_pages(file)
    if count == 1:
        return [(name, None)]
    whole = Path(name)
    digits = len(str(count - 1))
    return [(whole.with_name(f"{whole.stem}#{k:0{digits}d}{whole.suffix}").as_posix(), k) for k in range(count)]


def _key(file: Path, root: Path) -> str:
    key = stem_key(file, root)
    if bare_stem(key) == key or note_of(file) is not None:
        return key  # `write` names label maps as their images, `_mask` or not
    return bare_stem(key)


def _pictures(folder: Path, labels: set[Path], only: str | None, on_bad: OnBad) -> tuple[dict[str, Path], set[str]]:
    """Return every image below ``folder`` by path without ending, without label maps; and names that two share."""
    found: dict[str, Path] = {}
    unclear: set[str] = set()
    files = files_below(folder) if only is None else sorted(folder.glob("*"))
    for file in files:
        key = stem_key(file, folder)
        if (
            file in labels
            or file.is_dir()
            or file.suffix.lower() not in IMAGE_SUFFIXES
            or (only and key not in image_keys(only))
        ):
            continue
        # label folders inside the folder of images are no images
        if any(part in _FOLDERS for part in file.relative_to(folder).parts[:-1]):
            continue
        if key in found:
            reason = f"and {found[key].name} share the name {key!r}, so its label map is of either"
            refuse(FormatError(file, reason), on_bad)
            unclear.add(key)
        found[key] = file
    return found, unclear


def _name(file: Path, root: Path, image: Path | None, folder: Path) -> str:
    if image is not None:
        return image.relative_to(folder).as_posix()
    said = (note_of(file) or {}).get("image")
    if isinstance(said, str) and inside(said) is None:
        return said
    key = _key(file, root)
    if _is_array(file):
        return key + ".png"
    return file.relative_to(root).as_posix() if key == stem_key(file, root) else key + file.suffix


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file for one image, if ``path`` ends in .png, .tif or .tiff, or else a folder.

    An id that does not fit is refused as a loss: PNG holds 65535, TIFF 4294967295.
    """

    def write_one(ref: ImageRef, pieces: Iterator[Instances], target: Path) -> None:
        instances, plain = next(pieces), target.suffix.lower() == ".png"
        bands = itertools.chain([instances], pieces)
        if comes_in_bands(instances.size) and not plain:
            write_large_raster(bands, instances.size, target, {"image": ref.name}, geo_tags(ref.path))
            return
        if comes_in_bands(instances.size):
            array = np.zeros(instances.size, np.uint32)
            for y, x, tiles in painted(bands, instances.size):
                part = array[y : y + BAND, x : x + WIDE]
                part[:] = np.concatenate(tiles, axis=1)[: len(part), : part.shape[1]]
            array = array.astype(np.min_scalar_type(array.max()))
        else:
            array = instances.masks.to_label_map(numbered(instances), _dtype(instances))
        if plain and array.dtype == np.uint32:
            raise LossyFormatError(path, f"PNG holds ids up to 65535, an id is {array.max()}; name it .tif")
        write_raster(array, target, {"image": ref.name}, () if plain else geo_tags(ref.path))

    def ending(instances: Instances) -> str:
        return ".tif" if _dtype(instances) is np.uint32 or comes_in_bands(instances.size) else ".png"

    write_each_in_pieces(by_image(records), path, RASTER_SUFFIXES, ending, write_one)


def _dtype(instances: Instances) -> type[np.unsignedinteger[Any]]:
    highest = numbered(instances).max(initial=0)
    return np.uint8 if highest <= 0xFF else np.uint16 if highest <= 0xFFFF else np.uint32


FORMAT = LabelFormat(
    summary="label maps: one PNG, TIFF or NumPy array per image, its values are ids; no overlap, no classes, no scores",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, ids=True, id_range=(1, _HIGHEST)),
    folders=("masks", "images"),
    doubt=doubt,
    suffixes=RASTER_SUFFIXES,
    pieces="bands",
)
