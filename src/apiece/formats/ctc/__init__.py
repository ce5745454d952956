"""Cell Tracking Challenge (https://celltrackingchallenge.net, "Naming and file content conventions").

A folder of sequences: ``01/t000.tif`` images, ``01_GT/SEG/man_seg000.tif`` outlines, ``01_GT/TRA/man_track000.tif``
markers with ``man_track.txt`` (a line ``L B E P``: label, first frame, last frame, label of the parent or 0);
``01_ST/SEG`` silver truth; ``01_RES/mask000.tif`` with ``res_track.txt`` results.

Read: the folder above, one ``01_GT``, ``01_ST`` or ``01_RES``, or its ``SEG`` or ``TRA``. From a ``01_GT`` the reader
takes the outlines of SEG, each with the id of the marker in TRA of which it covers more than half, as the challenge
matches them. Without SEG it takes the markers; without TRA the ids of SEG, which hold for one frame only. Otherwise ids
are the ids of tracks. Parents are metadata: ``metadata["ctc"] = {"01": {child: parent}}``. There is one class,
``object``. Volumes (several pages) are refused.

Written: ``01_GT/SEG`` and, if the instances have ids, ``01_GT/TRA`` with tracks from the frames where each id occurs; a
file ``apiece.json`` keeps image names. Images called ``01/t000.tif`` keep sequence and frame; other images are numbered
in their order, a sequence for each folder of images.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.files import is_file, never_raises
from apiece.formats._kit.label_images import read_raster, save_label_tiff
from apiece.formats._kit.label_sets import LabelImageSet
from apiece.formats._kit.said import numbered
from apiece.formats._kit.sidecar import SIDECAR, load_sidecar, written_set
from apiece.formats.contract import Holds, LabelFormat, OnBad, Record
from apiece.formats.ctc._tracks import Tracks, read_tracks

__all__ = ["FORMAT"]

_NAME = "ctc"
_KINDS = ("GT", "ST", "RES")
_LABEL = re.compile(r"(man_seg|man_track|mask)_?(\d{3,9})\.tif", re.ASCII | re.IGNORECASE)
_SLICE = re.compile(r"man_seg_?\d+_\d+\.tif", re.ASCII | re.IGNORECASE)
_IMAGE = re.compile(r"(\d\d)/t(\d{3,9})\.tif", re.ASCII)

_Note = tuple[str, int, Path | None, Path | None, dict[int, tuple[int, int, int]] | None]


@never_raises
def detect(path: Path) -> bool:
    """Return whether ``path`` is a folder with ``01_GT``, ``01_ST`` or ``01_RES`` in it, or one of those."""
    try:
        sequences = _sequences(path) if path.is_dir() else []
        return any(_frames(f) or (f / "TRA").is_dir() or (f / "SEG").is_dir() for f in sequences)
    except FormatError:
        return True  # `read` says what is wrong with it


def _sequences(path: Path) -> list[Path]:
    """Return the folders of one sequence each: below ``path``, or the one that it is or lies in."""
    below = sorted(p for p in path.iterdir() if re.fullmatch(r"\d\d_(GT|ST|RES)", p.name) and p.is_dir())
    if below:
        # ground truth before silver truth before results; the others are read by their own name
        names = {p.name for p in below}
        first = {
            k: next(kind for kind in _KINDS if f"{k}_{kind}" in names) for k in sorted({p.name[:2] for p in below})
        }
        return [path / f"{k}_{kind}" for k, kind in first.items()]
    if path.resolve().name in ("SEG", "TRA") or _frames(path) or (path / "SEG").is_dir() or (path / "TRA").is_dir():
        return [path]
    return []


def _frames(folder: Path) -> dict[int, Path]:
    """Return label images by frame."""
    found: dict[int, Path] = {}
    if not folder.is_dir():
        return found
    for file in sorted(folder.iterdir()):
        if _SLICE.fullmatch(file.name):
            raise FormatError(file, "is a slice of a volume; only flat sequences are read")
        match = _LABEL.fullmatch(file.name)
        if match is not None:
            if int(match[2]) in found:
                raise FormatError(file, f"and {found[int(match[2])].name} are of the same frame")
            found[int(match[2])] = file
    return found


def read(path: Path, images: Path | None, on_bad: OnBad = None) -> LabelImageSet:
    """Open a folder of the challenge, or one sequence's labels."""
    if not path.is_dir():
        raise FormatError(path, "is a file; sequences of the challenge are folders, 01_GT/SEG/man_seg000.tif")
    said = load_sidecar(path, _NAME)
    names = {key: note.get("name") for key, note in said.get("images", {}).items()}
    notes: list[_Note] = []
    parents: dict[str, dict[int, int]] = {}
    for folder in _sequences(path):
        own, found = _open(folder, on_bad)
        notes.extend(own)
        if found:
            parents[own[0][0] if own else folder.name[:2]] = found
    known = {f"{note[0]}/{note[1]:03d}" for note in notes}
    lacking = [key for key in names if key not in known]
    if lacking:
        raise FormatError(path / SIDECAR, f"images[{lacking[0]!r}]: there is no label image of this sequence and frame")
    if not notes and not said:
        raise FormatError(path, "holds no label images of the challenge, such as 01_GT/SEG/man_seg000.tif")
    # in the order written, else by sequence and frame
    order = {key: k for k, key in enumerate(names)}
    notes.sort(key=lambda n: (order.get(f"{n[0]}/{n[1]:03d}", len(order)), n[0], n[1]))
    refs = [_ref(path, images, note, names.get(f"{note[0]}/{note[1]:03d}")) for note in notes]
    files = tuple(note[2] or note[3] or path for note in notes)
    metadata = {_NAME: parents} if parents else {}
    return LabelImageSet(tuple(refs), files, ("object",), _decode, tuple(notes), metadata, on_bad=on_bad).sound()


