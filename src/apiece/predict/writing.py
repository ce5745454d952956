"""Instances of many images as files: COCO JSON, label maps, overlays, tables, class and panoptic maps, boxes alone.

All of a run appears at once, or nothing does. Whatever finds the instances, a model or prompts, is written alike.
"""

from __future__ import annotations

import csv
import json
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from apiece import formats
from apiece._atomic import staged, take_place
from apiece.core.boxes import to_xywh
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.draw import overlay
from apiece.errors import (
    ConfigError,
    DataError,
    ImageError,
    LossyFormatError,
    MissingExtraError,
    Option,
    UnknownNameError,
)
from apiece.formats.contract import PAGE, comes_in_bands
from apiece.images import geo_tags, image_size, place_of, write_image
from apiece.ops import flattened
from apiece.predict.pieces import Pieces
from apiece.predict.sources import Bad, Source, Sources, find_sources, unreadable

__all__ = ["OUTPUTS", "Maps", "PredictSummary", "Progress", "Result", "Run", "targets_in", "write_results"]

_log = logging.getLogger("apiece")

OUTPUTS: Mapping[str, str] = {
    "coco": "predictions.json",
    "csv": "predictions.csv",
    "labelmap": "labelmaps",
    "labels": "labels",
    "overlay": "overlays",
    "geojson": "geojson",
    "semantic": "semantic",
    "panoptic": "panoptic",
    "boxes": "boxes.json",
}
"""What can be saved, and the file or folder it becomes."""

_FOLDERS = ("labelmap", "labels", "overlay", "geojson")
_VIEWS = ("semantic", "panoptic", "boxes")
"""Outputs that are read off the saved instances when all images are done."""

_COLUMNS = ("image", "id", "class", "score", "x0", "y0", "x1", "y1", "area")
_HIGHEST_IN_PNG = 65535

Progress = Callable[[int, int, str], None]
Result = tuple[Source, Image | None, Instances | Pieces]
"""A source, its pixels where they were read whole, and what was found on it."""
_Found = list[Instances] | Pieces
"""What was found on an image, numbered, to be gone through several times."""


@dataclass(frozen=True)
class PredictSummary:
    """Hold what a run of `predict_to` did.

    Attributes
    ----------
    images, instances : images predicted on, and instances found in them.
    per_class : instances of each class.
    bad : the error of each image that was left out.
    lost : what a label map could not hold, a line per image; empty unless that was allowed.
    files : files and folders written.
    """

    images: int
    instances: int
    per_class: Mapping[str, int]
    bad: tuple[Bad, ...]
    lost: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Maps:
    """How maps of classes and segments are made of instances, see `flattened`."""

    remain: float = 0.0  # share of its pixels that an object must keep
    stuff: tuple[str, ...] = ()  # classes that lie below all others

    def flat(self, instances: Instances) -> Instances:
        """Return the instances without overlap."""
        return flattened(instances, self.remain, self.stuff)

    def categories(self, classes: tuple[str, ...]) -> list[dict[str, object]]:
        """Return COCO's categories, which say what is stuff; none if nothing is."""
        rows = ({"id": k, "name": name, "isthing": int(name not in self.stuff)} for k, name in enumerate(classes, 1))
        return list(rows) if self.stuff else []


def write_results(
    results: Callable[[Run], Generator[Result]],
    classes: tuple[str, ...],
    made_by: str,
    sources: Sources,
    out: Path | str,
    save: Sequence[str],
    *,
    skip_bad: bool = False,
    overwrite: bool = False,
    maps: Maps = Maps(),  # frozen
    allow_lossy: bool = False,
    page: int | None = None,
    progress: Progress | None = None,
) -> PredictSummary:
    """Write what is found on many images under ``out``, as `predict_to` does, whatever finds it.

    Parameters
    ----------
    results : gives the instances of each source of the run; an image that cannot be read goes to `Run.leave_out`.
    classes : of all instances.
    made_by : how the COCO file describes itself.
    maps : how maps are made.
    sources, out, save, skip_bad, overwrite, allow_lossy, page, progress : as for `predict_to`.
    """
    out = Path(out)
    targets = targets_in(out, save, OUTPUTS, overwrite)
    run = Run(classes, find_sources(sources, exclude=targets, page=page), skip_bad, progress)
    where = {source.name: _place(source.path, save) for source in run.sources}
    stream = results(run)
    with closing(stream), _staged(out, targets) as stage:
        names = _file_names(run.sources)
        lost = _write_all(run.numbered(stream), stage, save, classes, made_by, names, where, maps, allow_lossy)
        if run.images == 0:
            raise unreadable(run.bad, len(run.sources))
    found = dict(zip(classes, run.counts.tolist(), strict=True))
    return PredictSummary(run.images, sum(found.values()), found, tuple(run.bad), tuple(lost), tuple(targets))


