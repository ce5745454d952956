"""`check`: every image and its labels read once, every family asked, one report."""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.check._engine.families import chosen
from apiece.check._engine.open_labels import HasLabels, OpenLabels, source_of
from apiece.check._engine.report import Predicted, Report, ranked
from apiece.check.contract import ROOM, Check, Finding, Kind, Labelled, SetFacts, Settings
from apiece.core.classes import in_classes, without_classes
from apiece.core.instances import Instances
from apiece.errors import ConfigError, DataError, FormatError, ImageError, Option
from apiece.formats import LabelSet, stuff_classes
from apiece.images import read_image

_AHEAD = 4  # images under way per process
_DEFAULT = Settings()
_NEEDS = {"image": "the images", "predicted": "predictions of a model"}


def check(
    sets: Mapping[str, LabelSet | HasLabels | OpenLabels | str | os.PathLike[str]],
    *,
    settings: Settings = _DEFAULT,
    images: bool = True,
    predicted: Callable[[str, int], Instances | None] | None = None,
    only: Iterable[str] | None = None,
    skip: Iterable[str] | None = None,
    workers: int = 1,
    step: Callable[[], None] = lambda: None,
) -> Report:
    """Find mistakes in labels.

    Parameters
    ----------
    sets : labels of each split (``"train"``, ``"val"``, ``"test"``): a label set, a data set, a path, or the result of
        `open_labels`. In a path, entries that the reader refuses become findings; a label set that is open already
        refuses them as its ``on_bad`` says.
    settings : thresholds.
    images : also read the pixels. Without them, `check` does not look for kinds that need them.
    predicted : function from (split, position of the image) to the predictions of a model that did not learn from this
        image, with scores, or to None. Classes are joined by name. `check` calls it in order, in this process, and
        keeps its results to the end.
    only : kinds to look for, or families of kinds; by default all.
    skip : kinds, or families of kinds, to leave out.
    workers : processes that read images and look at them; 1 is this process. Any number gives the same report.
    step : called after each image.

    Returns
    -------
    The findings, ranked.

    Raises
    ------
    UnknownNameError
        If ``only`` or ``skip`` names a kind that does not exist.
    ConfigError
        If nothing is left to look for, also for lack of images or predictions, or if ``workers`` is below 1.
    DataError
        If the predictions have no class in common with the labels.
    FormatError
        If a file as a whole cannot be read.

    Examples
    --------
    >>> from apiece.check import check
    >>> report = check({"train": "data/train.json"}, only=["few_instances"])
    >>> print(report.findings[0].message)
    bolt: 2 instances in the whole set
    """
    if workers < 1:
        raise ConfigError(Option("workers") + f" must be at least 1, got {workers}")
    kinds = chosen(only, skip)
    unasked = {
        kind.name: _NEEDS[needs]
        for name, members in kinds.items()
        if (needs := ROOM.load(name).needs) in _NEEDS and not (images if needs == "image" else predicted)
        for kind in members
    }
    if all(kind.name in unasked for members in kinds.values() for kind in members):
        lacking = " and ".join(dict.fromkeys(unasked.values()))
        raise ConfigError(f"check cannot look for {', '.join(unasked)} without {lacking}")
    sources = {split: source_of(given) for split, given in sets.items()}
    reading = _Reading(sources, predicted)
    job = _Job(tuple(kinds), settings, images)
    findings: list[Finding] = []
    remembered: dict[str, list[Any]] = {name: [] for name in kinds}
    wanted = {kind.name: kind for members in kinds.values() for kind in members}
    looked = _looked(reading, job, workers)
    with closing(looked):
        for seen in looked:
            findings += [f for f in seen.findings if f.kind in wanted]
            for name, what in seen.remembered.items():
                remembered[name].append(what)
            step()
    facts = reading.facts()
    for name, what in remembered.items():
        conclude = ROOM.load(name).conclude
        # a family without its images or predictions remembers nothing
        if conclude is not None and not any(kind.name in unasked for kind in kinds[name]):
            findings += [f for f in conclude(what, facts, settings) if f.kind in wanted]
    return _report(ranked(findings, wanted), wanted, reading, unasked)


@dataclass(frozen=True)
class _Job:
    """What each process needs to know once."""

    families: tuple[str, ...]
    settings: Settings
    images: bool


@dataclass(frozen=True)
class _Seen:
    """What the families found and remembered of one image."""

    findings: list[Finding]
    remembered: dict[str, Any]


