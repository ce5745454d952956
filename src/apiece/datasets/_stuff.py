"""Regions of stuff that a format keeps beside the objects, as instances."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets._views import View
from apiece.formats import LabelSet, Record

_KEY = "stuff"  # of the regions in an image's attributes, and of their names in the metadata of a format
_TABLE = "coco_panoptic"  # the metadata in whose categories every format's stuff is named here


def with_stuff(labels: LabelSet) -> LabelSet:
    """Return the labels with regions of stuff, which some formats keep beside the objects, as instances.

    Cityscapes has such regions: road, sky and nine more become classes after those of the objects. Other labels are
    returned as they are.

    Examples
    --------
    >>> from apiece.datasets import open_data, with_stuff
    >>> with_stuff(open_data("data")["train"].labels).classes
    ('bolt', 'nut')
    """
    said = (value.get(_KEY, ()) for value in labels.metadata.values() if isinstance(value, Mapping))
    names = tuple(dict.fromkeys(itertools.chain.from_iterable(said)))
    return WithStuff(labels, tuple(name for name in names if name not in labels.classes)) if names else labels


@dataclass(frozen=True)
class WithStuff(View):
    """A `LabelSet` whose images' regions of ``stuff`` are instances."""

    stuff: Sequence[str]

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the original set, then those of the regions."""
        return (*self.labels.classes, *self.stuff)

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The original metadata, and which classes are stuff."""
        rows = [
            {"id": k, "name": name, "isthing": int(name not in self.stuff)} for k, name in enumerate(self.classes, 1)
        ]
        return {**self.labels.metadata, _TABLE: {"categories": rows}}

    def seen(self, record: Record) -> Record:
        """Return a record with an instance for each region."""
        ref, found = record
        regions = ref.attributes.get(_KEY, {})
        names = [name for name in self.stuff if name in regions]
        masks = Masks.from_coco([regions[name] for name in names], found.size)
        labels = np.array([self.classes.index(name) for name in names], np.int64)
        things = Instances(found.masks, found.labels, self.classes, found.scores, crowd=found.crowd, full=found.full)
        return ref, Instances.concatenate([things, Instances(masks, labels, self.classes)])
