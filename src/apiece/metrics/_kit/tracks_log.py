"""What tracking metrics keep of each batch: ids over frames, and which objects overlap.

The rules that all of them share:

- Tracks are ids over the frames of a sequence (`VideoFrame`), each class for itself. Images come in the order of their
  frames; where nobody says which image is of which sequence, all are of one.
- Overlap is mask IoU. Predictions below ``Settings.conf`` are left out.
- Crowds are no truth. A prediction without a match at IoU 0.5 of which more than half lies in a crowd of its class, or
  in an ignored region of the frame, is left out: KITTI MOTS' rule (https://www.vision.rwth-aachen.de/page/mots).
- Intervals are drawn from whole videos, or from long stretches of a few (`_kit/track_units`). The extra ``"sequences"``
  shows how far the videos lie apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import ClassVar

import numpy as np

from apiece._arrays import Bool, Float, Int32
from apiece.core.image import ImageRef
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import DataError
from apiece.metrics._kit.batch import Batch, Side, VideoFrame
from apiece.metrics._kit.columns import joined
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Grouped, Pairs, mask_pairs
from apiece.metrics._kit.track_units import Units, resampled
from apiece.metrics._kit.tracks import Rows, Tracks, summed
from apiece.metrics.contract import Judges, MetricResult, Number, Resampled, Settings

_MATCH = 0.5
_INSIDE = 0.5


def frame_of(ref: ImageRef) -> VideoFrame:
    """Return where an image stands in a video, from what its label file says.

    Its sequence is attribute ``video_id`` (COCO files of videos) if there is one, else the folder its name lies in
    (``0002/000052.png``: KITTI MOTS, MOTS20, Cell Tracking Challenge). Ignored is ``attributes["regions"]["ignore"]``.

    >>> from pathlib import Path
    >>> frame_of(ImageRef(Path("data/0002/000052.png"), "0002/000052.png")).sequence
    '0002'
    """
    regions = ref.attributes.get("regions")
    ignore = regions.get("ignore") if isinstance(regions, Mapping) else None
    video = ref.attributes.get("video_id")
    folder = PurePosixPath(ref.name.replace("\\", "/")).parent
    return VideoFrame(
        sequence=str(folder if folder.parts else "") if video is None else str(video),
        ignored=None if ignore is None else Masks.from_coco([ignore]),
    )


class VideoMetric(ABC):
    """A metric of objects with ids, which counts when all frames are there.

    Objects and overlaps of one batch after another are kept: small, as masks are not among them.

    Attributes
    ----------
    keeps : what is kept of each object beside its sequence and class (as one number) and its image.
    """

    judges: ClassVar[Judges] = "answer"
    keeps: ClassVar[tuple[str, ...]] = ("id",)

    def __init__(self, classes: tuple[str, ...], settings: Settings | None = None) -> None:
        self._classes = tuple(classes)
        self._conf = (settings or Settings()).thresholds(self._classes)
        self.reset()

    def reset(self) -> None:
        """Forget the images taken in so far; ``classes`` and ``settings`` stay."""
        self._sequences: dict[str, int] = {}
        self._images, self._of_image = 0, [np.zeros(0, np.int64)]
        nothing = np.zeros((2 + len(self.keeps), 0), np.int64)
        self._parts = [nothing], [nothing]  # of truth, of predictions
        self._pairs = [Pairs.none()]

    def _take(self, batch: Batch, counted: tuple[Bool, Bool], pairs: Pairs) -> None:
        """Keep the truth and the predictions that are ``counted``, and their pairs."""
        names = [frame.sequence for frame in batch.frames] if batch.frames else [""] * batch.count
        sequence = np.array([self._sequences.setdefault(name, len(self._sequences)) for name in names], np.int64)
        rows = []
        for parts, side, kept in zip(self._parts, (batch.truth, batch.predicted), counted, strict=True):
            rows.append(np.cumsum(kept) - 1 + sum(part.shape[1] for part in parts))
            scene = sequence[side.image] * len(self._classes) + side.label
            own = [getattr(side, name) for name in self.keeps]
            parts.append(np.stack([scene, batch.first + side.image, *own])[:, kept])
        pairs = pairs.where(counted[0][pairs.truth] & counted[1][pairs.predicted])
        self._pairs.append(Pairs(rows[1][pairs.predicted], rows[0][pairs.truth], pairs.iou))
        self._of_image.append(sequence)
        self._images = batch.first + batch.count

    @abstractmethod
    def _stay(self) -> float:
        """Return for how many frames a true object stays on average."""

    @property
    def _units(self) -> Units:
        return Units.of(np.concatenate(self._of_image), self._stay())

    def units(self) -> tuple[int, str]:
        """Return how many videos or stretches are drawn; see `apiece.metrics.contract.UnitResampling`."""
        found = self._units
        return found.number, found.note


class TrackMetric(VideoMetric):
    """A metric of objects followed through video: what each sequence and class adds.

    Attributes
    ----------
    lowest : pairs of lower IoU do not count.
    of_tracks : numbers that hang on whole tracks, so that stretches of a video do not tell how sure they are.
    about : see `MetricResult`.
    """

    lowest: ClassVar[float] = 0.0
    of_tracks: ClassVar[frozenset[str]] = frozenset()
    about: ClassVar[Mapping[str, Number]] = MappingProxyType({})

    @staticmethod
    @abstractmethod
    def count(tracks: Tracks) -> dict[str, Float]:
        """Return what the numbers are made of by name; first axis groups, over which the counts may be added."""

    @staticmethod
    @abstractmethod
    def scores(counts: Mapping[str, Float]) -> dict[str, Float]:
        """Return the numbers by name, from the counts of any number of groups."""

    def update(self, batch: Batch) -> None:
        """Take in the images of one batch; raises DataError for objects without ids, or two of one class with one."""
        counted, kept = ~batch.truth.crowd, batch.predicted.counted(self._conf)
        kept &= ~_spared(batch, kept)
        _check_ids(batch, batch.truth, counted, "truth")
        _check_ids(batch, batch.predicted, kept, "predictions")
        self._take(batch, (counted, kept), batch.mask_pairs.where(batch.mask_pairs.iou >= self.lowest))

    def compute(self) -> MetricResult:
        """Return all numbers; extra ``"sequences"``: the numbers of each sequence by name."""
        tracks = self._tracks()
        counts = self.count(tracks)
        by_class, by_sequence = (
            self.scores(summed(counts, place, size))
            for place, size in ((tracks.label, len(self._classes)), (tracks.sequence, len(self._sequences)))
        )
        pooled = {name: values.sum(0) for name, values in counts.items()}
        sequences = MetricResult.of(tuple(self._sequences), {}, by_sequence).per_class
        extras, notes = {"sequences": sequences, **self._extras(pooled)}, _notes(tracks)
        return MetricResult.of(
            self._classes,
            self.scores(pooled),
            by_class,
            extras=extras,
            notes=notes,
            applies=not notes,
            about=self.about,
        )

    def _stay(self) -> float:
        truth = self._tracks().truth
        return float(truth.lengths.mean()) if len(truth) else 1.0

    def resample_units(self, weights: Int32) -> Resampled:
        """Return the numbers on each draw; see `apiece.metrics.contract.UnitResampling`."""
        units, tracks, classes = self._units, self._tracks(), len(self._classes)

        def cut(rows: Rows) -> Rows:
            of_unit = units.of_image[rows.frame % self._images]
            return replace(rows, group=of_unit * classes + tracks.label[rows.group])

        label = np.tile(np.arange(classes), units.number)
        counts = self.count(Tracks(cut(tracks.truth), cut(tracks.predicted), tracks.pairs, label, label))
        tables = {name: table.reshape(units.number, classes, *table.shape[1:]) for name, table in counts.items()}
        counted = {key for key, known in self.about.items() if known.unit == "count"}
        return resampled(self._classes, tables, weights, self.scores, () if units.whole else self.of_tracks | counted)

    def _extras(self, pooled: Mapping[str, Float]) -> dict[str, object]:
        """Further extras beside ``"sequences"``, from the counts of all groups together."""
        return {}

    def _tracks(self) -> Tracks:
        """Everything taken in so far."""
        sides = [np.concatenate(parts, 1) for parts in self._parts]
        scenes, group = np.unique(np.concatenate([scene for scene, _, _ in sides]), return_inverse=True)
        groups = np.split(group, [sides[0].shape[1]])
        truth, predicted = (
            Rows.of(own * self._images + image, ids, own) for (_, image, ids), own in zip(sides, groups, strict=True)
        )
        sequence, label = np.divmod(scenes, len(self._classes))
        return Tracks(truth, predicted, joined(self._pairs), sequence, label)


def _notes(tracks: Tracks) -> tuple[str, ...]:
    truth = tracks.truth
    if len(truth) and len(truth.lengths) == len(truth) and len(np.unique(truth.frame)) > 1:
        return (
            "no id of the truth is in more than one frame: these are hardly tracks, and tracking numbers say little",
        )
    return ()


def _check_ids(batch: Batch, side: Side, chosen: Bool, kind: str) -> None:
    lacking = np.flatnonzero(chosen & ~side.has_id)
    if len(lacking):
        ways = "track them first" if kind == "predictions" else "use labels of a video with ids, or other metrics"
        where = batch.called(side.image[lacking[0]])
        raise DataError(
            f"{where}: objects of the {kind} have no ids, and tracking metrics follow objects by them; {ways}"
        )
    rows = np.flatnonzero(chosen)
    rank = np.unique(side.id[rows], return_inverse=True)[1]
    key = side.group[rows] * (rank.max(initial=0) + 1) + rank
    ordered = np.sort(key)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        row = rows[int(np.argmax(key == twice[0]))]
        raise DataError(
            f"image {batch.first + side.image[row]}: two objects of the {kind}, of class "
            f"{batch.classes[side.label[row]]!r}, have id {side.id[row]}; in one frame an id is that of one object"
        )


def _spared(batch: Batch, kept: Bool) -> Bool:
    """Predictions that count neither way: without a match, and more than half in a crowd or in an ignored region."""
    pairs = batch.mask_pairs
    crowded = batch.truth.crowd[pairs.truth]
    spared = np.zeros(len(batch.predicted), bool)
    spared[pairs.predicted[crowded & (pairs.iou > _INSIDE)]] = True
    regions = _region_pairs(batch)
    spared[regions.predicted[regions.iou > _INSIDE]] = True
    if not spared.any():
        return spared
    near = pairs.where(~crowded & (pairs.iou >= _MATCH) & kept[pairs.predicted])
    # as many matches as can be, of these the closest
    matched = heaviest(near.truth, near.predicted, 1e4 + near.iou)
    spared[near.predicted[matched]] = False
    return spared


def _region_pairs(batch: Batch) -> Pairs:
    """Predictions of any class and the ignored regions of their image, with the share of the prediction inside."""
    regions, image = [], []
    for i, frame in enumerate(batch.frames or ()):
        if frame.ignored is not None:
            if frame.ignored.size != tuple(batch.truth.sizes[i]):
                raise DataError(
                    f"image {batch.first + i}: its ignored regions lie on {frame.ignored.size} (height, width), "
                    f"its truth on {tuple(batch.truth.sizes[i].tolist())}"
                )
            regions.append(frame.ignored.runs)
            image += [i] * len(frame.ignored)
    if not image:
        return Pairs.none()
    place, predicted = np.array(image, np.int64), batch.predicted
    ignored = Grouped(Runs.concatenate(regions), place, np.arange(len(place)))
    found = Grouped(predicted.runs, predicted.image, predicted.mask)
    return mask_pairs(found, ignored, np.ones(len(place), bool))
