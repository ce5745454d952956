"""Cellpose: ``NAME_seg.npy`` beside its image (https://cellpose.readthedocs.io/en/latest/outputs.html).

A NumPy file of one Python object, a dictionary with ``masks`` (a label map), ``outlines``, ``filename`` and more. The
file holds a pickle, which could run anything. The reader takes it as data, without unpickling (`_pickled`), and
refuses a file that would import more than NumPy's arrays, naming what.

Read: one file or a folder of files. The values of ``masks`` are ids; there is one class, ``object``. Colours, flows,
``ismanual`` and the settings of the run are left alone. Volumes are refused: export them as a TIFF stack.

Written: a file, if the path ends in ``_seg.npy``, or a folder; ``masks``, ``outlines`` and what else Cellpose looks
for, with empty flows. Ids stay as they are in the file; Cellpose counts objects from 1 without gaps when it opens it.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, cast

import numpy as np

from apiece._arrays import Array, Bool
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.files import inside, never_raises
from apiece.formats._kit.image_places import find_image
from apiece.formats._kit.label_sets import LabelImageSet, label_files, opened
from apiece.formats._kit.said import numbered
from apiece.formats._kit.written import write_each
from apiece.formats.cellpose._pickled import Pickled, PickleRefusedError, read_pickle
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record

__all__ = ["FORMAT"]

_ENDING = "_seg.npy"
_MAGIC = b"\x93NUMPY"
_MOST_PIXELS = 1 << 30
_FIRST = 2000  # files looked at by `detect`


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a NumPy file of one object called ``*_seg.npy``, or a folder with such files in it."""
    if path.is_file():
        return path.name.endswith(_ENDING) and _is_object(path)
    if not path.is_dir():
        return False
    some = (p for _, p in zip(range(_FIRST), path.rglob("*"), strict=False))
    first = next((p for p in some if p.name.endswith(_ENDING) and p.is_file()), None)
    return first is not None and _is_object(first)


def _is_object(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(256)
    return head.startswith(_MAGIC) and (b"'|O'" in head or b"'O'" in head)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open one file or a folder of them."""
    root, files = label_files(path, (_ENDING,))
    found = list(opened(path, files, lambda file: (_ref(file, root, images), None), on_bad))
    refs, kept = tuple(ref for _, ref, _ in found), tuple(file for file, _, _ in found)
    return LabelImageSet(refs, kept, ("object",), _decode, on_bad=on_bad).sound()


def _ref(file: Path, root: Path, images: Path | None) -> ImageRef:
    stem = file.name.removesuffix(_ENDING)
    key = (file.parent.relative_to(root) / stem).as_posix()
    folder = images or root
    found = find_image(folder, key)
    if found is not None:
        return ImageRef(found, found.relative_to(folder).as_posix())
    # a path on the machine that wrote the file, Windows or not
    said = _open(file).get("filename")
    name = key + ".png"
    if isinstance(said, str):
        last = PureWindowsPath(said).name if "\\" in said else PurePosixPath(said).name
        if PurePosixPath(last).stem == stem and inside(last) is None:
            name = str(PurePosixPath(key).with_name(last))
    return ImageRef(folder / name, name)


def _open(file: Path) -> dict[Any, Any]:
    """Return the dictionary of a file; arrays are views of it."""
    try:
        with file.open("rb") as opened:
            start = _data_start(file, opened.read(1 << 12))
            view = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise FormatError(file, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise FormatError(file, f"is no NumPy file: {error}") from None
    try:
        found = read_pickle(view[start:])
    except PickleRefusedError as error:
        raise FormatError(file, str(error)) from None
    if isinstance(found, Pickled) and isinstance(found.data, list) and len(found.data) == 1:
        found = found.data[0]
    if not isinstance(found, dict):
        raise FormatError(file, "holds no dictionary, as a file of Cellpose does")
    return found


def _data_start(file: Path, head: bytes) -> int:
    """Return where the pickle begins, behind a header that says it is one object."""
    if not head.startswith(_MAGIC) or len(head) < 12:
        raise FormatError(file, "is no NumPy file, or cut short")
    wide = head[6] > 1
    length = int.from_bytes(head[8 : 12 if wide else 10], "little")
    start = (12 if wide else 10) + length
    text = head[12 if wide else 10 : start]
    if start > len(head) or b"'O'" not in text.replace(b"|", b"") or b"'shape': ()" not in text:
        raise FormatError(file, "is no NumPy file of one object; a plain array of labels is another format")
    return start


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    file = labels.files[i]
    masks = _open(file).get("masks")
    if not isinstance(masks, Pickled):
        raise FormatError(file, "masks: is missing, or no array")
    try:
        array = masks.array()
    except PickleRefusedError as error:
        raise FormatError(file, f"masks: {error}") from None
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2:
        raise FormatError(file, f"masks: is of shape {array.shape}; volumes are not read, export them as a TIFF stack")
    if array.dtype.kind not in "biu" or not 0 < array.size <= _MOST_PIXELS:
        raise FormatError(file, f"masks: must be integers, up to {_MOST_PIXELS}; got {array.dtype}, {array.shape}")
    if int(array.min()) < 0 or int(array.max()) >= 2**63:
        raise FormatError(file, f"masks: has values from {array.min()} to {array.max()}; ids are from 1 on, in 63 bits")
    whole = array.view(np.uint8) if array.dtype.kind == "b" else array.astype(array.dtype.newbyteorder("="))
    return Instances.from_label_map(whole), {}


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one ``*_seg.npy``, or a folder of them."""
    if path.suffix == ".npy" and not path.name.endswith(_ENDING):
        raise FormatError(path, f"must end in {_ENDING}, as Cellpose looks for it beside the image")
    write_each(records, path, (_ENDING,), _ENDING, _save)


def _save(ref: ImageRef, instances: Instances, target: Path) -> None:
    values = numbered(instances)
    masks = instances.masks.to_label_map(values, np.uint16 if values.max(initial=0) < 2**16 else np.uint32)
    said = {
        "outlines": masks * _edges(masks),
        "masks": masks,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(len(instances), bool),
        "filename": ref.name.replace("\\", "/"),
        "flows": [],
        "diameter": float("nan"),
    }
    with target.open("wb") as file:
        # an object array is how Cellpose stores it; only writing pickles, never reading
        np.save(file, cast(Any, said), allow_pickle=True)


def _edges(masks: Array) -> Bool:
    """Return the pixels of an object beside something else, or at the border."""
    wide = np.pad(masks, 1)
    near = (wide[:-2, 1:-1], wide[2:, 1:-1], wide[1:-1, :-2], wide[1:-1, 2:])
    edge: Bool = (masks > 0) & np.logical_or.reduce([masks != other for other in near])
    return edge


FORMAT = LabelFormat(
    summary="Cellpose *_seg.npy, read without unpickling; its values are ids; no overlap, no classes, no scores",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, ids=True, id_range=(1, 2**32 - 1)),
)