def _open(folder: Path, on_bad: OnBad) -> tuple[list[_Note], dict[int, int]]:
    """Return the frames of one sequence, and each child's parent."""
    whole = folder.resolve()
    home = whole.parent if whole.name in ("SEG", "TRA") else whole
    sequence = home.name[:2] if re.fullmatch(r"\d\d_\w+", home.name) else home.name
    if whole.name == "TRA" or (folder / "res_track.txt").is_file() or (folder / "man_track.txt").is_file():
        outlines, markers, where = {}, _frames(folder), folder
    elif whole.name == "SEG" or not ((folder / "SEG").is_dir() or (folder / "TRA").is_dir()):
        outlines, markers, where = _frames(folder), {}, folder
    else:
        outlines, markers, where = _frames(folder / "SEG"), _frames(folder / "TRA"), folder / "TRA"
    table = next((where / n for n in ("man_track.txt", "res_track.txt") if (where / n).is_file()), None)
    if table is None and markers:
        raise FormatError(where, "has label images of tracks, but no man_track.txt or res_track.txt")
    tracks = None if table is None else read_tracks(table, on_bad)
    frames = sorted(outlines or markers)
    notes: list[_Note] = [(sequence, k, outlines.get(k), markers.get(k), tracks) for k in frames]
    return notes, {child: row[2] for child, row in (tracks or {}).items() if row[2]}


def _ref(path: Path, images: Path | None, note: _Note, name: str | None) -> ImageRef:
    sequence, frame, outline, marker, _ = note
    if name is None:
        name = f"{sequence}/t{frame:03d}.tif"
    file = outline or marker or path
    home = next((p.parent for p in file.parents if p.name.startswith(f"{sequence}_")), path)
    if images is not None and not is_file(images / name) and is_file(images / Path(name).name):
        return ImageRef(images / Path(name).name, name)  # the folder of this sequence's images
    return ImageRef((images or home) / name, name)


def _decode(labels: LabelImageSet, i: int) -> tuple[Instances, dict[str, Any]]:
    _, frame, outline, marker, tracks = labels.rows[i]
    if marker is None:
        return Instances.from_label_map(_plane(outline)), {}
    painted = _plane(marker)
    marks = Instances.from_label_map(painted)
    bad = []
    for own in [] if marks.ids is None else marks.ids.tolist():
        first, last, _ = (tracks or {}).get(own, (frame + 1, frame, 0))
        if not first <= frame <= last:
            labels.report(
                FormatError(marker, f"label {own}: the table of tracks has none of this label in frame {frame}")
            )
            bad.append(own)
    if bad:
        painted = np.where(np.isin(painted, bad), 0, painted)
        marks = Instances.from_label_map(painted)
    if outline is None:
        return marks, {}
    return _matched(labels, outline, Instances.from_label_map(_plane(outline)), painted), {}