class Run:
    """Counts over all images of a run, and the errors of those left out; both are told to ``progress``."""

    def __init__(
        self, classes: tuple[str, ...], sources: list[Source], skip_bad: bool, progress: Progress | None
    ) -> None:
        self.sources, self.skip_bad, self.progress = sources, skip_bad, progress or (lambda done, total, name: None)
        self.images, self.counts, self.bad = 0, np.zeros(len(classes), np.int64), list[Bad]()
        self.steps, self.total = 0, len(sources)

    def step(self, source: Source | None, name: str = "") -> None:
        """Tell that an image or a tile is done."""
        self.steps += 1
        self.progress(self.steps, self.total, name if source is None else source.name)

    def leave_out(self, error: Bad) -> None:
        """Note an image that cannot be read; without ``skip_bad``, raise an error that names all bad images."""
        if not self.skip_bad:
            raise unreadable([error, *_bad_headers(self.sources, error)], len(self.sources)) from error
        _log.warning("left out: %s", error)
        self.bad.append(error)
        self.step(None, str(getattr(error, "path", "")))

    def numbered(self, stream: Iterable[Result]) -> Iterator[tuple[Source, Image | None, _Found]]:
        """Yield results with the instances of each image numbered from 1."""
        for source, image, found in stream:
            self.images += 1
            pieces = [found.replace(ids=np.arange(1, len(found) + 1))] if isinstance(found, Instances) else found
            for piece in pieces:
                self.counts += np.bincount(piece.labels, minlength=len(self.counts))
            yield source, image, pieces
            self.step(source)


def targets_in(
    out: Path, save: Sequence[str], known: Mapping[str, str], overwrite: bool, beside: Sequence[str] = ()
) -> list[Path]:
    """Return where the outputs ``save`` of those ``known``, and the files ``beside`` them, go below a folder.

    Raises
    ------
    ConfigError, UnknownNameError
        If ``save`` is no list of known outputs.
    DataError
        If the folder is a file, or holds one of them and ``overwrite`` is False.
    """
    if isinstance(save, str) or not save:
        raise ConfigError(Option("save") + f" takes a list of outputs ({', '.join(known)}), got {save!r}")
    for name in save:
        if name not in known:
            raise UnknownNameError("output", name, known)
    if out.exists() and not out.is_dir():
        raise DataError(f"results cannot be written to {out}: it is a file, not a folder")
    targets = [out / name for name in (*(known[name] for name in known if name in save), *beside)]
    there = [t.name for t in targets if t.exists()]
    if there and not overwrite:
        names = ", ".join(there)
        raise DataError(f"{out} holds results already ({names}); name another folder, or " + Option("overwrite", True))
    return targets


def _bad_headers(sources: Sequence[Source], known: Bad) -> Iterator[Bad]:
    """Yield what else is seen to be bad from the headers alone, so that one run names more than one file."""
    for source in sources:
        if source.path is None or source.image is not None:
            continue
        try:
            image_size(source.path)
        except ImageError as error:
            if error.path != getattr(known, "path", None):
                yield error


@contextmanager
def _staged(out: Path, targets: Sequence[Path]) -> Iterator[Path]:
    """Yield a hidden folder inside ``out``; its entries take their places when the block ends well, else all goes."""
    try:
        with staged(out, "apiece") as folder:
            yield folder
            for target in targets:
                take_place(folder / target.name, target, folder)
    except OSError as error:
        raise DataError(f"results cannot be written to {out}: {error}") from error


