"""The objects of an image too large to be read whole: in arrays on the disk, of which only what is looked at is read.

A process of its own reads the label file once, piece by piece, and writes the arrays. They are written again when the
label file has changed. Of masks nothing stays in memory: the system keeps what is read often.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece._arrays import Array, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, sums
from apiece.errors import ApieceError, DataError
from apiece.formats import LabelSet
from apiece.serve.studio.sets import Source
from apiece.serve.studio.sheet import ORDER, marks_of, orders_of

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

__all__ = ["Slide", "Slides"]

_RUNS = {"x": np.int32, "y0": np.int32, "y1": np.int32}
_OBJECTS = {"counts": np.int64, "labels": np.int64, "areas": np.int64, "marks": np.uint32, "crowd": np.bool_}
_BOX = {"left": np.int32, "top": np.int32, "right": np.int32, "bottom": np.int32}
_MAYBE = {"scores": np.float64, "ids": np.int64, ORDER: np.int64}
"""Columns that label files may lack."""
_DTYPES: dict[str, Any] = {**_RUNS, **_OBJECTS, **_BOX, **_MAYBE}


class Slide:
    """The objects of a large image as its label file has them.

    Attributes
    ----------
    size : (height, width) of the image.
    classes : of the label file.
    count : number of objects.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, told = folder, json.loads((folder / "slide.json").read_text())
        self.size, self.classes, self._names = tuple(told["size"]), tuple(told["classes"]), set(told["columns"])
        self.count = len(self.column("labels"))
        self._boxes = [np.array(self.column(name)) for name in _BOX]  # asked for with every tile

    def column(self, name: str) -> Array:
        """Return a column of the objects or of their runs, as it lies on the disk."""
        path = self._folder / name
        return np.memmap(path, _DTYPES[name], "r") if path.stat().st_size else np.zeros(0, _DTYPES[name])

    def maybe(self, name: str) -> Array | None:
        """Return a column that the label file may lack."""
        return self.column(name) if name in self._names else None

    @cached_property
    def boxes(self) -> Int:
        """int32 (N, 4): x0, y0, x1, y1."""
        return np.stack(self._boxes, 1)

    @cached_property
    def highest_id(self) -> int:
        """The highest id; 0 without ids."""
        ids = self.maybe("ids")
        return 0 if ids is None else int(ids.max(initial=0))

    @cached_property
    def orders(self) -> tuple[int, int] | None:
        """The lowest and the highest order where objects overlap; None if there is no order."""
        orders = self.maybe(ORDER)
        return None if orders is None or not len(orders) else (int(orders.min()), int(orders.max()))

    @cached_property
    def _masks(self) -> Masks:
        x, y0, y1 = (self.column(name) for name in _RUNS)
        return Masks.of_runs(self.size, Runs(x, y0, y1, sums(self.column("counts"))))

    def take(self, rows: Int, classes: tuple[str, ...]) -> Instances:
        """Return some objects, without attributes but their order."""
        columns = {name: None if (v := self.maybe(name)) is None else v[rows] for name in _MAYBE}
        orders = columns.pop(ORDER)
        return Instances(
            self._masks[rows],
            self.column("labels")[rows],
            classes,
            columns["scores"],
            columns["ids"],
            self.column("crowd")[rows],
            {} if orders is None else {ORDER: orders},
        )

    def near(self, box: tuple[int, int, int, int], least: int) -> Int:
        """Return the objects whose box touches a box, and whose longer side is at least ``least``."""
        return np.flatnonzero(touching(self._boxes, box, least))


def touching(columns: list[Array], box: tuple[int, int, int, int], least: int) -> Array:
    """Return whether boxes, given as columns x0, y0, x1, y1, touch a box, and are of a longer side of ``least``."""
    left, top, right, bottom = columns
    found = (left < box[2]) & (right > box[0]) & (top < box[3]) & (bottom > box[1])
    rows = np.flatnonzero(found)
    found[rows] = np.maximum(right[rows] - left[rows], bottom[rows] - top[rows]) >= least
    return found


