"""GeoJSON as QuPath and GIS programs write it: one file per image (RFC 7946; https://qupath.readthedocs.io,
"Exporting annotations").

Read: one ``.geojson`` file, or a folder of such files; a FeatureCollection, a list of features as QuPath exports it, or
one feature; Polygon and MultiPolygon with holes, by COCO's rasterisation, whose grid is a fifth of a pixel. Features
of other geometry are no masks and come as ``ImageRef.shapes``.

Coordinates are pixels from the upper left corner, as QuPath's are, unless there is a transform: the collection's member
``geotransform`` (six numbers in GDAL's order), or a world file beside the image where no feature has QuPath's
``objectType``. It is kept as the image's attribute ``geotransform``, and `write` writes coordinates with it. Where the
attribute ``crs`` beside it names a coordinate reference system (``EPSG:32633``, or WKT), as `predict` does for a
GeoTIFF, `write` writes longitudes and latitudes, which RFC 7946 wants. A note in ``apiece`` leads back to pixels. This
needs the extra ``geo``.

The class is ``classification.name`` (or ``classification``, ``class``, ``label`` as text); QuPath's derived classes,
``classification.names``, are called as QuPath shows them, ``Tumor: Positive``. Features without a class are
``Unclassified``, or ``object`` where no feature has one, and are written without one again. Colors of classes are
kept. ``score`` and ``iscrowd`` are scores and crowd flags. A feature's id that is a whole number is the instance id,
any other id the attribute ``feature_id``; all other properties are attributes. The image has the file's name with
another ending, or is named by the collection's member ``apiece``.

Written: outlines along pixel edges, outer rings counter-clockwise and holes clockwise in the coordinates' own sense, as
RFC 7946 wants them; features that are no masks as they were. Ground truth is of ``objectType`` annotation, instances
with a score are of detection.
"""

from __future__ import annotations

import colorsys
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import keep_freed_memory
from apiece._strict_json import uncollected
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError
from apiece.formats._kit.checks import BadEntryError, Size, skip_bad
from apiece.formats._kit.entries import Entry, draw, nobody
from apiece.formats._kit.files import files_below, never_raises
from apiece.formats._kit.image_places import image_note, image_size, noted_image
from apiece.formats._kit.json_files import dump_json
from apiece.formats._kit.json_keys import peek_json
from apiece.formats._kit.label_sets import FileSet, label_files, opened
from apiece.formats._kit.written import write_each_in_pieces
from apiece.formats.contract import EVERYTHING, LabelFormat, OnBad, Outlines, Record, Seen, by_image
from apiece.formats.geojson._coordinates import read_outlines
from apiece.formats.geojson._features import Block, Features
from apiece.formats.geojson._geometry import checked_transform, placed, world_file
from apiece.formats.geojson._objects import Objects, Reader, Table
from apiece.formats.geojson._scan import Scan, scan
from apiece.formats.geojson._write import features_of, renamed

__all__ = ["FORMAT"]

