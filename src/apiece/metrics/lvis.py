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
from typing import Any, ClassVar

import numpy as np

from apiece._arrays import Bool, Float, Int32
from apiece.core.image import ImageRef
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.metrics._kit.ap_counts import Tally, joined, mean_defined, need_scores, summary, tally
from apiece.metrics._kit.ap_draws import resampled
from apiece.metrics._kit.batch import Batch, Searched
from apiece.metrics._kit.ratios import mean_over
from apiece.metrics.contract import Judges, MetricResult, Resampled, Settings

__all__ = ["METRIC", "Lvis", "frequencies", "judged", "searched"]


_GROUPS = {"r": "rare", "c": "common", "f": "frequent"}


def searched(refs: Iterable[ImageRef], metadata: Mapping[str, Any]) -> list[Searched]:
    """What each image was searched for, from an open LVIS label set's ``refs`` and ``metadata``.

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
        ids = ref.attributes.get(key, ())
        unknown = next((i for i in ids if i not in names), None)
        if unknown is not None:
            raise DataError(f"{ref.name}: {key} holds {unknown!r}, the id of no category of this set")
        return frozenset(names[i] for i in ids)

    return [Searched(named(ref, "neg_category_ids"), named(ref, "not_exhaustive_category_ids")) for ref in refs]


def frequencies(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """``"r"``, ``"c"`` or ``"f"`` for each class of an open LVIS label set; empty if it does not say so for all.

    Raises
    ------
    DataError
        if the label set is no LVIS.
    """
    found = tuple(str(row.get("frequency", "")) for row in _categories(metadata))
    return found if all(found) else ()


def _categories(metadata: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if "lvis" not in metadata:
        raise DataError("these labels are no LVIS: nothing says which classes each image was searched for")
    categories: Iterable[Mapping[str, Any]] = metadata["lvis"]["categories"]
    return categories


def judged(batch: Batch) -> tuple[Bool, Bool]:
    """Which predictions count, and which of them are not wrong where they match nothing: two bool (predictions,).

    >>> from apiece import Instances, Masks
    >>> found = Instances(Masks.from_boxes([[0, 0, 2, 2]] * 3, (4, 4)), [0, 1, 2], ("a", "b", "c"), [0.9, 0.8, 0.7])
    >>> batch = Batch.of(0, [(found[:1], found)], found.classes)
    >>> from dataclasses import replace
    >>> counted, spared = judged(replace(batch, searched=(Searched(frozenset("b"), frozenset("a")),)))
    >>> counted.tolist(), spared.tolist()
    ([True, True, False], [True, False, False])

    Raises
    ------
    DataError
        if the batch does not say what its images were searched for.
    UnknownNameError
        if an image was searched for a class that is not among the batch's.
    """
    if batch.searched is None:
        raise DataError(
            "LVIS AP needs to know which classes each image was searched for, and these labels do not say; "
            "COCO's AP judges labels that are complete"
        )
    group = batch.predicted.group
    known = np.zeros(batch.count * len(batch.classes), bool)
    known[batch.truth.group] = True
    partial = np.zeros(len(known), bool)
    place = {name: k for k, name in enumerate(batch.classes)}
    for image, said in enumerate(batch.searched):
        unknown = next((name for name in said.absent | said.partial if name not in place), None)
        if unknown is not None:
            raise UnknownNameError("class", unknown, batch.classes)
        first = image * len(batch.classes)
        known[[first + place[name] for name in said.absent]] = True
        partial[[first + place[name] for name in said.partial]] = True
    return known[group], partial[group]


def best_of_image(batch: Batch, limit: int) -> Bool:
    """Whether each prediction is among the ``limit`` of highest score of its image: bool (predictions,).

    Equal scores go in the order given.
    """
    predicted = batch.predicted
    order = np.lexsort((predicted.index, -predicted.score, predicted.image))
    count = np.bincount(predicted.image, minlength=batch.count)
    place = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    out = np.zeros(len(order), bool)
    out[order] = place < limit
    return out


class Lvis:
    """LVIS AP and AR of masks and boxes over a stream of batches.

    Memory: about 100 bytes per prediction that counts.
    """

    judges: ClassVar[Judges] = "ranked"

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes = tuple(classes)
        settings = settings or Settings()
        self.kinds, self.limit, self.frequency = settings.kinds, settings.image_dets, settings.frequency
        if self.frequency and len(self.frequency) != len(self.classes):
            raise ConfigError(f"frequency needs {len(self.classes)} values, one per class; got {len(self.frequency)}")
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._tallies: dict[str, list[Tally]] = {kind: [] for kind in self.kinds}
        self._beyond = 0

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch.

        Raises
        ------
        DataError
            if predictions have no scores, or nothing says what the images were searched for.
        UnknownNameError
            if an image was searched for a class that there is not.
        """
        need_scores(batch)
        best = best_of_image(batch, self.limit)
        self._beyond += int((~best).sum())
        counted, spared = judged(batch)
        for kind in self.kinds:
            pairs = batch.mask_pairs if kind == "mask" else batch.box_pairs
            self._tallies[kind].append(tally(batch, pairs, best & counted, spared)[0])

    def compute(self) -> MetricResult:
        """All numbers, per class too; extras: ``"mask"`` and ``"box"``, `Curves`."""
        numbers: dict[str, float] = {}
        per_class: dict[str, dict[str, float]] = {name: {} for name in self.classes}
        extras: dict[str, object] = {}
        for kind in self.kinds:
            whole = joined(self._tallies[kind], len(self.classes))
            values, extras[kind] = summary(whole, self.classes, (self.limit,))
            for key, by_class in values.items():
                numbers[f"lvis_{kind}_{key}"] = mean_defined(by_class)
                for name, column in zip(self.classes, by_class, strict=True):
                    per_class[name][f"lvis_{kind}_{key}"] = mean_defined(column)
            for sign, group in _GROUPS.items() if self.frequency else ():
                numbers[f"lvis_{kind}_ap_{group}"] = mean_defined(values["ap"][np.array(self.frequency) == sign])
        return MetricResult(numbers, per_class, extras, self._notes())

    def resample(self, weights: Int32) -> Resampled:
        """All numbers on each draw; see `apiece.metrics.contract.Resampling`."""
        numbers: dict[str, Float] = {}
        per_class: dict[str, dict[str, Float]] = {name: {} for name in self.classes}
        for kind in self.kinds:
            whole = joined(self._tallies[kind], len(self.classes))
            found = resampled(whole, f"lvis_{kind}_", self.classes, (self.limit,), weights)
            numbers |= found.numbers
            for name, values in found.per_class.items():
                per_class[name] |= values
            key = f"lvis_{kind}_ap"
            for sign, group in _GROUPS.items() if self.frequency else ():
                rows = [per_class[name][key] for name, f in zip(self.classes, self.frequency, strict=True) if f == sign]
                numbers[f"{key}_{group}"] = mean_over(np.reshape(rows, (-1, len(weights))).T)
        return Resampled(numbers, per_class)

    def _notes(self) -> tuple[str, ...]:
        if not self._beyond:
            return ()
        return (f"image_dets={self.limit} per image left {self._beyond} predictions out of LVIS AP and AR",)


METRIC = Lvis