def _file_names(sources: Sequence[Source]) -> dict[str, PurePosixPath]:
    """Return each image's name without its suffix, for files made of it; with it where two would be the same."""
    stems = {s.name: PurePosixPath(s.name).with_suffix("") for s in sources}
    if len({str(stem).casefold() for stem in stems.values()}) < len(stems):
        return {name: PurePosixPath(name) for name in stems}
    return stems


def _write_all(
    results: Iterable[tuple[Source, Image | None, _Found]],
    stage: Path,
    save: Sequence[str],
    classes: tuple[str, ...],
    made_by: str,
    names: Mapping[str, PurePosixPath],
    where: Mapping[str, dict[str, object]],
    maps: Maps,
    allow_lossy: bool,
) -> list[str]:
    """Drive the images through every writer, one image at a time; return what label maps could not hold."""
    lost: list[str] = []
    for name in _FOLDERS:
        if name in save:
            (stage / OUTPUTS[name]).mkdir()
    with ExitStack() as stack:
        rows = None
        if "csv" in save:
            file = stack.enter_context((stage / OUTPUTS["csv"]).open("w", newline="", encoding="utf-8"))
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)

        def records() -> Iterator[tuple[ImageRef, Instances]]:
            for source, image, found in results:
                ref = _ref(source, found, where[source.name])
                if rows is not None:
                    for piece in found:
                        rows.writerows(_rows(source.name, piece))
                lost.extend(_write_files(stage, save, names[source.name], ref, found, allow_lossy))
                if "overlay" in save:
                    path = _beside(stage / OUTPUTS["overlay"], names[source.name], ".png")
                    shown = source.read() if image is None else image
                    write_image(path, overlay(shown, Instances.concatenate(list(found)), names=len(classes) > 1))
                yield from ((ref, piece) for piece in found)

        views = [name for name in _VIEWS if name in save]
        if "coco" in save or views:
            metadata = {"coco": {"info": {"description": made_by}, "categories": maps.categories(classes)}}
            formats.write(records(), stage / OUTPUTS["coco"], format="coco", classes=classes, metadata=metadata)
            if views:
                _write_views(stage, views, names, maps)
            if "coco" not in save:
                (stage / OUTPUTS["coco"]).unlink()
        else:
            for _ in records():
                pass
    return lost


def _place(path: Path | None, save: Sequence[str]) -> dict[str, object]:
    """Return where an image lies in the world, as the attributes with which GeoJSON writes it; none of most images."""
    try:
        place = None if path is None else place_of(path)
    except (MissingExtraError, ImageError):
        if "geojson" in save:
            raise
        return {}
    return {} if place is None else {"geotransform": list(place.transform), "crs": place.crs}


def _ref(source: Source, found: _Found, where: Mapping[str, object]) -> ImageRef:
    size = found.size if isinstance(found, Pieces) else found[0].size
    which = {**where, **({} if source.page is None else {PAGE: source.page})}
    return ImageRef(source.path or Path(source.name), source.name, size, attributes=which, page=source.page)


def _write_files(
    stage: Path, save: Sequence[str], name: PurePosixPath, ref: ImageRef, found: _Found, allow_lossy: bool
) -> list[str]:
    """Write the label files that each image has of its own; return what label maps could not hold."""
    if "geojson" in save:
        path = _beside(stage / OUTPUTS["geojson"], name, ".geojson")
        formats.write(((ref, piece) for piece in found), path, format="geojson")
    lost: list[str] = []
    if "labelmap" in save:
        large = sum(map(len, found)) > _HIGHEST_IN_PNG or (ref.size is not None and comes_in_bands(ref.size))
        plain = not large and not geo_tags(ref.path)
        path = _beside(stage / OUTPUTS["labelmap"], name, ".png" if plain else ".tif")
        lost += _write_labels(path, "labelmap", ref, found, allow_lossy, stage)
    if "labels" in save:
        path = _beside(stage / OUTPUTS["labels"], name, ".zarr")
        lost += _write_labels(path, "ome_zarr", ref, found, allow_lossy, stage)
    return lost


