"""Labels that several people drew of one image: those of one of them, what most agree on, or all, and a warning."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece.core.instances import Instances
from apiece.datasets._views import View
from apiece.errors import ConfigError, Option
from apiece.formats import LabelSet, Record
from apiece.formats.contract import OpenedLabels
from apiece.ops import iou, nms

_log = logging.getLogger("apiece")

AGREEMENT = "agreement"
"""In place of an annotator's name: what most of the annotators of an image agree on."""
_SAME = 0.5  # IoU of two masks of one class from which two people mean the same object


def drawn_by(labels: LabelSet, annotator: str | None, path: Path) -> LabelSet:
    """Return what one annotator drew, or what most agree on; all labels, and a warning, where nobody is named."""
    if annotator is not None:
        known = annotators_of(labels)
        if annotator == AGREEMENT and known and AGREEMENT not in known:
            refs, people = labels.refs, Counter(i for images in known.values() for i in images)
            return Agreed(labels, {refs[i].name: count for i, count in people.items()})
        if not isinstance(labels, OpenedLabels):
            raise ConfigError(f"{path} does not say who drew its labels; leave out " + Option("annotator", annotator))
        return labels.by_annotator(annotator)
    several = shared(annotators_of(labels))
    if several:
        said = f"%s: {several:,} of {len(labels):,} images have labels of several annotators ({in_words(labels)}), and "
        _log.warning(said + "all of them are read; choose one with " + Option("annotator", ...), path)
    return labels


@dataclass(frozen=True)
class Agreed(View):
    """A `LabelSet` with the objects that more than half of an image's annotators drew, each once."""

    people: Mapping[str, int]
    """How many annotators each image had, by its name."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the original set."""
        return self.labels.classes

    def seen(self, record: Record) -> Record:
        ref, instances = record
        return ref, agreed(instances, self.people.get(ref.name, 1))


def agreed(instances: Instances, people: int) -> Instances:
    """Return the objects that more than half of ``people`` drew, as the one drew them whom the others agree with most.

    Two people mean one object by masks of one class with an IoU of 0.5 or more.
    """
    drawn_by_whom = instances.attributes.get("annotator")
    if people < 2 or not len(instances) or drawn_by_whom is None:
        return instances
    names, who = np.unique(drawn_by_whom, return_inverse=True)
    pairs = iou(instances, instances).tocoo()
    first, second = pairs.row, pairs.col
    same = (who[first] != who[second]) & (instances.labels[first] == instances.labels[second]) & (pairs.data >= _SAME)
    best = np.zeros((len(instances), len(names)))
    np.maximum.at(best, (first[same], who[second[same]]), pairs.data[same])
    support = 1 + np.count_nonzero(best, axis=1)
    kept = np.flatnonzero(2 * support > people)
    # more support first, then the mask that is most like the others'
    stay = nms(instances.masks[kept], (support + best.mean(1))[kept], instances.labels[kept], _SAME)
    return instances[np.sort(kept[stay])]


def annotators_of(labels: LabelSet) -> Mapping[str, Sequence[int]]:
    """Return who drew labels, and the positions of the images that each has seen."""
    return labels.annotators if isinstance(labels, OpenedLabels) else {}


def shared(annotators: Mapping[str, Sequence[int]]) -> int:
    """Return how many images several annotators have seen."""
    return sum(count > 1 for count in Counter(i for images in annotators.values() for i in images).values())


def in_words(labels: LabelSet) -> str:
    """Return the annotators with the number of images that each has seen."""
    return ", ".join(f"{name}: {len(images):,} images" for name, images in annotators_of(labels).items())
