"""`evaluate`: any number of metrics over a stream of images, in one pass, in memory that does not grow with pixels."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from apiece._arrays import keep_freed_memory
from apiece.core.conf import Conf
from apiece.errors import ConfigError, DataError, Message, Option, UnknownNameError
from apiece.metrics._kit.batch import Batch, Record, Searched, VideoFrame, grouped
from apiece.metrics._kit.curves import Curves
from apiece.metrics._kit.half_samples import ENOUGH, FEW, Halves, halved
from apiece.metrics._kit.match_ranked import Matches
from apiece.metrics.contract import ROOM, Judges, Metric, Number, Settings, UnitResampling

_MAX_RUNS = 200_000
"""Mask runs in one batch: large enough that the cost of a call does not count, small enough for some 40 MB."""
_MAX_IMAGES = 256
_NAMED = 4
"""Numbers that a note names before it counts the others."""

_log = logging.getLogger("apiece")


@dataclass(frozen=True, eq=False)
class Evaluation(Mapping[str, float]):
    """What `evaluate` found; ``result["mask_ap"]`` is a number, ``dict(result)`` all of them.

    Attributes
    ----------
    numbers : every number of every metric by key. With half-samples also ``mask_ap_low`` and ``mask_ap_high``, the 95%
        interval over images (NaN where none would hold), and ``mask_ap_bias``, how much too high the number probably
        is; and so for every number whose metric can be resampled. Of one image there is none.
    per_class : the same keys for each class name.
    images : number of images.
    extras : what else metrics gave, by metric, then by name.
    notes : sentences to be read beside the numbers.
    halves : the numbers on halves of the images, by class name (None: of all classes), then by key.
    about : what is known of each number, by key; intervals have no key of their own here.
    """

    numbers: Mapping[str, float]
    per_class: Mapping[str, Mapping[str, float]]
    images: int
    extras: Mapping[str, Mapping[str, Any]]
    notes: tuple[str, ...]
    halves: Mapping[str | None, Mapping[str, Halves]] = field(default_factory=dict)
    about: Mapping[str, Number] = field(default_factory=dict)

    def number(self, key: str, label: str | None = None) -> Number:
        """Return a number with its interval and what is known of it; of one class, if ``label`` names one."""
        numbers = self.numbers if label is None else self.per_class[label]
        if key not in self.about:
            raise UnknownNameError("number in this evaluation", key, self.about)
        value, low, high, bias = (numbers.get(key + end, math.nan) for end in ("", "_low", "_high", "_bias"))
        return self.about[key].of(value, (low, high) if math.isfinite(low) else None, bias)

    def groups(self) -> dict[str, dict[str, Number]]:
        """Return every number by its group and title, in the order of the metrics."""
        found: dict[str, dict[str, Number]] = {}
        for key, known in self.about.items():
            found.setdefault(known.group, {})[known.title] = self.number(key)
        return found

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

    @property
    def curves(self) -> dict[str, Curves]:
        """Precision-recall `Curves` of ``"mask"`` and ``"box"``, if the metric ``coco`` was among those asked for."""
        return {name: value for name, value in self.extras.get("coco", {}).items() if isinstance(value, Curves)}

    @property
    def matches(self) -> Matches:
        """Which prediction matched which truth at mask IoU 0.5; only where ``coco`` was asked for, and for masks."""
        found = self.extras.get("coco", {})
        if not isinstance(matches := found.get("matches"), Matches):
            raise UnknownNameError("table of this evaluation", "matches", found)
        return matches


def evaluate(
    pairs: Iterable[Record],
    classes: Sequence[str] | None = None,
    *,
    metrics: Sequence[str] | Literal["all"] = ("coco",),
    max_dets: Sequence[int] = (1, 10, 100),
    image_dets: int = 300,
    kinds: Sequence[str] = ("mask", "box"),
    conf: Conf = 0.0,
    searched: Iterable[Searched] | None = None,
    frames: Iterable[VideoFrame] | None = None,
    ids: Iterable[int | str | None] | None = None,
    names: Iterable[str] | None = None,
    frequency: Sequence[str] = (),
    stuff: Sequence[str] = (),
    bootstrap: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Evaluate predictions against ground truth, in one pass.

    Parameters
    ----------
    pairs : ``(truth, predicted)`` of each image, joined by the caller; read once, so a generator will do. Every image
        of the data set belongs here, with empty `Instances` where nothing was found. ``(truth, ranked, answer)`` where
        a model's ranking and its final answer differ: each metric gets what it judges.
    classes : class names, in the order of the result; default those of the first truth. Labels are joined by name.
    metrics : names of metrics, the files of ``apiece.metrics``; all share one matching. ``"all"``: every one that
        applies to what is given.
    max_dets, image_dets, kinds, conf, frequency, stuff : see `Settings`.
    searched : LVIS: what each image was searched for, in the order of ``pairs``; see `apiece.metrics.lvis.searched`.
    frames : tracking: where each image stands in a video, in the order of ``pairs``; see `apiece.metrics.frame_of`. By
        default all are frames of one.
    ids : what the label file calls each image, in the order of ``pairs``. Equal scores of several images are ranked in
        the order of these, as pycocotools ranks them; by default in the order of ``pairs``.
    names : what messages call each image, in the order of ``pairs``; by default its number.
    bootstrap : halves of the images, at most, from which 95% intervals come, see `apiece.metrics._kit.half_samples`;
        0: no intervals.
    seed : of the halves. The same seed and number of images give the same halves.

    Raises
    ------
    DataError
        if there is no image, sizes differ, or scores are missing where a metric needs them.
    UnknownNameError
        if an instance has a class that is not among ``classes``, or a metric does not exist.
    """
    keep_freed_memory()
    settings = Settings(tuple(max_dets), tuple(kinds), conf, image_dets, tuple(frequency), tuple(stuff))
    stream = iter(pairs)
    head = list(itertools.islice(stream, 1))
    if classes is None:
        if not head:
            raise DataError("there is no image to evaluate; give pairs of truth and prediction, or classes")
        classes = head[0][0].classes
    known_classes = tuple(classes)
    running = _Running(metrics, known_classes, settings)
    images = 0
    given = {"searched": searched, "frames": frames, "ids": ids, "names": names}
    facts = {name: iter(values) for name, values in given.items() if values is not None}
    first = (head.pop() for _ in range(len(head)))  # nothing is held of an image that was taken in
    for group in grouped(itertools.chain(first, stream), _MAX_RUNS, _MAX_IMAGES):
        known: dict[str, Any] = {name: _next(name, rest, len(group), images) for name, rest in facts.items()}
        pairs_now = [(truth, ranked) for truth, ranked, *_ in group]
        batch = replace(Batch.of(images, pairs_now, known_classes, known.pop("names", None)), **known)
        running.update(batch, group)
        images += batch.count
        del group, batch, pairs_now
    return running.collect(images, bootstrap, seed)