class Slides:
    """The large images of a set, read when they are first looked at.

    Parameters
    ----------
    folder : keeps the arrays.
    """

    def __init__(self, source: Source, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._reading: dict[str, tuple[BaseProcess, Any]] = {}
        self._open: dict[str, Slide] = {}

    def get(self, split: str, index: int, name: str, state: object) -> Slide | int:
        """Return the objects of an image, or how many have been read while its labels are being read.

        Parameters
        ----------
        split, index, name : of the image.
        state : of the label files; another one: they have changed.

        Raises
        ------
        DataError
            If the labels cannot be read.
        """
        key = hashlib.sha256(f"{split}/{name} {state}".encode()).hexdigest()[:16]
        folder = self._folder / key
        if key in self._open:
            return self._open[key]
        if key in self._reading:
            process, count = self._reading[key]
            if process.is_alive():
                return int(count.value)
            process.join()
            del self._reading[key]
            if not folder.is_dir():
                told = folder.with_suffix(".error")
                raise DataError(told.read_text() if told.is_file() else f"the labels of {name} cannot be read")
        if not folder.is_dir():
            spawn = multiprocessing.get_context("spawn")
            counted = spawn.RawValue("q", 0)
            process = spawn.Process(target=_read, args=(self._source, split, index, folder, counted), daemon=True)
            process.start()
            self._reading[key] = process, counted
            return 0
        self._open[key] = Slide(folder)
        return self._open[key]

    def keep(self, marks: Array, keys: Int) -> str:
        """Keep the marks and keys of objects in a file, and return its name."""
        name = f"{hashlib.sha256(marks.tobytes() + keys.tobytes()).hexdigest()[:16]}.npz"
        self._folder.mkdir(parents=True, exist_ok=True)
        np.savez(self._folder / name, marks=marks, keys=keys)
        return name

    def kept(self, name: str) -> tuple[Array, Int]:
        """Return marks and keys of such a file."""
        try:
            with np.load(self._folder / name) as held:
                return held["marks"], held["keys"]
        except (OSError, KeyError, ValueError) as error:
            raise DataError(
                f"{self._folder / name}: cannot be read, and the journal needs it; put it back, or move the journal"
            ) from error


def _read(source: Source, split: str, index: int, folder: Path, count: Any) -> None:
    """Write the arrays of an image."""
    part = folder.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        labels, size = source.open()[split], (0, 0)
        names = set(_MAYBE)
        with ExitStack() as stack:
            files = {name: stack.enter_context((part / name).open("wb")) for name in _DTYPES}
            for found in _pieces(labels, index):
                size = found.size
                for name, values in _columns(found).items():
                    if values is not None:
                        values.astype(_DTYPES[name]).tofile(files[name])
                    elif len(found):
                        names.discard(name)
                count.value += len(found)
        told = {"size": size, "classes": list(labels.classes), "columns": sorted(names)}
        (part / "slide.json").write_text(json.dumps(told))
        part.rename(folder)
    except (ApieceError, OSError) as error:
        folder.with_suffix(".error").write_text(str(error))
        shutil.rmtree(part, ignore_errors=True)


def _pieces(labels: LabelSet, index: int) -> Iterator[Instances]:
    pieces = getattr(labels, "pieces", None)
    yield from (found for _, found in ([labels[index]] if pieces is None else pieces(index)))


def _columns(found: Instances) -> dict[str, Array | None]:
    boxes = found.masks.runs.boxes
    return {
        **dict(zip(_RUNS, found.masks.runs[:3], strict=True)),
        "counts": np.diff(found.masks.offsets),
        "labels": found.labels,
        "areas": found.masks.area,
        "marks": np.array([int(mark, 16) for mark in marks_of(found)], np.uint32),
        "crowd": found.crowd,
        **dict(zip(_BOX, boxes.T, strict=True)),
        "scores": found.scores,
        "ids": found.ids,
        ORDER: orders_of(found),
    }
