"""ImageJ ROIs: a ``.zip`` of ROIs (the ROI Manager's RoiSet.zip) or one ``.roi`` (https://imagej.net/ij/docs/guide).

Read: one file, which is of one image, or a folder of files. Polygon, freehand and traced ROIs by COCO's rasterisation,
composite ones (holes, parts, curves) filled by the even-odd rule as in ImageJ, rectangles and ovals by the pixels whose
centres they hold. Lines, points, text and pictures are no
masks and come as ``ImageRef.shapes``. Coordinates are pixels from the upper left corner.

Classes are the ROIs' groups: ``group 1``, ``group 2`` ..., and ``object`` where a ROI is in none. The name, and
``position`` (the slice, from 1) or ``c_position``, ``z_position``, ``t_position`` of a stack where they are set, are
attributes. The image has the file's name with another ending, without ``_RoiSet`` or ``_rois``; a ``RoiSet.zip`` is of
the only image beside it.

Written: a ROI per object, traced along pixel edges, or composite. What ImageJ has no place for (class names, ids,
scores, crowd flags, attributes) is in the ROI's property ``apiece``, and the image in the archive's comment. ROIs that
are no masks are written as they were.

The reader looks through an archive before it unpacks anything: too many or too large entries, names that leave the
archive, encryption and rare compression are refused.
"""

from __future__ import annotations

import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from roifile import ImagejRoi

from apiece.core.image import ImageRef, Shape
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import BadEntryError, Size, finite, is_int64, skip_bad
from apiece.formats._kit.entries import Entry
from apiece.formats._kit.files import files_below
from apiece.formats._kit.image_places import image_note, noted_image
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.label_sets import EntrySet, label_files, opened
from apiece.formats._kit.said import said_of
from apiece.formats._kit.written import write_each
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Record
from apiece.formats.imagej_roi._shapes import has_area, kind_of_roi, roi_of, shape_of

__all__ = ["FORMAT"]

_ENDINGS = (".roi", ".zip")
_ENTRIES = 1 << 20
_ENTRY = 1 << 26  # bytes of one ROI: millions of points
_TOTAL = 1 << 31
_INFLATION = 1100  # deflate cannot pack tighter than about 1030 : 1
_NAME = 512
_COMMENT = 65535
_POSITIONS = ("position", "c_position", "z_position", "t_position")
_DAY = (1980, 1, 1, 0, 0, 0)  # the same ROIs are the same bytes


def detect(path: Path) -> bool:
    """Return whether ``path`` is a ROI, an archive of ROIs, or a folder with such."""
    try:
        if path.is_dir():
            files = files_below(path, _ENDINGS)
            return bool(files) and detect(files[0])
        with path.open("rb") as file:
            head = file.read(4)
        if head != b"PK\3\4" and head != b"PK\5\6":
            return head == b"Iout"
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if info.filename[-1:] != "/"]
            return all(n.lower().endswith(".roi") for n in names) and bool(names or _note(archive.comment))
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> EntrySet:
    """Open a file or a folder of them; images lie beside the files, in ``images/``, or in ``images``."""
    root, files = label_files(path, _ENDINGS)
    stated: dict[str, None] = {}
    groups: set[int] = set()
    refs: list[ImageRef] = []
    kept: list[Path] = []

    def look(file: Path) -> tuple[ImageRef, list[str]]:
        note, names, shapes = _survey(file, groups)
        return replace(_ref(file, root, images, note), shapes=shapes), names

    for file, ref, names in opened(path, files, look, on_bad):
        refs.append(ref)
        kept.append(file)
        stated.update(dict.fromkeys(names))
    classes = (*stated, *(name for n in sorted(groups) if (name := _group(n)) not in stated))
    return EntrySet(tuple(refs), tuple(kept), classes or ("object",), _decode, on_bad=on_bad)


def _group(number: int) -> str:
    return f"group {number}" if number else "object"


