"""Predictions as files: COCO JSON, label maps, overlays, a table. All of a run appears at once, or nothing does."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from apiece import formats
from apiece._atomic import staged, take_place
from apiece.core.conf import Conf
from apiece.core.image import Image, ImageRef
from apiece.core.instances import Instances
from apiece.draw import overlay
from apiece.errors import ConfigError, DataError, ImageError, LossyFormatError, Option, UnknownNameError
from apiece.images import MAX_PIXELS, image_size, write_image
from apiece.predict.predictor import Model
from apiece.predict.sources import Source, Sources, find_sources, unreadable

__all__ = ["OUTPUTS", "PredictSummary", "predict_to"]

_log = logging.getLogger("apiece")

OUTPUTS: Mapping[str, str] = {
    "coco": "predictions.json",
    "csv": "predictions.csv",
    "labelmap": "labelmaps",
    "overlay": "overlays",
}
"""What can be saved, and the file or folder it becomes."""

_COLUMNS = ("image", "id", "class", "score", "x0", "y0", "x1", "y1", "area")
_HIGHEST_IN_PNG = 65535

Bad = ImageError | DataError
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PredictSummary:
    """What a run of `predict_to` did.

    Attributes
    ----------
    images : images predicted on.
    instances : instances found in them.
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


def predict_to(
    model: Model,
    sources: Sources,
    out: Path | str,
    save: Sequence[str] = ("coco",),
    *,
    skip_bad: bool = False,
    overwrite: bool = False,
    allow_lossy: bool = False,
    page: int | None = None,
    batch: int = 1,
    conf: Conf | None = None,
    iou: float | None = None,
    max_instances: int | None = None,
    max_pixels: int = MAX_PIXELS,
    progress: Progress | None = None,
) -> PredictSummary:
    """Predict on many images and save the results under ``out``.

    Instances are numbered from 1 in each image; that number is the value in a label map, ``id`` in the table, and in
    COCO the annotation's ``id`` (``apiece_id`` where there are several images). A label map holds these numbers and
    nothing else; class and score are in the table and in COCO.

    Parameters
    ----------
    sources : a file, folder, glob, array, `Image`, or several of these.
    out : folder, made if needed. Overlays and label maps of an earlier run in it are not taken for sources.
    save : any of ``coco``, ``csv``, ``labelmap``, ``overlay``.
    skip_bad : leave out images that cannot be read; otherwise nothing is written and all that are seen to be bad
        are named.
    overwrite : replace results of an earlier run; otherwise they are an error.
    allow_lossy : where masks overlap, write label maps with the smallest on top instead of refusing.
    page : the page of files with several, from 0.
    batch, conf, iou, max_instances, max_pixels : as for `Model.stream`.
    progress : called after each image with how many are done, how many there are, and the image's name.

    Raises
    ------
    ImageError, DataError
        if images are bad, all of them or without ``skip_bad``; if there are none; if results are there already.
    LossyFormatError
        naming image and instances that overlap in a label map.
    UnknownNameError
        for an unknown output.
    """
    out = Path(out)
    targets = _targets(out, save, overwrite)
    options = model.options(conf, iou, max_instances)
    found = find_sources(sources, exclude=targets, page=page)
    bad: list[Bad] = []
    lost: list[str] = []
    tally = _Tally(model.classes)

    def on_bad(error: Bad) -> None:
        if not skip_bad:
            raise unreadable([error, *_bad_headers(found, error)], len(found)) from error
        _log.warning("left out: %s", error)
        bad.append(error)
        if progress is not None:
            progress(tally.images + len(bad), len(found), str(getattr(error, "path", "")))

    stream = model.results(found, batch, options, max_pixels, on_bad)

    def results() -> Iterator[tuple[Source, Image, Instances]]:
        for source, image, instances in stream:
            numbered = instances.replace(ids=np.arange(1, len(instances) + 1))
            tally.add(numbered)
            yield source, image, numbered
            if progress is not None:
                progress(tally.images + len(bad), len(found), source.name)

    with closing(stream), _staged(out, targets) as stage:
        _write_all(results(), stage, save, model, _file_names(found), allow_lossy, lost)
        if tally.images == 0:
            raise unreadable(bad, len(found))
    return PredictSummary(
        tally.images, int(tally.counts.sum()), tally.per_class(), tuple(bad), tuple(lost), tuple(targets)
    )


