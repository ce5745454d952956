"""`summarise`: a data set in numbers."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.datasets._annotators import annotators_of, shared
from apiece.datasets.dataset import Dataset
from apiece.formats import LabelSet
from apiece.formats.contract import by_image, in_pieces, shape_counts
from apiece.ops.overlap import intersections
from apiece.ops.row_bands import RowBands

__all__ = ["ClassSummary", "Summary", "summarise"]

PERCENTILES = (0, 5, 25, 50, 75, 95, 100)


@dataclass(frozen=True)
class ClassSummary:
    """One class in a data set."""

    name: str
    """The class."""
    instances: int
    """Number of its instances."""
    images: int
    """Number of images with one."""
    median_area: float | None
    """Median of their mask areas in pixels; None without instances."""


@dataclass(frozen=True)
class Summary:
    """A data set in numbers."""

    images: int
    """Images."""
    missing_images: int
    """Images without a file."""
    empty_images: int
    """Images without an instance."""
    instances: int
    """Instances."""
    classes: tuple[ClassSummary, ...]
    """Each class, in order."""
    image_sizes: tuple[tuple[int, int, int], ...]
    """(height, width, number of images), most frequent first."""
    per_image: dict[str, float]
    """Instances per image: ``min``, ``median``, ``mean``, ``max``."""
    areas: dict[str, float]
    """Percentiles of mask areas in pixels, ``p0`` to ``p100``; empty without instances."""
    overlapping_images: int
    """Images on which instances overlap."""
    overlapping_instances: int
    """Instances that share a pixel with another."""
    with_holes: int
    """Instances with a hole."""
    several_parts: int
    """Instances in several parts (4-connected)."""
    crowd: int
    """Crowd regions."""
    empty_masks: int
    """Instances without a pixel."""
    scored: bool
    """Whether instances have scores, like predictions."""
    attributes: tuple[str, ...] = ()
    """Names of the attributes of instances, sorted."""
    image_attributes: tuple[str, ...] = ()
    """Names of the attributes of images, sorted."""
    ids: int = 0
    """Instances with an id."""
    tracks: int = 0
    """Ids on several images of one folder: tracks, if ids are the same over frames."""
    sequences: int = 0
    """Folders with such an id."""
    annotators: dict[str, int] = field(default_factory=dict)
    """Who drew the labels, and on how many images; empty where the file does not say."""
    several_annotators: int = 0
    """Images on which several people drew."""
    shapes: dict[str, int] = field(default_factory=dict)
    """Shapes of each kind that are no masks, and so no instances."""
    full_masks: int = 0
    """Instances with a full mask beside the visible one."""
    partly_hidden: int = 0
    """Instances of which others hide something, by their full masks."""

    @property
    def overlapping_images_share(self) -> float:
        """The share of images on which instances overlap, 0 to 1."""
        return self.overlapping_images / self.images if self.images else 0.0

    @property
    def overlapping_instances_share(self) -> float:
        """The share of instances that overlap another, 0 to 1."""
        return self.overlapping_instances / self.instances if self.instances else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return every field and the two shares, for JSON."""
        out = dataclasses.asdict(self)
        out["classes"] = [dataclasses.asdict(c) for c in self.classes]
        out["image_sizes"] = [list(s) for s in self.image_sizes]
        out["overlapping_images_share"] = self.overlapping_images_share
        out["overlapping_instances_share"] = self.overlapping_instances_share
        return out