def _plane(file: Path) -> Array:
    array = read_raster(file)
    if array.dtype.itemsize == 8:
        raise FormatError(file, "is of 64 bits; labels of the challenge have 16")
    return array


def _matched(labels: LabelImageSet, file: Path, shapes: Instances, painted: Array) -> Instances:
    """Return the outlines, each with the id of the one marker of which it covers more than half."""
    if painted.shape != shapes.size:
        raise FormatError(file, f"is of {shapes.size} pixels, and its markers of {painted.shape}")
    values = np.arange(1, len(shapes) + 1)
    over = shapes.masks.to_label_map(values, np.int64)
    distinct, marker = np.unique(painted, return_inverse=True)
    distinct = distinct.astype(np.int64)
    both = over.ravel() * len(distinct) + marker.ravel()
    pairs, count = np.unique(both[(over.ravel() > 0) & (painted.ravel() > 0)], return_counts=True)
    area = np.bincount(marker.ravel(), minlength=len(distinct))
    held = 2 * count > area[pairs % len(distinct)]
    shape, own = pairs[held] // len(distinct) - 1, distinct[pairs[held] % len(distinct)]
    number = np.bincount(shape, minlength=len(shapes))
    for k in np.flatnonzero(number != 1).tolist():
        said = (
            f"covers the markers {', '.join(map(str, own[shape == k].tolist()))}" if number[k] else "covers no marker"
        )
        value = k + 1 if shapes.ids is None else int(shapes.ids[k])
        labels.report(FormatError(file, f"label {value}: {said} in TRA; read SEG or TRA alone, or correct it"))
    good = np.flatnonzero(number == 1)
    ids = np.zeros(len(shapes), np.int64)
    ids[shape] = own
    order = good[np.argsort(ids[good], kind="stable")]
    return shapes[order].replace(ids=ids[order])


def write(records: Iterable[Record], path: Path, classes: tuple[str, ...], metadata: Mapping[str, Any]) -> None:
    """Write a folder of sequences without images; a parent that has no track here is refused as a loss."""
    tracks: dict[str, Tracks] = {}
    folders: dict[str, str] = {}
    count: dict[str, int] = {}
    with written_set(path, _NAME, classes) as out:
        for ref, instances in records:
            sequence, frame = _place(path, ref, folders, count)
            count[sequence] = count.get(sequence, 0) + 1
            out.note(f"{sequence}/{frame:03d}", ref)
            painted = instances.masks.to_label_map(numbered(instances), np.uint16)
            home = out.folder / f"{sequence}_GT"
            save_label_tiff(painted, home / "SEG" / f"man_seg{frame:03d}.tif")
            if instances.ids is not None:
                save_label_tiff(painted, home / "TRA" / f"man_track{frame:03d}.tif")
                tracks.setdefault(sequence, Tracks()).add(frame, instances.ids)
        parents = metadata.get(_NAME) if isinstance(metadata.get(_NAME), Mapping) else {}
        for sequence, own in tracks.items():
            table = out.folder / f"{sequence}_GT" / "TRA" / "man_track.txt"
            table.write_text(own.text(path, (parents or {}).get(sequence, {})), encoding="ascii", newline="\n")


def _place(path: Path, ref: ImageRef, folders: dict[str, str], count: Mapping[str, int]) -> tuple[str, int]:
    name = ref.name.replace("\\", "/")
    match = _IMAGE.fullmatch(name)
    if match is not None and f"{int(match[2]):03d}" == match[2]:
        return match[1], int(match[2])
    parent = name.rpartition("/")[0]
    if parent not in folders:
        taken = {*count, *folders.values()}
        folders[parent] = next((f"{k:02d}" for k in range(1, 100) if f"{k:02d}" not in taken), "")
    if not folders[parent]:
        raise LossyFormatError(path, "holds 99 sequences, and the images lie in more folders")
    return folders[parent], count.get(folders[parent], 0)


FORMAT = LabelFormat(
    summary="Cell Tracking Challenge folder: 01_GT/SEG, 01_GT/TRA with man_track.txt; ids are tracks; no overlap",
    detect=detect,
    read=read,
    write=write,
    holds=Holds(holes=True, parts=True, ids=True, id_range=(1, 65535)),
)
