"""Labels that several people drew of one image: one of them chosen, or told that all of them come."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from apiece.errors import ConfigError, Option
from apiece.formats import LabelSet
from apiece.formats.contract import OpenedLabels

_log = logging.getLogger("apiece")


def drawn_by(labels: LabelSet, annotator: str | None, path: Path) -> LabelSet:
    """Return what one annotator drew; without one all labels, with a warning if several people drew on an image."""
    if annotator is not None:
        if not isinstance(labels, OpenedLabels):
            raise ConfigError(f"{path} does not say who drew its labels; leave out " + Option("annotator", annotator))
        return labels.by_annotator(annotator)
    several = shared(annotators_of(labels))
    if several:
        said = f"%s: {several:,} of {len(labels):,} images have labels of several annotators ({in_words(labels)}), and "
        _log.warning(said + "all of them are read; choose one with " + Option("annotator", ...), path)
    return labels


def annotators_of(labels: LabelSet) -> Mapping[str, Sequence[int]]:
    """Return who drew labels, and the positions of the images that each has seen."""
    return labels.annotators if isinstance(labels, OpenedLabels) else {}


def shared(annotators: Mapping[str, Sequence[int]]) -> int:
    """Return how many images several annotators have seen."""
    return sum(count > 1 for count in Counter(i for images in annotators.values() for i in images).values())


def in_words(labels: LabelSet) -> str:
    """Return the annotators with the number of images that each has seen."""
    return ", ".join(f"{name}: {len(images):,} images" for name, images in annotators_of(labels).items())