def _survey(file: Path, groups: set[int]) -> tuple[dict[str, Any], list[str], tuple[Shape, ...]]:
    """Return what the file says of its image, its class names, and its ROIs without area; add its groups."""
    note: dict[str, Any] = {}
    names: list[str] = []
    shapes: list[Shape] = []
    if file.suffix.lower() == ".zip" or _is_zip(file):
        with _opened(file) as archive:
            note = _note(archive.comment)
    for name, roi, data in _rois(file):
        if not isinstance(roi, ImagejRoi):
            continue  # reported when it is decoded
        own = _own(roi)
        if type(own.get("set")) is dict:
            note = note or own["set"]
        if not has_area(roi):
            shapes.append(Shape(kind_of_roi(roi), "imagej_roi", (name, data)))
        elif type(own.get("class")) is str:
            names.append(own["class"])
        else:
            groups.add(roi.group)
    listed = note.get("classes")
    names = [n for n in listed if type(n) is str] + names if type(listed) is list else names
    return note, names, tuple(shapes)


def _note(text: bytes | str) -> dict[str, Any]:
    """Return the JSON that `write` left; empty for anything else."""
    try:
        note = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found = note.get("apiece") if type(note) is dict else None
    return found if type(found) is dict else {}


def _own(roi: ImagejRoi) -> dict[str, Any]:
    for line in roi.props.split("\n"):
        if line.startswith("apiece: "):
            return _note('{"apiece": ' + line.removeprefix("apiece: ") + "}")
    return {}


def _ref(file: Path, root: Path, images: Path | None, note: dict[str, Any]) -> ImageRef:
    if note.get("image") is None:
        bare = file.with_name(re.sub(r"(?i)[-_ ]*(roiset|rois)$", "", file.stem) + file.suffix)
        nameless = bare.stem == file.suffix
        beside = files_below(images or file.parent) if nameless else []
        if len(beside) == 1:
            return ImageRef(beside[0], beside[0].relative_to(images or file.parent).as_posix())
        file = file if nameless else bare
    return noted_image(file, root, images, note)


def _is_zip(file: Path) -> bool:
    try:
        with file.open("rb") as handle:
            return handle.read(2) == b"PK"
    except OSError as error:
        raise FormatError(file, f"cannot be read: {error.strerror}") from None


def _opened(file: Path) -> zipfile.ZipFile:
    """Return the archive, if what it claims would not fill the memory."""
    try:
        archive = zipfile.ZipFile(file)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise FormatError(file, f"is no whole ZIP archive: {error}") from None
    infos = archive.infolist()
    total = sum(info.file_size for info in infos)
    if len(infos) > _ENTRIES:
        reason = f"holds {len(infos)} entries; up to {_ENTRIES} are read"
    elif total > _TOTAL or total > file.stat().st_size * _INFLATION:
        reason = f"claims to unpack to {total} bytes, which is no set of ROIs"
    else:
        return archive
    archive.close()
    raise FormatError(file, reason)


def _rois(file: Path) -> Iterator[tuple[str, ImagejRoi | str, bytes]]:
    """Yield (entry's name, the ROI or why it cannot be read, its bytes) of everything in a file."""
    if not _is_zip(file):
        if file.stat().st_size > _ENTRY:
            raise FormatError(file, f"is of {file.stat().st_size} bytes; one ROI has fewer")
        data = file.read_bytes()
        yield file.name, _roi(data), data
        return
    with _opened(file) as archive:
        seen: set[str] = set()
        for k, info in enumerate(archive.infolist(), 1):
            if info.filename[-1:] == "/":
                continue
            reason = f"is in the archive twice (entry {k})" if info.filename in seen else _refusal(info)
            seen.add(info.filename)
            data = b""
            if reason is None:
                try:
                    with archive.open(info) as entry:
                        data = entry.read(_ENTRY + 1)
                except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
                    reason = f"cannot be unpacked: {error}"
            yield info.filename[:_NAME], _roi(data) if reason is None else reason, data


def _refusal(info: zipfile.ZipInfo) -> str | None:
    """Return why an entry must not be unpacked; None if it may."""
    name = info.filename
    if not name or len(name) > _NAME or not name.isprintable():
        return "has a name that no ROI has"
    if name.startswith(("/", "\\")) or ":" in name or ".." in re.split(r"[/\\]", name):
        return "has a name that leaves the archive"
    if info.flag_bits & 1:
        return "is encrypted; unpack and pack it again without a password"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that ImageJ does not know; pack it again"
    if info.file_size > _ENTRY or info.file_size > max(info.compress_size, 1) * _INFLATION:
        return f"claims to unpack to {info.file_size} bytes, which is no ROI"
    return None


def _roi(data: bytes) -> ImagejRoi | str:
    try:
        return ImagejRoi.frombytes(data)
    except Exception as error:
        # whatever is wrong with the bytes shows as struct.error, TypeError, UnicodeDecodeError ...
        return f"is no whole ROI: {error}"


