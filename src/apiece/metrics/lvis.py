"""LVIS average precision: many classes, each image searched for some of them only (federated).

Keys are COCO's with ``lvis_``: ``lvis_mask_ap``, ``lvis_mask_ap50`` ... ``lvis_mask_ar300``, ``lvis_box_ap`` ..., and,
where `Settings` says how frequent classes are, ``lvis_mask_ap_rare``, ``_common`` and ``_frequent``.

- In an image a prediction counts only if its class has truth there or was searched for and found absent
  (`Searched.absent`); of all other classes nothing is known.
- Where not every instance of a class is marked (`Searched.partial`), a prediction that matches nothing is not wrong.
- The 300 best predictions of an image count (``Settings.image_dets``), all classes together. So does LVIS's own API;
  faster-coco-eval's ``lvis_style`` takes the limit per image and class.
- All else, and -1, as in COCO. Labels that do not say what images were searched for are refused: their AP is COCO's.

Reference: Gupta et al., LVIS, CVPR 2019, arXiv 1908.03195; lvis-api, ``eval.py`` and ``results.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from apiece._arrays import Bool
from apiece.core.image import ImageRef
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.metrics._kit.ap_metric import ApMetric
from apiece.metrics._kit.batch import Batch, Searched
from apiece.metrics.contract import Settings

__all__ = ["METRIC", "Lvis", "frequencies", "judged", "searched"]


_GROUPS = {"r": "rare", "c": "common", "f": "frequent"}


def searched(refs: Iterable[ImageRef], metadata: Mapping[str, Any]) -> list[Searched]:
    """Return what each image was searched for, from an open LVIS label set's ``refs`` and ``metadata``.

    >>> from pathlib import Path
    >>> refs = [ImageRef(Path("a.jpg"), "a.jpg", attributes={"neg_category_ids": [7]})]
    >>> searched(refs, {"lvis": {"categories": [{"id": 7, "name": "yak"}]}})
    [Searched(absent=frozenset({'yak'}), partial=frozenset())]

    Raises
    ------
    DataError
        if the label set is no LVIS, or an image names a category that it has not.
    """
    names = {row["id"]: row["name"] for row in _categories(metadata)}

    def named(ref: ImageRef, key: str) -> frozenset[str]:
        ids = frozenset(ref.attributes.get(key, ()))
        for unknown in ids - set(names):
            raise DataError(f"{ref.name}: {key} holds {unknown!r}, the id of no category of this set")
        return frozenset(names[i] for i in ids)

    return [Searched(named(ref, "neg_category_ids"), named(ref, "not_exhaustive_category_ids")) for ref in refs]


def frequencies(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Return ``"r"``, ``"c"`` or ``"f"`` for each class of an open LVIS label set; empty if it has none for some."""
    found = tuple(str(row.get("frequency", "")) for row in _categories(metadata))
    return found if all(found) else ()


def _categories(metadata: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if "lvis" not in metadata:
        raise DataError("these labels are no LVIS: nothing says which classes each image was searched for")
    categories: Iterable[Mapping[str, Any]] = metadata["lvis"]["categories"]
    return categories


def judged(batch: Batch) -> tuple[Bool, Bool]:
    """Return which predictions count, and which are not wrong where they match nothing: two bool (predictions,).

    A batch that does not say what its images were searched for raises DataError, an unknown class UnknownNameError.

    >>> from apiece import Instances, Masks
    >>> found = Instances(Masks.from_boxes([[0, 0, 2, 2]] * 3, (4, 4)), [0, 1, 2], ("a", "b", "c"), [0.9, 0.8, 0.7])
    >>> batch = Batch.of(0, [(found[:1], found)], found.classes)
    >>> from dataclasses import replace
    >>> counted, spared = judged(replace(batch, searched=(Searched(frozenset("b"), frozenset("a")),)))
    >>> counted.tolist(), spared.tolist()
    ([True, True, False], [True, False, False])

    """
    if batch.searched is None:
        raise DataError(
            "LVIS AP needs to know which classes each image was searched for, and these labels do not say; "
            "COCO's AP judges labels that are complete"
        )
    group = batch.predicted.group
    known, partial = np.zeros((2, batch.count * len(batch.classes)), bool)
    known[batch.truth.group] = True
    place = {name: k for k, name in enumerate(batch.classes)}
    for image, said in enumerate(batch.searched):
        for unknown in (said.absent | said.partial) - set(place):
            raise UnknownNameError("class", unknown, batch.classes)
        first = image * len(batch.classes)
        known[[first + place[name] for name in said.absent]] = True
        partial[[first + place[name] for name in said.partial]] = True
    return known[group], partial[group]


def best_of_image(batch: Batch, limit: int) -> Bool:
    """Return whether each prediction is among the ``limit`` of highest score of its image: bool (predictions,).

    Equal scores go in the order given.
    """
    index, score, image = batch.predicted.index, batch.predicted.score, batch.predicted.image
    # rows are ordered by image, so that its first row tells how far on each of them is
    place = np.argsort(np.lexsort((index, -score, image))) - np.searchsorted(image, image)
    return place < limit


class Lvis(ApMetric):
    """LVIS AP and AR of masks and boxes over a stream of batches.

    Memory: about 100 bytes per prediction that counts.
    """

    prefix = "lvis_"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        super().__init__(classes, settings)
        self.limits, frequency = (self.settings.image_dets,), self.settings.frequency
        if frequency and len(frequency) != len(self.classes):
            raise ConfigError(f"frequency needs {len(self.classes)} values, one per class; got {len(frequency)}")

    def _within(self, batch: Batch) -> Bool:
        return best_of_image(batch, self.limits[0])

    def _judged(self, batch: Batch) -> tuple[Bool, Bool]:
        return judged(batch)

    def _groups(self) -> dict[str, Bool]:
        found = np.array(self.settings.frequency)
        return {name: found == sign for sign, name in _GROUPS.items()} if found.size else {}

    def _notes(self) -> tuple[str, ...]:
        if not self._lost:
            return ()
        return (f"image_dets={self.limits[0]} per image left {self._lost} predictions out of LVIS AP and AR",)


METRIC = Lvis