_ENDINGS = (".geojson",)
_LARGE = 1 << 24  # bytes of a file that is read piece by piece


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is GeoJSON, or a folder of ``.geojson`` files."""
    if path.is_dir():
        return any(map(detect, files_below(path, _ENDINGS)[:1]))
    seen = peek_json(path)
    return seen is not None and ({"type", "features"} <= seen.keys or {"type", "geometry"} <= seen.keys)


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> FileSet:
    """Open a file or a folder of them; images lie beside the files, in ``images/``, or in ``images``."""
    keep_freed_memory()  # or the arrays of each block come from the system anew, which takes as long as the work
    root, files = label_files(path, _ENDINGS)
    classes: dict[str, None] = {}
    colors: dict[str, Any] = {}
    refs: list[ImageRef] = []
    kept: list[Path] = []
    scans: list[Scan] = []

    def look(file: Path) -> tuple[ImageRef, Scan]:
        found = scan(file)
        return _ref(file, root, images, found), found

    for file, ref, found in opened(path, files, look, on_bad):
        refs.append(replace(ref, shapes=tuple(found.shapes)))
        kept.append(file)
        scans.append(found)
        classes |= found.classes
        colors |= found.colors
    metadata: dict[str, Any] = {"geojson": {"colors": colors}}
    if any(found.unnamed for found in scans):
        nobody = "Unclassified" if classes and tuple(classes) != ("object",) else "object"
        metadata["geojson"]["unclassified"] = nobody if nobody not in colors else None
        classes.setdefault(nobody)
    names = tuple(classes) or ("object",)
    return _FeatureSet(tuple(refs), tuple(kept), names, _tables, rows=scans, metadata=metadata, on_bad=on_bad)


def _ref(file: Path, root: Path, images: Path | None, found: Scan) -> ImageRef:
    image = noted_image(file, root, images, found.note)
    stated, document = found.note.get("attributes"), found.document
    attributes = dict(stated) if type(stated) is dict else {}
    if document.get("geotransform") is not None:
        transform = checked_transform(document["geotransform"])
        if transform is None:
            raise FormatError(file, "geotransform: must be six numbers that do not place all pixels on one line")
    else:
        transform = None if found.objects or "apiece" in document else world_file(image.path)
    if transform is not None:
        attributes["geotransform"] = list(transform)
    if document.get("crs") is not None:
        attributes["crs"] = document["crs"]
    return replace(image, attributes=attributes)


class _FeatureSet(FileSet):
    """GeoJSON files. A large one is read piece by piece."""

    @uncollected()
    def record(self, index: int) -> Record:
        """Return the image with all objects; few outlines are in memory at a time, and no masks of a large file."""
        ref, size = self.refs[index], self._size(index)
        whole = Objects.joined(self._objects(index, size), size, self._is_large(index))
        return ref, whole.instances(self.classes, all(one.score is not None for one in whole.said))

    def pieces(self, index: int) -> Iterator[Record]:
        """Yield the image with the objects of some features after those of others."""
        ref, found = self.refs[index], self.rows[index]
        beyond = 1 if found.highest is None else found.highest + 1
        if not self._is_large(index) or beyond + found.count >= 2**63:
            yield self.record(index)
            return
        size, empty = self._size(index), True
        free, blocks = itertools.count(beyond) if found.highest is not None else None, self._objects(index, size)
        while True:
            with uncollected():
                objects = next(blocks, None)
                if objects is None:
                    break
                piece = objects.instances(self.classes, found.scored, free)
            empty = False
            yield ref, piece
        if empty:
            yield ref, nobody(size, self.classes)

    def outlines(self, look: Callable[[Outlines], Seen]) -> Iterator[Seen]:
        """Yield what ``look`` returns of the objects of some features; images with a bad feature are left out."""
        looked = replace(self, on_bad=None)
        for index in range(len(self.refs)):
            seen, first = list[Seen](), 0
            try:
                size = self._size(index)
                for table, _ in looked.decode(looked, index):
                    starts = table.parts.rings[:-1]
                    ends = [ufunc.reduceat(table.parts.points, starts) for ufunc in (np.minimum, np.maximum)]
                    if self.border.judge(np.concatenate(ends, 1), size)[1]:
                        raise BadEntryError("outside")
                    seen.append(look(table.outlines(index, first)))
                    first += len(table.of)
            except (BadEntryError, FormatError):
                continue
            yield from seen

    def _is_large(self, index: int) -> bool:
        return self.files[index].stat().st_size > _LARGE

    def _size(self, index: int) -> Size:
        ref = self.refs[index]
        return image_size(self.files[index], ref) if ref.size is None else ref.size

    def _objects(self, index: int, size: Size) -> Iterator[Objects]:
        """Yield the objects of each block, drawn; what cannot be drawn is reported and left out."""
        first = 0
        for table, entries in self.decode(self, index):
            masks = table.draw(size, self.border, index, first)
            if masks is None:
                kept, masks = draw(entries(), size, self.files[index], self.on_bad, self.border, index, first)
                table = Table.of_entries(kept)
            yield Objects(masks, table.said, table.of, table.ids)
            first += len(masks)


def _tables(labels: FileSet, index: int) -> Iterator[tuple[Table, Callable[[], list[Entry]]]]:
    """Yield the objects of each block, undrawn, and how they are read one by one."""
    done = 0
    reader = Reader(labels.classes, labels.rows[index].unnamed, placed(labels.refs[index].attributes))
    for block in Features(labels.files[index], partial(read_outlines, place=reader.place)):
        entries = cache(partial(_entries, labels, index, reader, block, done))
        table = reader.table(block)
        table = Table.of_entries(entries()) if table is None else table
        if table.of:
            yield table, entries
        done += len(block)


def _entries(labels: FileSet, index: int, reader: Reader, block: Block, done: int) -> list[Entry]:
    """Return the entries of a block that comes after ``done`` features; the bad ones are reported."""
    found: list[Entry] = []
    for number, feature in enumerate(block, done):
        where = f"features[{number}]"
        try:
            entry = reader.entry(feature, where)
        except BadEntryError as error:
            with skip_bad(labels.on_bad, labels.files[index], where):
                raise error from None
        else:
            found += [] if entry is None else [entry]
    return found


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write one file for one image, if ``path`` ends in .geojson or .json, or else a folder.

    A transform that is too coarse for doubles is refused as a loss.
    """
    colors = dict(metadata.get("geojson", {}).get("colors", {}))
    for k, name in enumerate(classes):
        # as far apart on the circle of colours as any number of them can be
        colors.setdefault(name, [round(255 * c) for c in colorsys.hsv_to_rgb(k * 0.618034 % 1, 0.75, 0.9)])
    colors.pop(metadata.get("geojson", {}).get("unclassified"), None)

    def write_one(ref: ImageRef, pieces: Iterator[Instances], target: Path) -> None:
        first, where = next(pieces), f"image {ref.name!r}"
        attributes = dict(ref.attributes)
        place = placed(attributes)
        world = place is not None and place.crs is not None  # what the file's coordinates do not say, its note keeps
        transform = None if world else checked_transform(attributes.pop("geotransform", None))
        note = image_note(ref, first.size, classes)
        head: dict[str, Any] = {"type": "FeatureCollection"}
        head |= {"apiece": note | ({"attributes": attributes} if attributes else {})}
        if "crs" in attributes and not world:
            head["crs"] = attributes.pop("crs")
        if transform is not None:
            head["geotransform"] = list(transform)
        with target.open("w", encoding="utf-8", newline="\n") as out:
            out.write(dump_json(path, head, where)[:-1] + ', "features": [')
            pieces = itertools.chain([first], pieces)
            masks = (feature for piece in pieces for feature in features_of(piece, place, colors, path, where))
            no_masks = (dump_json(path, renamed(shape), where) for shape in ref.shapes)
            for k, feature in enumerate(itertools.chain(masks, no_masks)):
                out.write((",\n" if k else "\n") + feature)
            out.write("\n]}\n")

    write_each_in_pieces(by_image(records), path, (*_ENDINGS, ".json"), ".geojson", write_one)


FORMAT = LabelFormat(
    summary="GeoJSON of QuPath and GIS: polygons with holes and parts, pixel or world coordinates; loses nothing",
    detect=detect,
    read=read,
    write=write,
    holds=EVERYTHING,
    suffixes=_ENDINGS,
    shapes="geojson",
    pieces="objects",
)
