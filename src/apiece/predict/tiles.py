"""Predict on images of any size: cut into tiles, every tile predicted on, detections joined into whole objects.

One row of tiles is in memory at a time, with the objects that reach beyond it. What each tile found can be kept in a
folder (`TileStore`), so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece._atomic import hold, write_text
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, ImageError, Option
from apiece.images import LARGE, MAX_PIXELS, Box, Pyramid, image_size, open_pyramid
from apiece.models.contract import DecodeOptions
from apiece.ops import Grid, stitch
from apiece.predict.pieces import load_instances, save_instances
from apiece.predict.scales import at_learned_scale, rescaled
from apiece.predict.sources import OnBad, Source
from apiece.transforms.input import ModelInput, value_limits_of

if TYPE_CHECKING:
    from apiece.predict.predictor import Model
    from apiece.predict.shards import Predicting

__all__ = ["LargeImage", "TileStore", "Tiling", "is_cut", "open_large", "plan_of"]

_BLOCKS = 256  # cores that the values of a whole image are taken from; of an image with fewer, all of them
_LEAST = 64  # pixels of a tile's side
_PROBES = 64  # places of a file that are looked at to know it again

_log = logging.getLogger("apiece")

_HASHED = {"image": "the image has changed", "model": "the model is another"}


@dataclass(frozen=True)
class Tiling:
    """Say how images are cut.

    Attributes
    ----------
    tile : side of a tile in pixels of the image, halo included; None: 1024, and only images of `LARGE` pixels or more
        are cut.
    halo : least distance from a tile's core to its border; None: as `halo_for` finds it. Objects up to its size are
        seen whole by the tile that answers for them.
    resume : go on with tiles that an earlier run left.
    pixel_size : of the image, to predict at the scale that the model learned; ``"auto"``: as the image states it.
    """

    tile: int | None = None
    halo: int | None = None
    resume: bool = False
    pixel_size: str | None = None

    def cuts(self, size: tuple[int, int]) -> bool:
        """Return whether an image of this size is cut; one that is to be resampled is, be it into one tile."""
        if self.pixel_size is not None:
            return True
        if self.tile is None:
            return size[0] * size[1] >= LARGE
        return max(size) > self.tile

    def grid(self, size: tuple[int, int], spec: ModelInput, stride: int) -> Grid:
        """Return the grid that cuts an image of this size for a model."""
        tile = 1024 if self.tile is None else self.tile
        halo = halo_for(tile, spec, stride) if self.halo is None else self.halo
        if tile < _LEAST:
            raise ConfigError(
                Option("tile", tile) + f" is too small: a tile has a halo on each side, here of {halo} pixels, and is "
                f"{_LEAST} pixels or larger; take about the size of the images that the model learned from"
            )
        # a tile that is not resized begins where the network's cells do, so that they lie as on the whole image
        resized = spec.imgsz is not None or spec.fit is not None
        return Grid(size, tile, halo, 1 if resized else stride)


def halo_for(tile: int, spec: ModelInput, stride: int) -> int:
    """Return the halo that a model needs: the size of all but the largest hundredth of the objects it learned.

    Two cells of the network are added, whose answers the tile's border changes. It is at most a quarter of the tile,
    and an eighth where the model does not say how large its objects were.
    """
    if spec.learned is None or not spec.learned.objects:
        return tile // 8
    wanted = int(np.ceil(spec.learned.objects[-1])) + 2 * stride
    if wanted > tile // 4:
        _log.info("objects of %d pixels are joined from parts: the halo is %d", wanted - 2 * stride, tile // 4)
    return min(wanted, tile // 4)


def is_cut(source: Source, tiling: Tiling) -> bool:
    """Return whether an image is cut into tiles; an image that cannot be read is not."""
    try:
        size = source.image.size if source.image is not None else image_size(source.path or "", page=source.page)
    except ImageError:
        return False
    return tiling.cuts(size)


@dataclass(frozen=True)
class _Opening:
    """Say how an image is opened to be cut; without a path its pixels are in memory."""

    path: Path | None
    page: int | None
    pixel_size: str | None
    spec: ModelInput

    def at_scale(self, pyramid: Pyramid) -> Pyramid:
        """Return the open image at the scale that the model is to see."""
        return pyramid if self.pixel_size is None else at_learned_scale(pyramid, self.pixel_size, self.spec)


@dataclass(frozen=True, eq=False)
class _Window(Source):
    """One tile's part of an open image; another process to which it is sent opens the file for itself."""

    opening: _Opening | None = None
    pyramid: Pyramid | None = None
    box: Box = (0, 0, 0, 0)
    number: int = 0

    def read(self, max_pixels: int = MAX_PIXELS) -> Image:
        if self.image is not None:
            return self.image
        assert self.opening is not None
        return (self.pyramid or _held(self.opening)).window(self.box)

    def __getstate__(self) -> dict[str, Any]:
        assert self.opening is not None
        pixels = {"image": self.read()} if self.opening.path is None else {}
        return vars(self) | pixels | {"pyramid": None}