class _Reading:
    """The labels of every image, one after the other, and a note of all that cannot be read."""

    def __init__(
        self, sources: Mapping[str, OpenLabels], predicted: Callable[[str, int], Instances | None] | None
    ) -> None:
        self.sources, self.predicted = sources, predicted
        self.classes = tuple(dict.fromkeys(name for s in sources.values() for name in s.labels.classes))
        self.refs = {split: tuple(source.labels.refs) for split, source in sources.items()}
        self.unread: dict[str, dict[int, FormatError]] = {split: {} for split in sources}
        self.instances = dict.fromkeys(sources, 0)
        self.ids: dict[tuple[str, int], Int] = {}
        self.found: dict[tuple[str, int], Instances] = {}

    def __iter__(self) -> Iterator[Labelled]:
        for split, source in self.sources.items():
            stuff = stuff_classes(source.labels)
            for index in range(len(source.labels)):
                try:
                    # by position: iteration over a set passes over unreadable images
                    ref, instances = source.labels[index]
                except FormatError as error:
                    self.unread[split][index] = error
                    continue
                self.instances[split] += len(instances)
                if instances.ids is not None and len(instances):
                    self.ids[split, index] = instances.ids
                instances = in_classes(instances, self.classes)
                found = None if self.predicted is None else self._joined(self.predicted(split, index), instances.size)
                if found is not None:
                    self.found[split, index] = found
                yield Labelled(split, index, ref, instances, predicted=found, stuff=stuff)

    def facts(self) -> SetFacts:
        return SetFacts(
            self.classes,
            self.refs,
            {split: tuple(source.refused) for split, source in self.sources.items()},
            self.unread,
            {split: source.labels for split, source in self.sources.items()},
        )

    def _joined(self, found: Instances | None, size: tuple[int, int]) -> Instances | None:
        """Return predictions with the classes of the labels, without those of other classes.

        Those of the one class ``object``, which the labels have not, stay as they are: their model knows no classes.
        """
        if found is None or found.size != size:
            return None
        if without_classes(found.classes, self.classes):
            return found
        if not set(found.classes) & set(self.classes):
            raise DataError(
                f"the model knows {', '.join(found.classes)}, the labels have {', '.join(self.classes)}: with no class "
                f"in common, the model cannot judge the labels"
            )
        return in_classes(found, self.classes)


def _looked(reading: _Reading, job: _Job, workers: int) -> Generator[_Seen]:
    """Yield what the families saw on every image, in order, with only a few images under way."""
    if workers == 1:
        families = {name: ROOM.load(name) for name in job.families}
        for labelled in reading:
            yield _look(labelled, families, job)
        return
    # new processes instead of forked ones: a fork inherits the locks of torch's and OpenCV's threads
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])
    pool = ProcessPoolExecutor(workers, context, _begin, (job,))
    waiting: deque[Future[_Seen]] = deque()
    try:
        for labelled in reading:
            waiting.append(pool.submit(_look_there, labelled))
            if len(waiting) >= _AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(
            "the system ended a process that looked at images, probably for lack of memory; use fewer "
            + Option("workers")
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_here: tuple[dict[str, Check], _Job] | None = None
"""In a process of the pool, the families and the job."""


def _begin(job: _Job) -> None:
    global _here
    import signal

    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process ends them
    cv2.setNumThreads(1)  # there are as many processes as cores
    _here = {name: ROOM.load(name) for name in job.families}, job


def _look_there(labelled: Labelled) -> _Seen:
    assert _here is not None
    return _look(labelled, *_here)


def _look(labelled: Labelled, families: Mapping[str, Check], job: _Job) -> _Seen:
    if job.images:
        labelled = _with_image(labelled)
    seen = _Seen([], {})
    for name, family in families.items():
        if family.needs != "labels" and getattr(labelled, family.needs) is None:
            continue
        if family.look is not None:
            seen.findings.extend(family.look(labelled, job.settings))
        if family.remember is not None and (what := family.remember(labelled, job.settings)) is not None:
            seen.remembered[name] = what
    return seen


def _with_image(labelled: Labelled) -> Labelled:
    """Return the image with its pixels, or with the reason why they cannot be read."""
    try:
        image = read_image(labelled.ref.path, page=labelled.ref.page)
    except ImageError as error:
        return replace(labelled, problem=error.reason)
    if image.size != labelled.instances.size:
        (height, width), (drawn_height, drawn_width) = image.size, labelled.instances.size
        problem = f"is {width} x {height} pixels, its labels were drawn on {drawn_width} x {drawn_height}"
        return replace(labelled, problem=problem)
    return replace(labelled, image=image.colours(), data=image.data)


def _report(
    findings: tuple[Finding, ...], kinds: Mapping[str, Kind], reading: _Reading, unasked: Mapping[str, str]
) -> Report:
    ids: dict[tuple[str, int], dict[int, int]] = {}
    predicted: dict[tuple[str, int], set[int]] = {}
    for finding in findings:
        for place in (finding.place, *finding.others):
            at = (place.split, -1 if place.index is None else place.index)
            if (known := reading.ids.get(at)) is not None:
                ids.setdefault(at, {}).update((i, int(known[i])) for i in place.instances)
        if finding.predicted and finding.place.index is not None:
            predicted.setdefault((finding.place.split, finding.place.index), set()).update(finding.predicted)
    kept = {}
    for where, positions in predicted.items():
        some = np.array(sorted(positions), np.int64)
        kept[where] = Predicted(some, reading.found[where][some])
    images = {split: len(refs) for split, refs in reading.refs.items()}
    return Report(findings, kinds, images, reading.instances, unasked, kept, ids)
