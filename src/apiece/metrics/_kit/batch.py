"""`Batch`: truth and predictions of several images in flat arrays; their overlaps, computed once for all metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.classes import places
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand
from apiece.errors import DataError, UnknownNameError
from apiece.metrics._kit.overlaps import Grouped, Pairs, box_pairs, mask_pairs

Record = tuple[Instances, Instances] | tuple[Instances, Instances, Instances]
"""Truth and predictions of an image; where they differ, truth, what is ranked, and the final answer."""


@dataclass(frozen=True)
class Searched:
    """Which classes an image was searched for, where that was not all of them (LVIS).

    Classes with truth in the image were searched for as well; of every other class nothing is known.

    Attributes
    ----------
    absent : names of classes that were searched for and are not there.
    partial : names of classes of which not every instance is marked.
    """

    absent: frozenset[str] = frozenset()
    partial: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """Where an image stands in a video; see `apiece.metrics.frame_of`.

    Attributes
    ----------
    sequence : name of the video; the images of one sequence are its frames, in the order they come.
    ignored : regions in which predictions without a match do not count, of whatever class; None: there are none.
    """

    sequence: str = ""
    ignored: Masks | None = None


@dataclass(frozen=True, eq=False)
class Side:
    """Truth or predictions of several images, one row per instance.

    Truth rows keep the order of the images and of the instances in each. Prediction rows are ordered by (image, class,
    descending score), equal scores in the order given: a row's number is its priority.

    Attributes
    ----------
    runs : the masks, in the order given.
    mask : int64 (N,), which mask of ``runs`` each row has.
    sizes : int64 (images, 2), height and width of each image.
    image : int64 (N,), which image of the batch.
    index : int64 (N,), which instance of that image.
    label : int64 (N,), class.
    group : int64 (N,), one number per (image, class).
    area : float64 (N,), pixels squared; what decides small, medium, large. Truth: attribute ``area`` if there is one,
        else pixels of the mask. Predictions: width x height of attribute ``bbox`` if there is one, else pixels of the
        mask. (So does pycocotools: it reads the file's ``area`` for truth, and never for results.)
    stated : float64 (N, 4), attribute ``bbox``, NaN where there is none.
    crowd : bool (N,).
    score : float64 (N,); zeros for truth, NaN for predictions without scores.
    full : the full masks, in the order given, each mask itself where there is none; ``runs`` if there is none at all.
    has_full : bool (N,), whether there is one.
    id : int64 (N,), in a video the same in all frames of one object; 0 where there is none.
    has_id : bool (N,), whether there is one.
    parent : int64 (N,), attribute ``parent``: the id of the mother of what divided; 0 where there is none.
    """

    runs: Runs
    mask: Int
    sizes: Int
    image: Int
    index: Int
    label: Int
    group: Int
    area: Float
    stated: Float
    crowd: Bool
    score: Float
    full: Runs
    has_full: Bool
    id: Int
    has_id: Bool
    parent: Int

    def __len__(self) -> int:
        return len(self.image)

    @cached_property
    def box(self) -> Float:
        """X, y, width, height: attribute ``bbox`` if there is one, else the mask's own box; float64 (N, 4)."""
        there = np.isfinite(self.stated).all(1, keepdims=True)
        if np.all(there):
            return self.stated
        return np.where(there, self.stated, Grouped(self.runs, self.group, self.mask).box)

    @cached_property
    def pixels(self) -> Int:
        """Pixels of each mask, whatever `area` says: int64 (N,)."""
        return self.runs.area[self.mask]

    @cached_property
    def rank(self) -> Int:
        """Place of each prediction among those of its image and class, the best score 0: int64 (N,)."""
        return np.arange(len(self)) - np.searchsorted(self.group, self.group)

    def counted(self, conf: Float) -> Bool:
        """Return whether each score is not below its class's ``conf``, float64 (classes,); a missing score counts."""
        # not >=: a missing score is NaN
        return ~(self.score < conf[self.label])


@dataclass(frozen=True, eq=False)
class Batch:
    """Several images with truth and predictions.

    Attributes
    ----------
    first : number of the batch's first image among all that are evaluated.
    count : images in the batch.
    classes : class names; labels index into them.
    truth, predicted : the two `Side`s.
    searched : what each image was searched for; None: the labels do not say.
    frames : where each image stands in a video; None: all are frames of one.
    ids : what the label file calls each image; None: it does not say.
    names : what messages call each image; None: they give its number.
    crossing : whether ``image_pairs`` will be asked for: ``mask_pairs`` are then taken out of them.
    """

    first: int
    count: int
    classes: tuple[str, ...]
    truth: Side
    predicted: Side
    searched: tuple[Searched, ...] | None = None
    frames: tuple[VideoFrame, ...] | None = None
    ids: tuple[int | str | None, ...] | None = None
    names: tuple[str, ...] | None = None
    crossing: bool = False

    @classmethod
    def of(
        cls,
        first: int,
        pairs: Sequence[tuple[Instances, Instances]],
        classes: tuple[str, ...],
        names: tuple[str, ...] | None = None,
    ) -> Batch:
        """Return a batch of ``(truth, predicted)`` of consecutive images, the first of which is number ``first``.

        Raises
        ------
        DataError
            if truth and predictions of an image lie on different sizes.
        UnknownNameError
            if an instance has a class that is not among ``classes``.
        """
        truth = _side([truth for truth, _ in pairs], classes, predicted=False)
        return cls(first, len(pairs), classes, truth, truth, names=names).judging([found for _, found in pairs])

    def judging(self, found: Sequence[Instances]) -> Batch:
        """Return the same images and truth with other predictions, one `Instances` per image; raises as `of` does."""
        for i, (size, predicted) in enumerate(zip(self.truth.sizes.tolist(), found, strict=True)):
            if tuple(size) != predicted.size:
                raise DataError(
                    f"{self.called(i)}: truth lies on {tuple(size)} (height, width), predictions on {predicted.size}; "
                    "predict at the image's own size"
                )
        return replace(self, predicted=_side(found, self.classes, predicted=True))

    def called(self, image: int | np.integer[Any]) -> str:
        """Return what messages call an image of the batch: its name, or its number among all images.

        >>> nobody = Instances.empty((4, 4), ("nut",))
        >>> Batch.of(7, [(nobody, nobody)], ("nut",)).called(0)
        'image 7'
        """
        return f"image {self.first + image}" if self.names is None else f"image {self.names[image]!r}"

    @cached_property
    def mask_pairs(self) -> Pairs:
        """Every prediction and truth of one image and class whose masks overlap, with mask IoU."""
        if self.crossing and len(self.classes) > 1:
            known = self.image_pairs
            return known.where(self.predicted.label[known.predicted] == self.truth.label[known.truth])
        return self._mask_pairs(self.predicted.group, self.truth.group)

    @cached_property
    def image_pairs(self) -> Pairs:
        """Every prediction and truth of one image whose masks overlap, of whatever classes, with mask IoU."""
        return self.mask_pairs if len(self.classes) == 1 else self._mask_pairs(self.predicted.image, self.truth.image)

    def _mask_pairs(self, predicted: Int, truth: Int) -> Pairs:
        """Overlaps within groups of rows."""
        p, t = self.predicted, self.truth
        return mask_pairs(Grouped(p.runs, predicted, p.mask), Grouped(t.runs, truth, t.mask), t.crowd)

    @cached_property
    def box_pairs(self) -> Pairs:
        """Every prediction and truth of one image and class whose boxes overlap, with box IoU."""
        truth, predicted = self.truth, self.predicted
        return box_pairs(predicted.box, predicted.group, truth.box, truth.group, truth.crowd)

    def by_cell(self, *columns: Int | tuple[Int, npt.NDArray[np.generic]]) -> Float:
        """Return how many rows each image and class has: float64 (images, classes, columns).

        A column is the groups of some rows, or these and what each row weighs.
        """
        size = self.count * len(self.classes)
        pairs = [column if isinstance(column, tuple) else (column, None) for column in columns]
        sums = [np.bincount(group, weight, size).astype(np.float64) for group, weight in pairs]
        return np.stack(sums, -1).reshape(self.count, len(self.classes), len(columns))

    def shared(self, pairs: Pairs) -> Int:
        """Return pixels that the masks of each pair share, from their IoU: int64, exact below 2^50 pixels."""
        area = self.predicted.pixels[pairs.predicted]
        both = area + self.truth.pixels[pairs.truth]
        part = np.where(self.truth.crowd[pairs.truth], pairs.iou * area, pairs.iou * both / (1 + pairs.iou))
        return np.rint(part).astype(np.int64)


def _side(sets: Sequence[Instances], classes: tuple[str, ...], predicted: bool) -> Side:
    counts = np.array([len(s) for s in sets], np.int64)
    image = np.repeat(np.arange(len(sets)), counts)
    label = _joined([_labels(s, classes) for s in sets], np.int64)
    runs = Runs.concatenate([s.masks.runs for s in sets])
    area = runs.area.astype(np.float64)
    stated = np.concatenate([np.zeros((0, 4)), *(_stated(s, "bbox", (4,)) for s in sets)])
    if predicted:
        there = np.isfinite(stated).all(1)
        area[there] = stated[there, 2] * stated[there, 3]
        score = _joined([np.full(len(s), np.nan) if s.scores is None else s.scores for s in sets], np.float64)
    else:
        own = _joined([_stated(s, "area", ()) for s in sets], np.float64)
        area = np.where(np.isfinite(own), own, area)
        score = np.zeros(len(area))
    group = image * len(classes) + label
    has_full = [s.full is not None for s in sets]
    # lexsort is stable: equal scores stay in the order given
    order = np.lexsort((-score, group)) if predicted else np.arange(len(group))
    return Side(
        runs=runs,
        mask=order,
        sizes=np.array([s.size for s in sets], np.int64).reshape(-1, 2),
        image=image[order],
        index=expand(np.zeros(len(sets)), counts)[order],
        label=label[order],
        group=group[order],
        area=area[order],
        stated=stated[order],
        crowd=_joined([s.crowd for s in sets], np.bool_)[order],
        score=score[order],
        full=Runs.concatenate([(s.masks if s.full is None else s.full).runs for s in sets]) if any(has_full) else runs,
        has_full=np.repeat(np.array(has_full, bool), counts)[order],
        id=_joined([np.zeros(len(s), np.int64) if s.ids is None else s.ids for s in sets], np.int64)[order],
        has_id=np.repeat(np.array([s.ids is not None for s in sets], bool), counts)[order],
        parent=np.nan_to_num(_joined([_parents(s) for s in sets], np.float64)).astype(np.int64)[order],
    )


def _joined(columns: Sequence[Array], dtype: type[np.generic]) -> Array:
    return np.concatenate([np.zeros(0, dtype), *columns]).astype(dtype, copy=False)


def _labels(instances: Instances, classes: tuple[str, ...]) -> Int:
    """Labels as indices into ``classes``, joined by name."""
    if instances.classes == classes:
        return instances.labels
    label = places(instances.classes, classes)[instances.labels]
    if (label < 0).any():
        raise UnknownNameError("class", instances.names[int(np.argmin(label))], classes)
    return label


def _stated(instances: Instances, name: str, shape: tuple[int, ...]) -> Float:
    """An attribute as float64 of shape (N, *shape); NaN where there is none."""
    values = instances.attributes.get(name)
    if values is None:
        return np.full((len(instances), *shape), np.nan)
    if values.shape[1:] != shape or values.dtype.kind not in "iuf":
        raise DataError(
            f"attribute {name!r} must be numbers of shape {(len(instances), *shape)}; "
            f"got {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.float64)


def _parents(instances: Instances) -> Float:
    """The attribute ``parent``; another tool's attribute of that name, such as text, is none of ours."""
    values = instances.attributes.get("parent")
    if values is None or values.ndim != 1 or values.dtype.kind not in "iuf":
        return np.zeros(len(instances))
    return values.astype(np.float64)


def grouped(records: Iterable[Record], max_runs: int, max_images: int) -> Iterator[list[Record]]:
    """Group a stream of images into lists of at most ``max_runs`` mask runs (or one image) and ``max_images``."""
    held: list[Record] = []
    runs = 0
    for record in records:
        new = sum(len(instances.masks.x) for instances in {id(part): part for part in record}.values())
        if held and (runs + new > max_runs or len(held) == max_images):
            yield held
            runs, held = 0, []
        held.append(record)
        runs += new
    if held:
        yield held