_last: tuple[_Opening, Pyramid, ExitStack] | None = None


def _held(opening: _Opening) -> Pyramid:
    """Return an open image; the last one stays open."""
    global _last
    if _last is None or _last[0] != opening:
        if _last is not None:
            _last[2].close()
        _last, stack = None, ExitStack()
        pyramid = stack.enter_context(open_pyramid(opening.path or "", page=opening.page))
        _last = opening, opening.at_scale(pyramid), stack
    return _last[1]


@dataclass(frozen=True, eq=False)
class LargeImage:
    """Hold an open image, the grid that cuts it, and the values that become 0 and 1 in all of its tiles."""

    source: Source
    pyramid: Pyramid
    grid: Grid
    limits: tuple[float, float]
    size: tuple[int, int]
    """(height, width) of the image; the grid's differs where the image is resampled."""
    opening: _Opening

    def windows(self, without: Iterable[int] = ()) -> Iterator[_Window]:
        """Yield the tiles to predict on, but those that are done."""
        done = set(without)
        for number, box in enumerate(self.grid.windows.tolist()):
            if number not in done:
                name, path = self.source.name, self.source.path
                x0, y0, x1, y1 = box
                yield _Window(
                    name, path, limits=self.limits, opening=self.opening, pyramid=self.pyramid, box=(x0, y0, x1, y1),
                    number=number,
                )  # fmt: skip

    def found(
        self,
        predicting: Predicting,
        classes: tuple[str, ...],
        options: DecodeOptions,
        *,
        batch: int = 1,
        on_bad: OnBad | None = None,
        store: TileStore | None = None,
        step: Callable[[], None] = lambda: None,
    ) -> Iterator[Instances]:
        """Yield whole objects, those that each row of tiles completes; ``step`` is called after each tile."""
        each = replace(options, one_piece=(), max_instances=None)  # a fragment of a ring is in two pieces

        def tiles() -> Iterator[Instances]:
            there = store.done() if store is not None else set[int]()
            done = {n for n in there if there.issuperset(_together(n, batch, len(self.grid)))}
            fresh = predicting.results(self.windows(done), batch, each, MAX_PIXELS, on_bad)
            waiting = next(fresh, None)
            for number, box in enumerate(self.grid.windows.tolist()):
                if store is not None and number in done:
                    found = store.load(number, classes)
                elif waiting is not None and isinstance(waiting[0], _Window) and waiting[0].number == number:
                    found = waiting[2]
                    if store is not None:
                        store.save(number, found)
                    waiting = next(fresh, None)
                else:  # a tile that cannot be read is a hole
                    found = Instances.empty((box[3] - box[1], box[2] - box[0]), classes, scored=True)
                step()
                yield found

        whole = stitch(tiles(), self.grid)
        return whole if self.size == self.grid.size else (rescaled(found, self.size) for found in whole)


def _together(number: int, batch: int, count: int) -> range:
    """Return the tiles that go through the network with a tile, whoever predicts."""
    first = number - number % batch
    return range(first, min(first + batch, count))


@contextmanager
def open_large(source: Source, model: Model, tiling: Tiling, *, skip_bad: bool = False) -> Iterator[LargeImage]:
    """Open an image that is cut into tiles, for a model; with ``skip_bad`` parts of it may be damaged."""
    opening = _Opening(source.path, source.page, tiling.pixel_size, model.loaded.input)
    if source.path is None:
        image = source.read()
        held = image.pixels
        pyramid = Pyramid(
            Path(source.name), (image.size,), image.channels, held.dtype,
            lambda level, box: held[box[1] : box[3], box[0] : box[2]], image.pixel_size, image.alpha,
            nodata=image.nodata,
        )  # fmt: skip
        yield _large(source, pyramid, model, tiling, opening, skip_bad)
        return
    with open_pyramid(source.path, page=source.page) as pyramid:
        yield _large(source, pyramid, model, tiling, opening, skip_bad)


