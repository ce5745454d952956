"""KITTI MOTS and MOTS20: objects followed through video (https://www.vision.rwth-aachen.de/page/mots).

* A folder, ``instances/SEQUENCE/000052.png``: 16 bit, class * 1000 + n; 10000 is a region to ignore.
* Text, ``instances_txt/SEQUENCE.txt`` or ``SEQUENCE/gt/gt.txt``: a line of ``frame id class height width run-lengths``
  per object, the run-lengths as COCO compresses them; class 10 is a region to ignore. A file or a folder of such files.

Class 1 is car, 2 pedestrian. Ids (1005) are the file's, and stay the same over all frames. Ignored regions are no
objects: the reader keeps them on each record's image, ``ImageRef.attributes["regions"] = {"ignore": COCO RLE}``, and
the writer writes them back from there. Images are called ``SEQUENCE/000052.png``.

Written: a folder of PNG with a file ``apiece.json`` that keeps image names, other classes and ids that are no value of
this form; or, if the path ends in .txt, one sequence as text, whose images must be called so, of the classes above. A
text has no line for a frame without objects. Where such a frame is the first or last one, an ignored region without a
pixel says that it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.class_times_1000 import Values, instances_of, numbers_of
from apiece.formats._kit.files import never_raises
from apiece.formats._kit.image_places import image_ref, images_in
from apiece.formats._kit.label_images import add_region, is_16_bit_png, read_raster, regions_of, save_label_png
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.sidecar import SIDECAR, load_sidecar, noted_file, sidecar_format, written_set
from apiece.formats._kit.written import atomic_file
from apiece.formats.contract import ANY_INT64, Holds, LabelFormat, OnBad, Record
from apiece.formats.kitti_mots._text import Frame, decode_lines, is_mots_text, read_lines, write_lines

__all__ = ["FORMAT"]

_CLASSES = {"car": 1, "pedestrian": 2}
_IGNORE = 10000
_NAME = "kitti_mots"


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a text of MOTS, a folder of them, or one of folders with numbered 16-bit PNG."""
    if path.is_file():
        return path.suffix == ".txt" and is_mots_text(path)
    if not path.is_dir():
        return False
    root = path if sidecar_format(path) is not None else _root(path)
    said = sidecar_format(root)
    if said is not None:
        return said == _NAME
    texts = _texts(root)
    if texts:
        return is_mots_text(texts[0])
    first = next((p for p in sorted(root.glob("*/*.png")) if p.stem.isdecimal()), None)
    return first is not None and first.parent.name.isdecimal() and is_16_bit_png(first)


def _root(path: Path) -> Path:
    return next((path / name for name in ("instances", "instances_txt") if (path / name).is_dir()), path)


