"""Label formats, one file each: `read` labels, `write` them without loss, `detect` what a file is.

>>> for ref, instances in apiece.read("data/train.json"):
...     print(ref.name, len(instances))
a.png 2
b.png 2
>>> apiece.write(apiece.read("data/train.json"), "out.json", format="coco")
[]
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import keep_freed_memory
from apiece.core.classes import places
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, FormatError, Option
from apiece.formats._engine.bands import pieced
from apiece.formats._engine.no_masks import own_shapes, tell
from apiece.formats._engine.stuff import stuff_classes
from apiece.formats._kit.files import inside, unpacking
from apiece.formats._kit.foreign import foreign
from apiece.formats._kit.json_files import load_json
from apiece.formats._kit.safe_xml import parse_xml
from apiece.formats.contract import ROOM, Holds, LabelFormat, LabelSet, OnBad, Once, Record

__all__ = [
    "Holds",
    "LabelFormat",
    "LabelSet",
    "Record",
    "describe",
    "detect",
    "format_for",
    "load",
    "names",
    "read",
    "stuff_classes",
    "write",
]

_WHICH, _TO = Option("format", ...), Option("format", ..., flag="--to")
Labelled = tuple[ImageRef | Image | str | os.PathLike[str], Instances]


names, load, describe = ROOM.names, ROOM.load, ROOM.describe


def detect(path: str | os.PathLike[str]) -> str:
    """Return the name of the format that a file or folder is of, by its content.

    Parameters
    ----------
    path : label file or folder.

    Raises
    ------
    FormatError
        if there is nothing at ``path``, or it is of no format or of several.

    Examples
    --------
    >>> apiece.formats.detect("data/train.json")
    'coco'
    """
    path = Path(path)
    if not path.exists():
        raise FormatError(path, "there is no such file or folder")
    if path.is_file() and not path.stat().st_size:
        raise FormatError(path, "is empty")
    found = [name for name, format in ROOM.load_all().items() if format.guessed and format.detect(path)]
    if not found and (archive := unpacking(path)):
        raise FormatError(path, archive)
    if not found:
        _refuse_broken(path)
        if known := foreign(path):
            raise FormatError(path, known)
    if not found:
        looked = ", ".join(names())
        said = f"is of no known label format; looked for {looked}. If it is one, name it with " + _WHICH
        raise FormatError(path, said + "; if a label file lies in the folder, name the file" if path.is_dir() else said)
    if len(found) > 1:
        raise FormatError(path, f"could be {' or '.join(found)}; say which with " + _WHICH)
    return found[0]


def _refuse_broken(path: Path) -> None:
    """Refuse a broken JSON or XML file: it is no unknown format, and where it breaks is told."""
    file = path / "annotations.xml" if path.is_dir() else path
    if file.suffix.lower() == ".xml" and file.is_file():
        parse_xml(file, lambda name, attributes, line: None, lambda name, text: None)
    if file.suffix.lower() in (".json", ".geojson") and file.is_file():
        load_json(file, [])


def read(
    path: str | os.PathLike[str],
    format: str | LabelFormat | None = None,
    images: str | os.PathLike[str] | None = None,
    on_bad: OnBad = None,
    clip_outlines: bool = False,
) -> LabelSet:
    """Open labels: classes and image references at once, masks when an item is asked for.

    What is no mask (points, lines, tags) is in ``ImageRef.shapes``; a line of the log counts it.

    Parameters
    ----------
    path : label file or folder.
    format : its format, or the name of one; found by content if None.
    images : folder that image names are relative to; found beside the labels if None.
    on_bad : called once with the `FormatError` of each bad entry, which is left out, while the set is opened and while
        its items are decoded; if None, the first error is raised.
    clip_outlines : cut outlines at the border of their image however far they reach. If False, an outline that reaches
        further than 2 pixels, or 1% of the side, is a bad entry. An outline wholly outside is one in any case.

    Returns
    -------
    The labels, a sequence of ``(ImageRef, Instances)``.

    Raises
    ------
    FormatError
        naming file, line or key, and reason.
    UnknownNameError
        for a format that does not exist.

    Examples
    --------
    >>> for ref, instances in apiece.read("data/train.json"):
    ...     print(ref.name, instances.names, instances.masks.area.tolist())
    a.png ['bolt', 'nut'] [54, 130]
    b.png ['bolt', 'nut'] [54, 130]
    """
    chosen = format if isinstance(format, LabelFormat) else load(detect(path) if format is None else format)
    path = Path(path)
    if not path.exists():
        raise FormatError(path, "there is no such file or folder")
    if format is None and chosen.doubt is not None and (reason := chosen.doubt(path)):
        raise FormatError(path, reason)
    if path.suffix.lower() not in chosen.suffixes and (archive := unpacking(path)):
        raise FormatError(path, archive)
    if images is not None and not Path(images).is_dir():
        raise FormatError(Path(images), "there is no such folder of images")
    labels = chosen.read(path, None if images is None else Path(images), None if on_bad is None else Once(on_bad))
    border = getattr(labels, "border", None)
    if border is not None:
        border.path, border.clip = path, clip_outlines
    tell(path, labels)
    return labels


def write(
    records: Iterable[Labelled],
    path: str | os.PathLike[str],
    format: str | LabelFormat | None = None,
    classes: Iterable[str] | None = None,
    allow_lossy: bool = False,
    metadata: Mapping[str, Any] | None = None,
) -> list[str]:
    """Write labels, streaming; on any error nothing is left at ``path`` that was not there before.

    Parameters
    ----------
    records : ``(image, Instances)`` pairs, such as a `LabelSet`; the image as `ImageRef`, `Image`, path or name. In
        formats with `LabelFormat.pieces` an image too large for one record may come as several in a row, each with some
        of its objects, under one and the same `ImageRef`.
    path : file or folder to write.
    format : the format, or the name of one; chosen by the ending of ``path`` if None.
    classes : class names in the order wanted; if None, the classes of ``records``, or of the first set of instances.
    allow_lossy : write what the format can hold instead of refusing.
    metadata : what a file says of the set as a whole (``LabelSet.metadata``); if None, the metadata of ``records``.

    Returns
    -------
    What was lost, a line per image and kind of loss; empty unless ``allow_lossy``.

    Raises
    ------
    LossyFormatError
        naming image and instances, or shapes that are no masks, that the format cannot hold.
    FormatError
        for an image whose name leaves the folder, or whose stated size is not the size of its instances.
    DataError
        if instances have a class that is not among ``classes``.

    Examples
    --------
    >>> labels = apiece.read("data/train.json")
    >>> apiece.write(labels, "copy.json", format="coco")
    []
    >>> apiece.write(labels, "polygons", format="yolo", allow_lossy=True)[0]
    "image 'a.png', ids 1, 2: ids lost"
    """
    path = Path(path)
    chosen = format if isinstance(format, LabelFormat) else load(format_for(path) if format is None else format)
    if chosen.write is None:
        raise ConfigError("this format is only read; name another with " + _TO + f": {', '.join(_written())}")
    wanted = getattr(records, "classes", None) if classes is None else classes
    metadata = getattr(records, "metadata", {}) if metadata is None else metadata
    stream = ((_ref(image), instances) for image, instances in records)
    if wanted is None:
        first = next(stream, None)
        stream = itertools.chain([] if first is None else [first], stream)  # type: ignore[assignment]
        wanted = () if first is None else first[1].classes
    order = tuple(wanted)
    lost: list[str] = []
    keep_freed_memory()
    whole = (record if record[1].classes == order else _with_classes(record, order) for record in stream)
    own = own_shapes(whole, path, chosen, allow_lossy, lost)
    kept = pieced(own, path, chosen, allow_lossy, lost)
    chosen.write((_checked(record, path) for record in kept), path, order, metadata)
    return lost


def format_for(path: Path) -> str:
    """Return the name of the format that is written to ``path`` when none is named: by its ending.

    Raises
    ------
    ConfigError
        if the ending says nothing, or could mean several formats.

    Examples
    --------
    >>> apiece.formats.format_for(Path("labels.xml"))
    'cvat'
    """
    endings = {name: format.suffixes for name, format in ROOM.load_all().items()}
    found = [name for name, suffixes in endings.items() if path.suffix.lower() in suffixes]
    if len(found) > 1:
        raise ConfigError(f"{path.name!r} could be written as {' or '.join(found)}; say which with " + _TO)
    if not found:
        known = ", ".join(sorted(f"{ending} ({name})" for name, suffixes in endings.items() for ending in suffixes))
        raise ConfigError(
            f"cannot tell from {path.name!r} which format to write; name it with "
            + _TO
            + f": {', '.join(_written())}; or end it in {known}"
        )
    return found[0]


def _written() -> list[str]:
    """Return the names of the formats that are not only read."""
    return [name for name, format in ROOM.load_all().items() if format.write is not None]


def _ref(image: ImageRef | Image | str | os.PathLike[str]) -> ImageRef:
    if isinstance(image, ImageRef):
        return image
    if isinstance(image, Image):
        if image.path is None:
            raise DataError("an image without a path has no name to write; give an ImageRef or a name instead")
        return ImageRef(image.path, image.path.name, image.size)
    return ImageRef(Path(image), Path(image).name if Path(image).is_absolute() else Path(image).as_posix())


def _checked(record: Record, path: Path) -> Record:
    """Return the record, if its image lies in the folder and is as large as its masks say."""
    ref, instances = record
    reason = inside(ref.name)
    if reason:
        raise FormatError(path, f"image name {reason}")
    if ref.size is not None and tuple(ref.size) != instances.size:
        raise FormatError(path, f"image {ref.name!r} is {ref.size}, but its instances are on {instances.size}")
    return record


def _with_classes(record: Record, classes: tuple[str, ...]) -> Record:
    """Return the same instances with labels that index into ``classes``."""
    ref, instances = record
    labels = places(instances.classes, classes)[instances.labels]
    if (labels < 0).any():
        name = instances.classes[int(instances.labels[np.argmin(labels)])]
        raise DataError(
            f"image {ref.name!r} has instances of class {name!r}, which is not among the classes to write: "
            f"{', '.join(classes)}"
        )
    return ref, instances.replace(labels=labels, classes=classes)