def _named(metrics: Sequence[str] | Literal["all"]) -> dict[str, type[Metric]]:
    """Metrics by name, each once; ``"all"`` stands for every one there is; a bare name is refused."""
    if isinstance(metrics, str) and metrics != "all":
        raise ConfigError(Option("metrics") + f" takes a list of names or 'all', got {metrics!r}; say ({metrics!r},)")
    return ROOM.load_all() if metrics == "all" else {name: ROOM.load(name) for name in metrics}


class _Running:
    """The metrics of one evaluation. Where all were asked for, those that the data is nothing for are left out."""

    def __init__(self, metrics: Sequence[str] | Literal["all"], classes: tuple[str, ...], settings: Settings) -> None:
        self._all = metrics == "all"
        self._classes, self._refused = classes, dict[str, Message]()
        self._shown = np.zeros(len(classes), np.int64)
        self._metrics: dict[str, Metric] = {}
        for name, kind in _named(metrics).items():
            with self._refusing(name):
                self._metrics[name] = kind(classes, settings)
        self._judged: set[Judges] = {metric.judges for metric in self._metrics.values()}
        self._crossed = {m.judges for m in self._metrics.values() if getattr(m, "crosses_classes", False)}

    @contextmanager
    def _refusing(self, name: str) -> Iterator[None]:
        try:
            yield
        except (ConfigError, DataError) as error:
            if not self._all:
                raise
            self._refused[name] = error.message

    def update(self, batch: Batch, group: Sequence[Record]) -> None:
        """Give each metric what it judges: ``batch`` holds what is ranked, and ``group`` the final answers, too."""
        self._shown += (batch.by_cell(batch.truth.group[~batch.truth.crowd])[..., 0] > 0).sum(0)
        given: dict[Judges, Batch] = dict.fromkeys(("ranked", "answer"), replace(batch, crossing=bool(self._crossed)))
        if "answer" in self._judged and any(record[-1] is not record[1] for record in group):
            answered = batch.judging([record[-1] for record in group])
            given["ranked"] = replace(batch, crossing="ranked" in self._crossed)
            given["answer"] = replace(answered, crossing="answer" in self._crossed)
        for name, metric in self._metrics.items():
            if name not in self._refused:
                with self._refusing(name):
                    metric.update(given[metric.judges])

    def collect(self, images: int, draws: int, seed: int) -> Evaluation:
        """Return everything together."""
        numbers: dict[str, float] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self._classes}
        extras: dict[str, Mapping[str, Any]] = {}
        notes: list[str] = []
        used: list[Metric] = []
        about: dict[str, Number] = {}
        for name, metric in self._metrics.items():
            if name in self._refused:
                continue
            result = metric.compute()
            known = {key: result.about.get(key, Number()) for key in result.numbers}
            # a metric without numbers speaks through its extras
            defined = not known or any(math.isfinite(n.of(result.numbers[key]).value) for key, n in known.items())
            if self._all and not (result.applies and defined):
                continue
            used.append(metric)
            numbers.update(result.numbers)
            for label, values in result.per_class.items():
                per_class[label].update(values)
            extras[name] = result.extras
            about |= {key: replace(n, group=n.group or name, title=n.title or key) for key, n in known.items()}
            notes += (note for note in result.notes if note not in notes)
        for reason in dict.fromkeys(self._refused.values()):
            names = ", ".join(name for name, why in self._refused.items() if why == reason)
            notes.append(f"left out: {names}: " + reason)
        shown = dict(zip(self._classes, self._shown.tolist(), strict=True))
        halves = halved(used, about, shown, images, draws, seed)
        if draws:
            notes += dict.fromkeys(told for m in used if isinstance(m, UnitResampling) and (told := m.units()[1]))
        if images > 1:
            for owner, found in halves.items():
                (numbers if owner is None else per_class[owner]).update(_intervals(found, about))
        if halves[None]:
            notes += _on_intervals(halves[None], about, shown, images)
        for note in notes:
            _log.warning(note)
        return Evaluation(numbers, per_class, images, extras, tuple(notes), halves, about)