def _large(
    source: Source, pyramid: Pyramid, model: Model, tiling: Tiling, opening: _Opening, skip_bad: bool
) -> LargeImage:
    spec, size = model.loaded.input, pyramid.size
    pyramid = opening.at_scale(pyramid)
    grid = tiling.grid(pyramid.size, spec, model.loaded.stride)
    try:
        limits = value_limits_of(_looks(pyramid, grid, _BLOCKS, skip_bad), spec)
    except DataError as error:
        if source.path is None:
            raise
        raise ImageError(source.path, error.message) from error
    return LargeImage(source, pyramid, grid, limits, size, opening)


def _looks(pyramid: Pyramid, grid: Grid, most: int, skip_bad: bool) -> Iterator[Image]:
    """Yield up to so many cores, spread over the image; with ``skip_bad`` those that can be read."""
    for x0, y0, x1, y1 in grid.cores[:: -(-len(grid) // most)].tolist():
        try:
            look = pyramid.window((x0, y0, x1, y1))
        except ImageError:
            if not skip_bad:
                raise
        else:
            yield look


class TileStore:
    """Keep what each tile of one image found, a file for each, in a folder that says what it belongs to.

    Parameters
    ----------
    folder : made if needed.
    plan : what makes the tiles what they are; a folder with another plan is refused.
    resume : whether tiles of an earlier run may be there.

    Raises
    ------
    DataError
        If another run writes into the folder, its plan differs, or tiles are there that may not be.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any], resume: bool) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = (folder / "lock").open("a")
        if not hold(self._lock):
            self._lock.close()
            raise DataError(f"another run is writing into {folder}; wait for it, or name another folder")
        note = folder / "plan.json"
        if not note.exists():
            write_text(note, json.dumps(plan, indent=1) + "\n")
            return
        if not resume:
            message = f"{folder} holds tiles of a run that was cut short; go on with " + Option("resume", True)
            raise DataError(message + ", or remove the folder")
        before = json.loads(note.read_text(encoding="utf-8"))
        changed = [key for key in plan if before.get(key) != plan[key]]
        if changed:
            said = "; ".join(_HASHED.get(key, f"{key} was {before.get(key)}, is {plan[key]}") for key in changed)
            raise DataError(f"{folder} holds tiles of another run: {said}; remove the folder")

    def done(self) -> set[int]:
        """Return the numbers of the tiles that are there."""
        return {int(path.stem) for path in self.folder.glob("[0-9]*.npz")}

    def save(self, number: int, found: Instances) -> None:
        """Keep what a tile found, whole or not at all."""
        save_instances(self.folder / f"{number}.npz", found)

    def load(self, number: int, classes: tuple[str, ...]) -> Instances:
        """Return what a tile found."""
        return load_instances(self.folder / f"{number}.npz", classes)

    def close(self) -> None:
        """Let others use the folder."""
        self._lock.close()


def plan_of(large: LargeImage, model: Model, options: DecodeOptions) -> dict[str, Any]:
    """Return what makes the tiles of an image what they are, as JSON."""
    grid = large.grid
    conf = options.conf if isinstance(options.conf, tuple) else (options.conf,)
    return {
        "version": 1, "image": _print_of(large), "size": list(grid.size), "tile": grid.tile, "halo": grid.halo,
        "align": grid.align, "limits": list(large.limits), "model": model.loaded.fingerprint(), "conf": list(conf),
        "iou": options.iou,
    }  # fmt: skip


def _print_of(large: LargeImage) -> str:
    """Return a hash of the file's length and of places spread over it, or of tiles where there is no one file."""
    digest = hashlib.sha256()
    path = large.source.path
    if path is None or path.is_dir():
        for look in _looks(large.pyramid, large.grid, _PROBES, skip_bad=True):
            digest.update(np.ascontiguousarray(look.pixels).tobytes())
        return digest.hexdigest()
    size = os.path.getsize(path)
    digest.update(str(size).encode())
    with path.open("rb") as file:
        for place in np.linspace(0, max(size - 65536, 0), _PROBES).astype(int).tolist():
            file.seek(place)
            digest.update(file.read(65536))
    return digest.hexdigest()