class _Tally:
    """Counts over all images."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes, self.images, self.counts = classes, 0, np.zeros(len(classes), np.int64)

    def add(self, instances: Instances) -> None:
        self.images += 1
        self.counts += np.bincount(instances.labels, minlength=len(self.classes))

    def per_class(self) -> dict[str, int]:
        return dict(zip(self.classes, self.counts.tolist(), strict=True))


def _targets(out: Path, save: Sequence[str], overwrite: bool) -> list[Path]:
    if isinstance(save, str) or not save:
        raise ConfigError(Option("save") + f" takes a list of outputs ({', '.join(OUTPUTS)}), got {save!r}")
    for name in save:
        if name not in OUTPUTS:
            raise UnknownNameError("output", name, OUTPUTS)
    if out.exists() and not out.is_dir():
        raise DataError(f"results cannot be written to {out}: it is a file, not a folder")
    targets = [out / OUTPUTS[name] for name in OUTPUTS if name in save]
    there = [t for t in targets if t.exists()]
    if there and not overwrite:
        names = ", ".join(t.name for t in there)
        raise DataError(f"{out} holds results already ({names}); name another folder, or " + Option("overwrite", True))
    return targets


def _bad_headers(sources: Sequence[Source], known: Bad) -> Iterator[Bad]:
    """What else is seen to be bad from the headers alone, so that one run names more than one file."""
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
    """A hidden folder inside ``out`` whose entries take their places when the block ends well; it goes in any case."""
    try:
        with staged(out, "apiece") as folder:
            yield folder
            for target in targets:
                take_place(folder / target.name, target, folder)
    except OSError as error:
        raise DataError(f"results cannot be written to {out}: {error}") from error


def _file_names(sources: Sequence[Source]) -> dict[str, PurePosixPath]:
    """Each image's name without its suffix, for files made of it; with it where two would fall together."""
    stems = {s.name: PurePosixPath(s.name).with_suffix("") for s in sources}
    if len({str(stem).casefold() for stem in stems.values()}) < len(stems):
        return {name: PurePosixPath(name) for name in stems}
    return stems


def _write_all(
    results: Iterable[tuple[Source, Image, Instances]],
    stage: Path,
    save: Sequence[str],
    model: Model,
    names: Mapping[str, PurePosixPath],
    allow_lossy: bool,
    lost: list[str],
) -> None:
    """Drive the images through every writer, one image at a time."""
    with ExitStack() as stack:
        rows = None
        if "csv" in save:
            file = stack.enter_context((stage / OUTPUTS["csv"]).open("w", newline="", encoding="utf-8"))
            rows = csv.writer(file)
            rows.writerow(_COLUMNS)
        for name in ("labelmap", "overlay"):
            if name in save:
                (stage / OUTPUTS[name]).mkdir()

        def records() -> Iterator[tuple[ImageRef, Instances]]:
            for source, image, instances in results:
                ref = ImageRef(source.path or Path(source.name), source.name, image.size, page=source.page)
                if rows is not None:
                    rows.writerows(_rows(source.name, instances))
                if "labelmap" in save:
                    lost.extend(
                        _write_label_map(stage / OUTPUTS["labelmap"], names[source.name], ref, instances, allow_lossy)
                    )
                if "overlay" in save:
                    path = _beside(stage / OUTPUTS["overlay"], names[source.name], ".png")
                    write_image(path, overlay(image, instances, names=len(instances.classes) > 1))
                yield ref, instances

        if "coco" in save:
            metadata = {"coco": {"info": {"description": f"predicted by apiece, {model.loaded.name}"}}}
            formats.write(records(), stage / OUTPUTS["coco"], format="coco", classes=model.classes, metadata=metadata)
        else:
            for _ in records():
                pass


def _beside(folder: Path, name: PurePosixPath, suffix: str) -> Path:
    path = folder / f"{name}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_label_map(
    folder: Path, name: PurePosixPath, ref: ImageRef, instances: Instances, allow_lossy: bool
) -> list[str]:
    # class and score have no place in a label map by its nature; overlap is what could be lost unseen
    bare = instances.replace(labels=np.zeros(len(instances), np.int64), classes=("object",), scores=None, attributes={})
    path = _beside(folder, name, ".png" if len(instances) <= _HIGHEST_IN_PNG else ".tif")
    try:
        return formats.write([(ref, bare)], path, format="labelmap", allow_lossy=allow_lossy)
    except LossyFormatError as error:
        shown = folder.parent.parent / folder.name
        hint = " puts the smallest on top; coco keeps all of it)"
        raise LossyFormatError(shown, f"{error.reason} (" + Option("allow_lossy", True) + hint) from error


def _rows(name: str, instances: Instances) -> Iterator[tuple[object, ...]]:
    ids = np.arange(1, len(instances) + 1) if instances.ids is None else instances.ids
    scores = np.full(len(instances), np.nan) if instances.scores is None else instances.scores
    columns = (instances.labels, scores, instances.masks.boxes, instances.masks.area)
    for number, label, score, box, area in zip(ids.tolist(), *(c.tolist() for c in columns), strict=True):
        x0, y0, x1, y1 = (int(v) for v in box)
        yield name, number, instances.classes[label], f"{score:.6g}", x0, y0, x1, y1, area