def _texts(root: Path) -> list[Path]:
    """Return the texts in a folder, one for each sequence."""
    layouts = ("*.txt", "gt/gt.txt", "*/gt/gt.txt")
    return next((found for layout in layouts if (found := sorted(root.glob(layout)))), [])


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open a folder of sequences, one sequence, or a text."""
    if path.is_file():
        return _read_text([path], images, on_bad)
    root = path if (path / SIDECAR).exists() else _root(path)
    texts = [] if (root / SIDECAR).exists() else _texts(root)
    if texts:
        return _read_text(texts, images, on_bad)
    said = load_sidecar(root, _NAME)
    pictures = {p.relative_to(root).with_suffix("").as_posix(): p for p in sorted(root.rglob("*.png"))}
    found = {key: root / f"{key}.png" for key in said.get("images", {})} | pictures
    if not found and not said:
        raise FormatError(path, "holds no sequences: neither SEQUENCE/000000.png nor SEQUENCE.txt")
    prefix = f"{root.name}/" if not said and all("/" not in key for key in found) else ""
    root = root.parent if prefix else root
    folder = images or _image_folder(root, root.parent / "image_02")  # never the label itself
    notes = tuple(said.get("images", {}).get(key, {}) for key in found)
    refs = tuple(image_ref(folder, prefix + key, note.get("name")) for key, note in zip(found, notes, strict=True))
    classes = tuple(said["classes"]) if said else tuple(_CLASSES)
    numbers = {n: k for k, n in enumerate(numbers_of(classes, _CLASSES, {_IGNORE // 1000}, path))}
    return LabelImageSet(refs, tuple(found.values()), classes, _decode_png, notes, {}, numbers, on_bad).sound()


def _image_folder(root: Path, otherwise: Path) -> Path:
    near = [root.parent / "image_02", root.parent / "training" / "image_02", root.parent / "images"]
    return next((f for f in near if f.is_dir()), otherwise)


def _decode_png(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file = noted_file(labels.files[i])
    array = read_raster(file)
    regions = regions_of(array, {_IGNORE: "ignore"})
    left = np.where(array == _IGNORE, 0, array) if regions else array
    found = instances_of(left, labels.context, labels.classes, labels.rows[i], file, labels.report)
    return found, {"regions": regions} if regions else {}


def _read_text(files: list[Path], images: Path | None, on_bad: OnBad) -> LabelImageSet:
    classes = tuple(_CLASSES)
    numbers = {number: k for k, number in enumerate(_CLASSES.values())}
    places: list[Path] = []
    refs: list[ImageRef] = []
    notes: list[Frame] = []
    for file in files:
        sequence, folder = _sequence(file, images)
        pictures = images_in(folder)
        for number, frame in read_lines(file, numbers, on_bad).items():
            key = f"{number:06d}"
            found = pictures.get(key)
            name = f"{sequence}/{key}.png" if found is None else f"{sequence}/{found.name}"
            refs.append(ImageRef(found or folder / f"{key}.png", name, frame.size))
            places.append(file)
            notes.append(frame)
    return LabelImageSet(tuple(refs), tuple(places), classes, _decode_text, tuple(notes), on_bad=on_bad).sound()


def _sequence(file: Path, images: Path | None) -> tuple[str, Path]:
    """Return what a text's sequence is called, and where its images are."""
    path = file.resolve()
    if path.name == "gt.txt" and path.parent.name == "gt":  # MOTS20-02/gt/gt.txt beside MOTS20-02/img1
        name, beside = path.parent.parent.name, path.parent.parent / "img1"
        return name, beside if images is None else images / name
    return path.stem, (images or _image_folder(file.parent, file.parent)) / path.stem


def _decode_text(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    frame = labels.rows[i]
    found, regions = decode_lines(labels.files[i], frame, labels.classes, labels.on_bad)
    return found, {"regions": regions} if regions else {}


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder of PNG, or one sequence as text if ``path`` ends in .txt.

    Refused as a loss: more objects of a class than fit, an ignored region over an instance, what a text cannot hold.
    """
    numbers = numbers_of(classes, _CLASSES, {_IGNORE // 1000}, path)
    values = Values(path, numbers, crowds=False)
    if path.suffix == ".txt":
        unknown = [name for name in classes if name not in _CLASSES]
        if unknown:
            raise LossyFormatError(path, f"a text has the classes {' and '.join(_CLASSES)}, not {unknown[0]!r}")
        with atomic_file(path) as temporary:
            write_lines(records, path, temporary, numbers, lambda record: _text_ids(values, record, path))
        return
    with written_set(path, _NAME, classes) as out:
        for ref, instances in records:
            key = out.key(ref)
            own, note = values.of(ref, instances)
            out.note(key, ref, **note)
            painted = instances.masks.to_label_map(own, np.uint16)
            add_region(painted, ref, "regions", "ignore", _IGNORE, path)
            save_label_png(painted, out.folder / f"{key}.png")


def _text_ids(values: Values, record: Record, path: Path) -> list[int]:
    ref, instances = record
    if instances.ids is None:
        return [int(v) for v in values.of(ref, instances)[0]]
    if len(instances) and not 0 <= int(instances.ids.min()) <= int(instances.ids.max()) < 10**18:
        raise LossyFormatError(path, f"image {ref.name!r}: ids in a text are from 0 to {10**18 - 1}")
    return [int(v) for v in instances.ids]


FORMAT = LabelFormat(
    summary="KITTI MOTS: folder of PNG (class * 1000 + n), or text lines with run-lengths; ids over frames; no overlap",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, classes=True, ids=True, id_range=ANY_INT64),
    folders=("instances", "image_02"),
)