def summarise(data: Dataset | LabelSet, step: Callable[[], None] = lambda: None) -> Summary:
    """Describe a data set in numbers; decodes the masks of one image at a time, and opens no image file.

    Calls ``step`` after each image.

    Examples
    --------
    >>> from apiece.datasets import summarise
    >>> found = summarise(apiece.read("data/train.json"))
    >>> found.images, found.instances, found.classes[0].median_area
    (2, 4, 54.0)
    """
    labels = data.labels if isinstance(data, Dataset) else data
    sizes, totals = Counter[tuple[int, int]](), Counter[str]()
    areas, kinds, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], []
    images_with = np.zeros(len(labels.classes), np.int64)
    named: set[str] = set()
    of_images: set[str] = set()
    ids = defaultdict[str, list[Int]](list)
    for ref, pieces in by_image(in_pieces(labels)):
        counts.append(0)
        with_class, own = np.zeros(len(labels.classes), bool), list[Int]()
        with _Overlaps() as overlaps:
            for instances in pieces:
                size = instances.size
                counts[-1] += len(instances)
                areas.append(instances.masks.area)
                kinds.append(instances.labels)
                with_class[instances.labels] = True
                totals.update(_totals(instances))
                named.update(instances.attributes)
                overlaps.add(instances.masks)
                own += [] if instances.ids is None else [instances.ids]
            totals.update(overlaps.counts())
        sizes[size] += 1
        images_with += with_class
        totals["missing_images"] += not ref.path.exists()
        of_images.update(ref.attributes)
        if own:
            ids[ref.name.replace("\\", "/").rpartition("/")[0]].append(np.unique(np.concatenate(own)))
        step()
    area = np.concatenate(areas)
    tracks = [int((np.unique(np.concatenate(own), return_counts=True)[1] > 1).sum()) for own in ids.values()]
    return Summary(
        images=len(counts),
        missing_images=totals["missing_images"],
        empty_images=counts.count(0),
        instances=len(area),
        classes=_classes(labels.classes, area, np.concatenate(kinds), images_with),
        image_sizes=tuple((h, w, n) for (h, w), n in sizes.most_common()),
        per_image=_spread(np.array(counts)),
        areas={f"p{p}": float(np.percentile(area, p)) for p in PERCENTILES} if len(area) else {},
        overlapping_images=totals["overlapping_images"],
        overlapping_instances=totals["overlapping_instances"],
        with_holes=totals["with_holes"],
        several_parts=totals["several_parts"],
        crowd=totals["crowd"],
        empty_masks=totals["empty_masks"],
        full_masks=totals["full_masks"],
        partly_hidden=totals["partly_hidden"],
        scored=totals["scored"] > 0,
        attributes=tuple(sorted(named)),
        image_attributes=tuple(sorted(of_images)),
        ids=totals["ids"],
        tracks=sum(tracks),
        sequences=sum(count > 0 for count in tracks),
        annotators={name: len(images) for name, images in annotators_of(labels).items()},
        several_annotators=shared(annotators_of(labels)),
        shapes=dict(shape_counts(labels.refs)),
    )


def _totals(instances: Instances) -> dict[str, int]:
    """Return what some instances add to the fields of a `Summary`."""
    masks = instances.masks
    return {
        "with_holes": int(np.count_nonzero(masks.holes)),
        "several_parts": int(np.count_nonzero(masks.parts > 1)),
        "crowd": int(np.count_nonzero(instances.crowd)),
        "empty_masks": int(np.count_nonzero(masks.area == 0)),
        "full_masks": 0 if instances.full is None else len(instances),
        "partly_hidden": 0 if instances.occlusion is None else int(np.count_nonzero(instances.occlusion > 0)),
        "scored": instances.scores is not None,
        "ids": 0 if instances.ids is None else len(instances),
    }


class _Overlaps:
    """Count the masks of one image that share a pixel with another, also where they come in pieces."""

    def __init__(self) -> None:
        self._first: Masks | None = None
        self._bands: RowBands | None = None
        self._count = 0
        self._files = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def add(self, masks: Masks) -> None:
        if self._first is None:
            self._first = masks
            return
        if self._bands is None:
            file = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
            self._bands = RowBands(file, masks.size)
            self._keep(self._first)
        self._keep(masks)

    def _keep(self, masks: Masks) -> None:
        assert self._bands is not None
        self._bands.add(masks, np.arange(self._count, self._count + len(masks)))
        self._count += len(masks)

    def counts(self) -> dict[str, int]:
        """Return what the image adds to the fields of a `Summary`."""
        if self._bands is None:
            found = 0 if self._first is None else len(_overlapping(self._first))
        else:
            own = [band.ids[_overlapping(band.masks)] for band in self._bands.bands() if band.ids is not None]
            found = len(np.unique(np.concatenate(own)))
        return {"overlapping_images": int(found > 0), "overlapping_instances": found}


def _overlapping(masks: Masks) -> Int:
    """Return which masks share a pixel with another."""
    if len(masks) < 2 or int(masks.area.sum()) == int(masks.union().area[0]):
        return np.zeros(0, np.int64)
    pairs = intersections(masks, masks).tocoo()
    return np.unique(pairs.row[(pairs.row != pairs.col) & (pairs.data > 0)]).astype(np.int64)


def _spread(counts: Int) -> dict[str, float]:
    if not len(counts):
        return {}
    values = (counts.min(), np.median(counts), counts.mean(), counts.max())
    return dict(zip(("min", "median", "mean", "max"), map(float, values), strict=True))


def _classes(names: tuple[str, ...], area: Int, kind: Int, images: Int) -> tuple[ClassSummary, ...]:
    order = np.argsort(kind, kind="stable")
    ends = np.cumsum(np.bincount(kind, minlength=len(names)))
    pieces = np.split(area[order], ends[:-1]) if len(names) else []
    return tuple(
        ClassSummary(name, len(piece), int(n), float(np.median(piece)) if len(piece) else None)
        for name, piece, n in zip(names, pieces, images, strict=True)
    )
