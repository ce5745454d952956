"""`evaluate`: any number of metrics over a stream of images, in one pass, in memory that does not grow with pixels."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from apiece import _plugins
from apiece.core.instances import Instances
from apiece.errors import DataError, UnknownNameError
from apiece.metrics._base import Metric, Settings
from apiece.metrics._batch import Frame, Searched, batches
from apiece.metrics._curves import Curves
from apiece.metrics._match import Matches

__all__ = ["Evaluation", "evaluate"]

_MAX_RUNS = 200_000
"""Mask runs in one batch: large enough that the cost of a call does not count, small enough for some 40 MB."""
_MAX_IMAGES = 256

_Fact = TypeVar("_Fact")

_log = logging.getLogger("apiece")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What `evaluate` found; ``result["mask_ap"]`` is a number, ``dict(result)`` all of them.

    Attributes
    ----------
    numbers : every number of every metric by key.
    per_class : the same keys for each class name.
    images : number of images.
    extras : what else metrics gave, by metric, then by name.
    notes : sentences to be read beside the numbers.
    """

    numbers: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    images: int
    extras: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]

    def __getitem__(self, key: str) -> float:
        if key not in self.numbers:
            raise UnknownNameError("number in this evaluation", key, self.numbers)
        return self.numbers[key]

    def __contains__(self, key: object) -> bool:
        return key in self.numbers

    def __iter__(self) -> Iterator[str]:
        return iter(self.numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def keys(self) -> Iterable[str]:
        """Names of all numbers."""
        return self.numbers.keys()

    @property
    def curves(self) -> dict[str, Curves]:
        """Precision-recall `Curves` of ``"mask"`` and ``"box"``, if the metric ``coco`` was among those asked for."""
        return {name: value for name, value in self.extras.get("coco", {}).items() if isinstance(value, Curves)}

    @property
    def matches(self) -> Matches:
        """Which prediction matched which truth at mask IoU 0.5.

        Raises
        ------
        UnknownNameError
            if the metric ``coco`` was not among those asked for, or not for masks.
        """
        found = self.extras.get("coco", {})
        if "matches" not in found:
            raise UnknownNameError("table of this evaluation", "matches", found)
        matches: Matches = found["matches"]
        return matches


def evaluate(
    pairs: Iterable[tuple[Instances, Instances]],
    classes: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] = ("coco",),
    max_dets: Sequence[int] = (1, 10, 100),
    kinds: Sequence[str] = ("mask", "box"),
    conf: float | Sequence[float] = 0.0,
    searched: Iterable[Searched] | None = None,
    frames: Iterable[Frame] | None = None,
    frequency: Sequence[str] = (),
    stuff: Sequence[str] = (),
) -> Evaluation:
    """Hold predictions against truth.

    Parameters
    ----------
    pairs : ``(truth, predicted)`` of each image, joined by the caller; read once, so a generator will do. Every image
        of the data set belongs here, with empty `Instances` where nothing was found.
    classes : class names, in the order of the result; default those of the first truth. Labels are joined by name.
    metrics : names of metrics, the files of ``apiece.metrics``; all share one matching.
    max_dets : see `Settings`: COCO's limits on predictions per image and class. No other metric has a limit.
    kinds : COCO of masks, of boxes, or both.
    conf : see `Settings`: lowest score that counts, for metrics of a final answer. COCO uses every score.
    searched : LVIS: what each image was searched for, in the order of ``pairs``; see `apiece.metrics.lvis.searched`.
    frames : tracking: where each image stands in a video, in the order of ``pairs``; see `apiece.metrics.frame_of`. By
        default all are frames of one.
    frequency : LVIS: ``"r"``, ``"c"`` or ``"f"`` for each class; see `apiece.metrics.lvis.frequencies`.
    stuff : see `Settings`: names of the classes that are stuff.

    Raises
    ------
    DataError
        if there is no image, sizes differ, or scores are missing where a metric needs them.
    UnknownNameError
        if an instance has a class that is not among ``classes``, or a metric does not exist.
    """
    settings = Settings(
        tuple(max_dets),
        tuple(kinds),
        conf if isinstance(conf, int | float) else tuple(conf),
        frequency=tuple(frequency),
        stuff=tuple(stuff),
    )
    stream = iter(pairs)
    head = list(itertools.islice(stream, 1))
    if classes is None:
        if not head:
            raise DataError("there is no image to evaluate; give pairs of truth and prediction, or classes")
        classes = head[0][0].classes
    names = tuple(classes)
    running: dict[str, Metric] = {name: _plugins.load(__package__, name).METRIC(names, settings) for name in metrics}
    images = 0
    told = None if searched is None else iter(searched)
    placed = None if frames is None else iter(frames)
    for batch in batches(itertools.chain(head, stream), names, _MAX_RUNS, _MAX_IMAGES):
        if told is not None:
            batch = replace(batch, searched=_next("searched", told, batch.count, images))
        if placed is not None:
            batch = replace(batch, frames=_next("frames", placed, batch.count, images))
        for metric in running.values():
            metric.update(batch)
        images += batch.count
    return _collect(running, names, images)


def _next(name: str, facts: Iterator[_Fact], count: int, before: int) -> tuple[_Fact, ...]:
    found = tuple(itertools.islice(facts, count))
    if len(found) < count:
        raise DataError(f"{name}: given for {before + len(found)} images, and there are more; give one for each")
    return found


def _collect(running: Mapping[str, Metric], classes: tuple[str, ...], images: int) -> Evaluation:
    numbers: dict[str, float] = {}
    per_class: dict[str, dict[str, float]] = {name: {} for name in classes}
    extras: dict[str, Mapping[str, Any]] = {}
    notes: list[str] = []
    for name, metric in running.items():
        result = metric.compute()
        numbers.update(result.numbers)
        for label, values in result.per_class.items():
            per_class[label].update(values)
        extras[name] = result.extras
        notes += (note for note in result.notes if note not in notes)
    for note in notes:
        _log.warning(note)
    return Evaluation(numbers, per_class, images, extras, tuple(notes))