def _write_views(stage: Path, views: Sequence[str], names: Mapping[str, PurePosixPath], maps: Maps) -> None:
    """Write what is read off the saved instances."""
    labels = formats.read(stage / OUTPUTS["coco"], format="coco")
    if "semantic" in views:
        folder = stage / OUTPUTS["semantic"]
        folder.mkdir()
        values = {str(k): name for k, name in enumerate(("", *labels.classes))}
        (folder / "classes.json").write_text(json.dumps(values, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        dtype = np.uint8 if len(labels.classes) < 256 else np.uint16
        for ref, instances in labels:
            flat = maps.flat(instances)
            path = _beside(folder, names[ref.name], ".png")
            write_image(path, Image(flat.masks.to_semantic(flat.labels).astype(dtype)))
    if "panoptic" in views:
        records = ((ref, maps.flat(instances).replace(attributes={}, full=None)) for ref, instances in labels)
        said = {"coco_panoptic": {"categories": maps.categories(labels.classes)}}
        folder = stage / OUTPUTS["panoptic"]
        folder.mkdir()
        out = folder / "panoptic.json"
        formats.write(records, out, format="coco_panoptic", classes=labels.classes, metadata=said)
    if "boxes" in views:
        with (stage / OUTPUTS["boxes"]).open("w", encoding="utf-8") as file:
            file.write("[")
            begun = False
            for ref, instances in labels:
                for row in _boxes(ref, instances):
                    file.write(",\n" if begun else "\n")
                    file.write(json.dumps(row, ensure_ascii=False))
                    begun = True
            file.write("\n]\n")


def _boxes(ref: ImageRef, instances: Instances) -> Iterator[dict[str, object]]:
    """Yield a row of COCO results for each instance: x, y, width, height in pixels."""
    if not len(instances):
        return
    if instances.scores is None:
        raise DataError("boxes.json holds a score for each object, and these have none; save coco in place of boxes")
    columns = (instances.labels, instances.names, to_xywh(instances.boxes), instances.scores)
    for label, name, box, score in zip(*(c if isinstance(c, list) else c.tolist() for c in columns), strict=True):
        yield {
            "image_id": ref.id, "file_name": ref.name, "category_id": label + 1, "category": name, "bbox": box,
            "score": score,
        }  # fmt: skip


def _beside(folder: Path, name: PurePosixPath, suffix: str) -> Path:
    path = folder / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_labels(path: Path, format: str, ref: ImageRef, found: _Found, allow_lossy: bool, stage: Path) -> list[str]:
    def bare() -> Iterator[tuple[ImageRef, Instances]]:
        # class and score have no place in a label map by its nature; overlap is what could be lost unseen
        for piece in found:
            labels = np.zeros(len(piece), np.int64)
            yield ref, piece.replace(labels=labels, classes=("object",), scores=None, attributes={}, full=None)

    try:
        return formats.write(bare(), path, format=format, allow_lossy=allow_lossy)
    except LossyFormatError as error:
        shown = stage.parent / path.relative_to(stage).parts[0]
        hint = " puts the smallest on top; coco keeps all of it)"
        raise LossyFormatError(shown, f"{error.reason} (" + Option("allow_lossy", True) + hint) from error


def _rows(name: str, instances: Instances) -> Iterator[tuple[object, ...]]:
    ids = np.arange(1, len(instances) + 1) if instances.ids is None else instances.ids
    scores = np.full(len(instances), np.nan) if instances.scores is None else instances.scores
    columns = (instances.labels, scores, instances.masks.boxes, instances.masks.area)
    for number, label, score, box, area in zip(ids.tolist(), *(c.tolist() for c in columns), strict=True):
        x0, y0, x1, y1 = (int(v) for v in box)
        known = "" if instances.scores is None else f"{score:.6g}"
        yield name, number, instances.classes[label], known, x0, y0, x1, y1, area
