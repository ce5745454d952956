"""A model's predictions on many images, written as files; images that are too large for it are cut into tiles."""

from __future__ import annotations

import hashlib
import itertools
import logging
import shutil
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from apiece.core.conf import Conf
from apiece.errors import ConfigError, ImageError, Option
from apiece.images import MAX_PIXELS
from apiece.models.contract import DecodeOptions
from apiece.predict.pieces import Pieces
from apiece.predict.predictor import Model
from apiece.predict.shards import Predicting, predicting
from apiece.predict.sources import Bad, Source, Sources
from apiece.predict.tiles import LargeImage, TileStore, Tiling, is_cut, open_large, plan_of
from apiece.predict.writing import Maps, PredictSummary, Progress, Result, Run, write_results

__all__ = ["predict_to"]

_log = logging.getLogger("apiece")

_KEPT = ".apiece-tiles"
_SHRUNK = 4  # times: an object of 20 pixels is one of 5 to the model


def predict_to(
    model: Model,
    sources: Sources,
    out: Path | str,
    save: Sequence[str] = ("coco",),
    *,
    skip_bad: bool = False,
    overwrite: bool = False,
    remain: float = 0.0,
    allow_lossy: bool = False,
    page: int | None = None,
    batch: int = 1,
    conf: Conf | None = None,
    iou: float | None = None,
    max_instances: int | None = None,
    edges: bool = False,
    max_pixels: int = MAX_PIXELS,
    tile: int | None = None,
    halo: int | None = None,
    resume: bool = False,
    pixel_size: str | None = None,
    workers: int | None = None,
    ray: str | None = None,
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
    save : any of ``coco``, ``csv``, ``labelmap``, ``labels`` (OME-Zarr), ``overlay``, ``geojson``; ``semantic``: a map
        of classes for each image (0 none, 1 the first class), and ``classes.json``; ``panoptic``: COCO panoptic;
        ``boxes``: COCO results without masks. In maps the best score lies on top, and stuff below all objects.
    skip_bad : leave out images that cannot be read; otherwise nothing is written, and the error names all bad images.
    overwrite : replace results of an earlier run; otherwise they are an error.
    remain : in these maps, share of its pixels, 0 to 1, that an object must keep beside those of better score; one that
        keeps less is left out.
    allow_lossy : where masks overlap, write label maps with the smallest on top instead of refusing.
    page : the page of files with several, from 0.
    batch, conf, iou, max_instances, max_pixels : as for `Model.stream`.
    edges : as for `Model.predict`, for COCO and GeoJSON; of images that are cut into tiles nothing is known.
    tile, halo : as for `Model.predict_tiled`; an image larger than a tile is cut. None: images of more than 2**26
        pixels are cut, into tiles of 1024 pixels. What each tile found is kept in a hidden folder until all is written.
    resume : go on with the tiles of a run that was cut short.
    pixel_size : predict at the scale that the model learned: the images' pixel size, such as ``"0.25 um"``, or
        ``"auto"`` for the one that each image states.
    workers : processes that predict, each with the model and one thread; 1 is this process. Any number writes the same
        bytes, also on a Ray cluster. A process that the system ends is replaced, and what it was at is done again.
        None: this process, with the threads that the runtime takes.
    ray : address of a Ray cluster whose processes predict, as ``ray.init`` takes it, or ``"local"``; ``workers`` are at
        work at once, by default one for each of its CPUs. They read images by the same paths. Needs the extra ``ray``.
    progress : called after each image or tile with how many are done, how many there are, and the image's name.

    Raises
    ------
    ImageError, DataError, LossyFormatError, UnknownNameError, ConfigError
        If images are bad or absent, results exist already, instances overlap in a label map, or an output is unknown.
    """
    if edges and model.loaded.edges is None:
        raise ConfigError(
            "the model does not know how far its outlines are off; labelled images tell it: apiece thresholds LABELS "
            "--model ...; or leave out " + Option("edges", True)
        )
    options = model.options(conf, iou, max_instances, edges)
    stuff = tuple(model.classes[k] for k in model.loaded.stuff)
    tiles = _Tiles(Path(out) / _KEPT, Tiling(tile, halo, resume, pixel_size), overwrite)
    with predicting(model, workers, ray) as by:
        summary = write_results(
            lambda run: _results(_Job(model, by, batch, options, max_pixels), run, tiles), model.classes,
            f"predicted by apiece, {model.loaded.name}", sources, out, save, skip_bad=skip_bad, overwrite=overwrite,
            maps=Maps(remain, stuff), allow_lossy=allow_lossy, page=page, progress=progress,
        )  # fmt: skip
    shutil.rmtree(tiles.folder, ignore_errors=True)
    return summary


@dataclass(frozen=True)
class _Tiles:
    """Say where what each tile found is kept, and whether it may be there already."""

    folder: Path
    tiling: Tiling
    overwrite: bool

    def store(self, large: LargeImage, model: Model, options: DecodeOptions) -> TileStore:
        folder = self.folder / hashlib.sha256(large.source.name.encode()).hexdigest()[:16]
        if self.overwrite and not self.tiling.resume:
            shutil.rmtree(folder, ignore_errors=True)
        return TileStore(folder, plan_of(large, model, options), self.tiling.resume)


@dataclass(frozen=True)
class _Job:
    """Say what predicts, by way of what, and how."""

    model: Model
    by: Predicting
    batch: int
    options: DecodeOptions
    max_pixels: int


def _results(job: _Job, run: Run, tiles: _Tiles) -> Generator[Result]:
    """Yield each source with its instances; images that were cut into tiles come without their pixels."""
    cut = {source.name for source in run.sources if is_cut(source, tiles.tiling)}
    for large, group in itertools.groupby(run.sources, lambda source: source.name in cut):
        if not large:
            found = job.by.results(group, job.batch, job.options, job.max_pixels, run.leave_out)
            yield from _hinted(found, job.model.loaded.input.imgsz)
            continue
        for source in group:
            try:
                yield source, None, _from_tiles(job, run, tiles, source)
            except ImageError as error:
                run.leave_out(error)


def _hinted(results: Iterable[Result], imgsz: int | None) -> Generator[Result]:
    """Yield results, and tell once of an image that the model sees so small that objects may vanish."""
    told = imgsz is None
    for source, image, found in results:
        if not told and image is not None and imgsz is not None and max(image.size) >= _SHRUNK * imgsz:
            told = True
            seen = f"the model sees it {max(image.size) / imgsz:.1f} times smaller, and may miss small objects; "
            _log.info(f"{source.name}: {seen}" + Option("tile", 1024) + " lets it see every pixel")
        yield source, image, found


def _from_tiles(job: _Job, run: Run, tiles: _Tiles, source: Source) -> Pieces:
    """Return the objects of an image that is cut into tiles."""
    model, options = job.model, replace(job.options, edges=None)
    with open_large(source, model, tiles.tiling, skip_bad=run.skip_bad) as large:
        grid = large.grid
        _log.info("%s: %d x %d tiles of %d pixels, halo %d", source.name, grid.rows, grid.columns, grid.tile, grid.halo)
        run.total += len(grid)
        bad: list[Bad] = []
        on_bad = bad.append if run.skip_bad else None
        each = replace(options, max_instances=None)
        with closing(tiles.store(large, model, options)) as store:
            found = Pieces(store.folder / "whole", large.size, model.classes, options.max_instances)
            for part in large.found(
                job.by, model.classes, options, batch=job.batch, on_bad=on_bad, store=store,
                step=lambda: run.step(source),
            ):  # fmt: skip
                found.add(each.finished(part))
        for error in bad:
            _log.warning("a tile is left out, nothing is found there: %s", error)
        run.bad.extend(bad)
    if len(found) < found.found:
        options.tell_lost(found.found)
    return found