def _intervals(halves: Mapping[str, Halves], about: Mapping[str, Number]) -> dict[str, float]:
    """Both ends of the interval of each number, and its bias, by key."""
    out: dict[str, float] = {}
    for key, half in halves.items():
        span = half.interval
        low, high = (math.nan, math.nan) if span is None else about.get(key, Number()).within(*span)
        out |= {f"{key}_low": low, f"{key}_high": high, f"{key}_bias": half.bias}
    return out


def _on_intervals(
    halves: Mapping[str, Halves], about: Mapping[str, Number], shown: Mapping[str, int], images: int
) -> Iterator[str]:
    """Say where there are no intervals, and which numbers are too high."""
    if images < ENOUGH:
        there = "there is 1" if images == 1 else f"there are {images}"
        yield f"no intervals: they need {ENOUGH} images at the least, and {there}"
        return
    if images < FEW:
        yield f"{images} images are few: the intervals are rough"
    scarce = [label for label, number in shown.items() if 0 < number < FEW]
    if scarce and len(shown) > 1 and images >= FEW:
        yield f"no interval for numbers of a class in fewer than {FEW} images: {_some(scarce)}"
    given = {key: half for key, half in halves.items() if not about[key].detail and math.isfinite(half.value)}
    high = {k: f"{k} by {h.bias:.3f}" for k, h in given.items() if h.bias >= 0.005 and about[k].unit == "share"}
    wide = [k for k in high if (span := given[k].interval) and 4 * given[k].bias > span[1] - span[0]]
    if wide:
        told = _some(high[k] for k in wide)
        yield f"few images of a class make numbers too high: {told}; their intervals allow for that"
    rare = [k for k, half in given.items() if half.lacks == "classes"]
    if rare:
        told = _some(high[k] for k in rare if k in high)
        yield (
            f"no interval for {_some(rare)}: some classes are in so few images that half of the images often lack them"
            + f". They are probably too high, at least: {told}" * bool(told)
        )
    alone = [k for k, half in given.items() if half.lacks == "images" and not half.fixed]
    if alone:
        yield f"no interval for {_some(alone)}: too few images decide it"


def _some(names: Iterable[str]) -> str:
    """Return the first few names, and how many more there are."""
    every = list(names)
    more = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + f" and {more} more" * (more > 0)


def _next(name: str, facts: Iterator[Any], count: int, before: int) -> tuple[Any, ...]:
    found = tuple(itertools.islice(facts, count))
    if len(found) < count:
        raise DataError(f"{name}: given for {before + len(found)} images, and there are more; give one for each")
    return found