def _decode(labels: EntrySet, index: int, size: Size) -> list[Entry]:
    file, found = labels.files[index], []
    for name, roi, _ in _rois(file):
        with skip_bad(labels.on_bad, file, name):
            if isinstance(roi, str):
                raise BadEntryError(roi)
            if has_area(roi):
                found.append(_entry(roi, name, size, labels.classes))
    return found


def _entry(roi: ImagejRoi, where: str, size: Size, classes: tuple[str, ...]) -> Entry:
    own = _own(roi)
    if not own and roi.roitype == 1 and not roi.composite and roi.right <= roi.left:
        raise BadEntryError("is a rectangle without a pixel")
    name = own["class"] if type(own.get("class")) is str else _group(roi.group)
    extras = dict(own["attributes"]) if type(own.get("attributes")) is dict else {}
    if not own:
        extras["name"] = roi.name or where.removesuffix(".roi")
        extras |= {key: getattr(roi, key) for key in _POSITIONS if getattr(roi, key)}
    number, score = own.get("id"), own.get("score")
    return Entry(
        where,
        classes.index(name),
        shape_of(roi, size),
        number if is_int64(number) else None,
        None if score is None else finite(score, "score"),
        own.get("crowd") is True,
        extras,
    )


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one archive for one image, if ``path`` ends in .zip, or one ROI if in .roi, or else a folder of archives.

    Several objects into one .roi are refused as a loss, and class names longer than an archive's comment.
    """

    def write_one(ref: ImageRef, instances: Instances, target: Path) -> None:
        where = f"image {ref.name!r}"
        note = image_note(ref, instances.size, classes)
        if target.suffix.lower() == ".roi":
            count = len(instances) + len(ref.shapes)
            if len(instances) != 1 or count > 1:
                raise LossyFormatError(path, f"{where}: a .roi holds one object, got {count}; name it .zip")
            target.write_bytes(next(_written(instances, path, where, {"set": note})))
            return
        comment = dump_json(path, {"apiece": note}, where).encode()
        if len(comment) > _COMMENT:
            raise LossyFormatError(path, f"{where}: the class names are longer than an archive can hold")
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = comment
            masks, others = _written(instances, path, where, {}), (shape.content[1] for shape in ref.shapes)
            for name, data in zip(_names(len(instances), ref.shapes), itertools.chain(masks, others), strict=True):
                info = zipfile.ZipInfo(name, _DAY)
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, data)

    write_each(records, path, _ENDINGS, ".zip", write_one)


def _names(count: int, shapes: Iterable[Shape]) -> list[str]:
    """Return the entries' names: numbers for masks, and for other ROIs the names they had."""
    kept: list[str] = []
    for name, _ in (shape.content for shape in shapes):
        tries = itertools.chain([name], (f"{k}-{name}" for k in itertools.count(2)))
        kept.append(next(t for t in tries if t not in kept))
    taken = set(kept)
    free = (name for k in itertools.count(1) if (name := f"{k:05d}.roi") not in taken)
    return [*itertools.islice(free, count), *kept]


def _written(instances: Instances, path: Path, where: str, common: dict[str, Any]) -> Iterator[bytes]:
    outlines = (p for k in range(0, len(instances), 256) for p in instances.masks[k : k + 256].to_polygons())
    boxes = instances.boxes.astype(int).tolist()
    for k, (said, parts, box) in enumerate(zip(said_of(instances), outlines, boxes, strict=True)):
        own: dict[str, Any] = {"class": said.name} | common
        if said.id is not None:
            own["id"] = said.id
        if said.score is not None:
            own["score"] = said.score
        if said.crowd:
            own["crowd"] = True
        if said.attributes:
            own["attributes"] = said.attributes
        roi = roi_of(parts, box)
        roi.name = f"{k + 1:05d}"
        roi.group = said.label + 1 if said.label < 255 else 0
        for key in _POSITIONS:
            if type(said.attributes.get(key)) is int and 0 < said.attributes[key] < 1 << 31:
                setattr(roi, key, said.attributes[key])
        roi.props = f"apiece: {dump_json(path, own, where)}\n"
        yield roi.tobytes()


FORMAT = LabelFormat(
    summary="ImageJ ROI archive or single ROI: polygons, composites with holes and parts; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    suffixes=_ENDINGS,
    shapes="imagej_roi",
)
