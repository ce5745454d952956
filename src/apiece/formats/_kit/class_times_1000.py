"""Label images whose pixel value is class * 1000 + n, as Cityscapes and KITTI MOTS have them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Array, Bool, Int
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.errors import FormatError, LossyFormatError
from apiece.formats._kit.checks import is_int64

PER_CLASS = 1000
_HIGHEST_CLASS = 64  # 64999 is the last whole thousand below 65536


def numbers_of(classes: tuple[str, ...], known: Mapping[str, int], taken: set[int], path: Path) -> list[int]:
    """Return each class's number: its own if the format knows it, else a free one; the same for the same classes.

    More classes than numbers raise a `LossyFormatError`.
    """
    used = taken | set(known.values())
    free = (k for k in range(1, _HIGHEST_CLASS + 1) if k not in used)
    found = [known[name] if name in known else next(free, 0) for name in classes]
    if 0 in found:
        raise LossyFormatError(path, f"has numbers for {len(found) - found.count(0)} of these {len(found)} classes")
    return found


class Values:
    """Give objects their pixel values while frames are written: one id has one value over all frames.

    An id that is class * 1000 + n already is its own value, unless another has got that in an earlier frame; other ids
    get a free one.
    """

    def __init__(self, path: Path, numbers: list[int], crowds: bool) -> None:
        self.path, self.numbers, self.crowds = path, np.array(numbers, np.int64), crowds
        self._given: dict[tuple[int, int], int] = {}
        self._used: set[int] = set()

    def of(self, ref: ImageRef, instances: Instances) -> tuple[Int, dict[str, Any]]:
        """Return the value of each instance, and what to note beside the image to get order and ids back.

        Too few values raise a `LossyFormatError` that names the image.
        """
        number = self.numbers[instances.labels]
        crowd = instances.crowd if self.crowds else np.zeros(len(instances), bool)
        self._check_count(ref, instances, instances.labels[~crowd])
        values = np.where(crowd, number, 0)
        if instances.ids is None:
            values[~crowd] = number[~crowd] * PER_CLASS + _within(number[~crowd])
        else:
            given = np.fromiter(self._given.values(), np.int64)
            own = ~crowd & (instances.ids // PER_CLASS == number) & ~np.isin(instances.ids, given)
            values[own] = instances.ids[own]
            self._used.update(values[own].tolist())
            for row in np.flatnonzero(~crowd & ~own).tolist():
                values[row] = self._give(int(number[row]), int(instances.ids[row]))
        self._check(ref, instances, values, number, crowd)
        note: dict[str, Any] = {}
        same = instances.ids is None or bool((instances.ids == values).all())
        if not same or (np.diff(values) < 0).any():
            note["values"] = values.tolist()
        if not same and instances.ids is not None:
            note["ids"] = instances.ids.tolist()
        return values, note

    def _give(self, number: int, own: int) -> int:
        value = self._given.get((number, own))
        if value is None:
            first = [own] if 0 <= own < PER_CLASS else []
            options = (number * PER_CLASS + n for n in (*first, *range(PER_CLASS)))
            value = next((v for v in options if v not in self._used), (number + 1) * PER_CLASS)
            self._given[number, own] = value
            self._used.add(value)
        return value

    def _check_count(self, ref: ImageRef, instances: Instances, labels: Int) -> None:
        count = np.bincount(labels, minlength=len(instances.classes))
        if len(labels) and count.max() > PER_CLASS:
            name = instances.classes[int(count.argmax())]
            raise LossyFormatError(
                self.path,
                f"image {ref.name!r}: holds {PER_CLASS} objects of one class, and of {name!r} are {count.max()}",
            )

    def _check(self, ref: ImageRef, instances: Instances, values: Int, number: Int, crowd: Bool) -> None:
        over = ~crowd & (values // PER_CLASS != number)
        if over.any():
            name = instances.classes[int(instances.labels[int(np.argmax(over))])]
            raise LossyFormatError(
                self.path,
                f"image {ref.name!r}: all {PER_CLASS} values of class {name!r} are taken by ids of other frames",
            )
        distinct, count = np.unique(values, return_counts=True)
        if (count > 1).any():
            rows = np.flatnonzero(values == distinct[int(np.argmax(count > 1))])
            shown = rows if instances.ids is None else instances.ids[rows]
            noun = "instances" if instances.ids is None else "ids"
            why = "are crowd regions of one class" if crowd[rows[0]] else "need the same pixel value"
            raise LossyFormatError(
                self.path, f"image {ref.name!r}, {noun} {', '.join(map(str, shown.tolist()))} {why}; merge or renumber"
            )


def _within(number: Int) -> Int:
    """Return each entry's place among the entries of its number, from 0."""
    order = np.argsort(number, kind="stable")
    ranked = number[order]
    place = np.empty(len(number), np.int64)
    place[order] = np.arange(len(number)) - np.searchsorted(ranked, ranked)
    return place


def instances_of(
    array: Array,
    numbers: Mapping[int, int],
    classes: tuple[str, ...],
    note: Mapping[str, Any],
    path: Path,
    report: Callable[[FormatError], None],
    crowds: bool = False,
) -> Instances:
    """Return the objects of a label image; ``numbers`` maps class numbers to labels, ``note`` is of `Values`."""
    found = Instances.from_label_map(array)
    values = np.zeros(0, np.int64) if found.ids is None else found.ids
    crowd = (values < PER_CLASS) & crowds
    number = np.where(crowd, values, values // PER_CLASS)
    labels = np.array([numbers.get(int(k), -1) for k in number], np.int64)
    for value, k in zip(values[labels < 0].tolist(), number[labels < 0].tolist(), strict=True):
        report(FormatError(path, f"value {value}: there is no class of objects with the number {k}"))
    order = np.flatnonzero(labels >= 0)
    ids = values.copy()
    if "values" in note:
        said = _integers(note, "values", path)
        given = _integers(note, "ids", path) if "ids" in note else said
        if len(given) != len(said) or len(set(said)) != len(said):
            raise FormatError(path, "the note on its values and ids contradicts itself")
        place = {value: k for k, value in enumerate(said)}
        rank = np.array([place.get(v, len(said)) for v in values.tolist()], np.int64)
        ids = np.array([given[place[v]] if v in place else v for v in values.tolist()], np.int64)
        order = order[np.argsort(rank[order], kind="stable")]
    return Instances(found.masks[order], labels[order], classes, ids=ids[order], crowd=crowd[order])


def _integers(note: Mapping[str, Any], key: str, path: Path) -> list[int]:
    found = note[key]
    if type(found) is not list or not all(map(is_int64, found)):
        raise FormatError(path, f"the note on its {key} must be a list of 64-bit integers")
    return found
