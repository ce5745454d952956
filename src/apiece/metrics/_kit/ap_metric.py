"""Average precision and recall over a stream of batches: what COCO's, boundary and LVIS's metric have in common."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from apiece._arrays import Bool, Float, Int, Int32
from apiece.metrics._kit.ap_counts import Tally, left_out, need_scores, summary, tally
from apiece.metrics._kit.ap_draws import resampled
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.match_ranked import AREA_RANGES
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics.contract import Judges, MetricResult, Number, Resampled, Settings

AP_TITLES = {"ap": "AP", "ap50": "AP, IoU 0.50", "ap75": "AP, IoU 0.75"}
"""Average precision over objects of all sizes, and what tables call it."""
_FALL = math.log2(1.5)
"""Half of the images have 1.5 times the bias of interpolated precision; in simulations it was 1.3 to 1.7 times."""


class ApMetric:
    """AP and AR of each kind of overlap. Keys: ``prefix``, kind, and COCO's; -1 means undefined.

    Attributes
    ----------
    prefix : what stands before each key.
    own_kinds : kinds of overlap; by default those of the settings: ``"mask"`` and ``"box"``.
    limits : for which numbers of predictions average recall is given; everything else is for the largest.
    """

    judges: ClassVar[Judges] = "ranked"
    prefix: ClassVar[str] = ""
    own_kinds: ClassVar[tuple[str, ...]] = ()

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self.classes, self.settings = tuple(classes), settings or Settings()
        self.kinds, self.limits = self.own_kinds or self.settings.kinds, self.settings.max_dets
        self.reset()

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        none = Batch.of(0, [], self.classes)
        self._tallies = {kind: [tally(none, none.mask_pairs, none.truth.crowd)[0]] for kind in self.kinds}
        self._ids: list[int | str | None] = []
        self._given = self._lost = 0

    def _within(self, batch: Batch) -> Bool:
        """Which predictions lie within the largest limit: bool (predictions,)."""
        return batch.predicted.rank < self.limits[-1]

    def _judged(self, batch: Batch) -> tuple[Bool | None, Bool | None]:
        """Which predictions count, None: all; which are not wrong where they match nothing, None: none."""
        return None, None

    def _view(self, batch: Batch, kind: str) -> Batch:
        """The batch as one kind sees it; its areas decide what counts."""
        return batch

    def _pairs(self, batch: Batch, kind: str) -> Pairs:
        """The overlaps of one kind."""
        return batch.box_pairs if kind == "box" else batch.mask_pairs

    def _matched(self, batch: Batch, kind: str, pairs: Pairs, first: Int) -> None:
        """Take in the pair that each prediction is matched by at IoU 0.5, or -1."""

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError where predictions have no scores."""
        need_scores(batch)
        self._ids += batch.ids or [None] * batch.count
        kept = self._within(batch)
        self._given += len(kept)
        self._lost += int((~kept).sum())
        counted, spared = self._judged(batch)
        for kind in self.kinds:
            pairs = self._pairs(batch, kind)
            made, first = tally(self._view(batch, kind), pairs, kept if counted is None else kept & counted, spared)
            self._tallies[kind].append(made)
            self._matched(batch, kind, pairs, first)

    def compute(self) -> MetricResult:
        """Return all numbers, per class too; one extra for each kind: its `Curves`."""
        numbers: dict[str, Float] = {}
        by_class: dict[str, Float] = {}
        extras: dict[str, object] = {}
        for kind in self.kinds:
            values, extras[kind] = summary(self._whole(kind), self.classes, self.limits)
            for key, value in values.items():
                by_class[f"{self.prefix}{kind}_{key}"] = value.mean(tuple(range(1, value.ndim)))
                numbers[f"{self.prefix}{kind}_{key}"] = _mean(value)
            for name, chosen in self._groups().items():
                numbers[f"{self.prefix}{kind}_ap_{name}"] = _mean(values["ap"][chosen])
        return MetricResult.of(self.classes, numbers, by_class, extras=extras, notes=self._notes(), about=self._about())

    def resample(self, weights: Int32) -> Resampled:
        """Return all numbers on each draw, per class AP; see `apiece.metrics.contract.Resampling`."""
        numbers: dict[str, Float] = {}
        by_class: dict[str, Float] = {}
        for kind in self.kinds:
            found = resampled(self._whole(kind), len(self.classes), self.limits, weights)
            for key, values in found.items():
                numbers[f"{self.prefix}{kind}_{key}"] = values.T
            for key in AP_TITLES:
                by_class[f"{self.prefix}{kind}_{key}"] = found[key].T
            for name, chosen in self._groups().items():
                numbers[f"{self.prefix}{kind}_ap_{name}"] = found["ap"][chosen].T
        return Resampled.of(self.classes, numbers, by_class, fall=_FALL)

    def _whole(self, kind: str) -> Tally:
        """Return what was kept, predictions by image id: pycocotools ranks equal scores in the order of image ids."""
        whole = joined(self._tallies[kind])
        if len({type(name) for name in self._ids}) != 1 or None in self._ids:
            return whole
        place = np.unique(np.array(self._ids), return_inverse=True)[1]
        order = np.argsort(place[whole.image], kind="stable")
        rows = ("label", "image", "rank", "score", "right", "wrong")
        return replace(whole, **{name: getattr(whole, name)[order] for name in rows})

    def _groups(self) -> dict[str, Bool]:
        """Further means of AP by name, each over some of the classes: bool (classes,)."""
        return {}

    def _notes(self) -> tuple[str, ...]:
        return left_out(self.limits[-1], self._lost, self._given, "AP and AR")

    def _about(self) -> dict[str, Number]:
        sizes = [name for name in AREA_RANGES if name]
        titles = {
            **AP_TITLES,
            **{f"ap_{name}": f"AP, {name}" for name in (*sizes, *self._groups())},
            **{f"ar{n}": f"AR, {n:,} per image" for n in self.limits},
            **{f"ar_{name}": f"AR, {name}" for name in sizes},
        }
        return {
            f"{self.prefix}{kind}_{key}": Number(
                group=self.prefix + kind, title=title, detail=kind == "box" and key not in AP_TITLES, undefined=-1
            )
            for kind in self.kinds
            for key, title in titles.items()
        }


def _mean(values: npt.NDArray[np.number]) -> Float:
    """Mean of what is defined; -1 where nothing is."""
    defined = values[values > -1]
    return np.asarray(defined.mean() if defined.size else -1.0)
