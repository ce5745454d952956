"""What intervals of tracking metrics are drawn from: whole videos, or stretches of a few ones.

Frames of a video are no independent images: what goes wrong in one goes wrong in the next, and an id that changes
concerns the whole track. So the unit that halves are made of (`_kit/half_samples`) is

- a video, where there are `ENOUGH`;
- else a stretch of frames, `_STAYS` times as long as an object stays on average, so that few tracks reach over more
  than two of them. An id that changes counts where it does; how well two tracks agree is known from the whole video.
  Counts, and AssA and its kin, have no interval then: in simulations it held their true number too seldom (80 to 86%).
- Where this makes fewer than `_LEAST` stretches, there is no interval. Shorter ones would claim too much:
  `benchmarks/track_intervals.py` shows how often such intervals hold the true number.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Int, Int32
from apiece.metrics._kit.half_samples import ENOUGH
from apiece.metrics.contract import Resampled

__all__ = ["Units", "resampled"]

_STAYS = 2.0
_LEAST, _MOST = 16, 64


@dataclass(frozen=True, eq=False)
class Units:
    """What is drawn.

    Attributes
    ----------
    number : how many there are; 0 where no interval would hold.
    of_image : int64 (images,), the unit that each image belongs to.
    note : what a person should know of the intervals.
    whole : whether the units are whole videos.
    """

    number: int
    of_image: Int
    note: str
    whole: bool = False

    @classmethod
    def of(cls, sequence: Int, stay: float) -> Units:
        """Return the units of images that belong to videos: int64 (images,); objects stay for ``stay`` frames.

        >>> Units.of(np.zeros(4000, np.int64), 50).number, Units.of(np.arange(2400) // 200, 150).number
        (40, 12)
        """
        lengths = np.bincount(sequence)
        videos = int((lengths > 0).sum())
        if videos >= ENOUGH:
            return cls(videos, np.unique(sequence, return_inverse=True)[1], "", whole=True)
        several = "one video" if videos == 1 else f"{videos} videos"
        each = max(_STAYS * stay, len(sequence) / _MOST)
        pieces = np.maximum((lengths // each).astype(np.int64), lengths > 0)
        number = int(pieces.sum())
        if number < _LEAST:
            needed = int(_LEAST * each)
            note = (
                f"no intervals of tracking numbers: {several} of {len(sequence):,} frames in all; objects "
                f"stay for {stay:.0f} frames on average, so that {needed:,} frames are needed, or {ENOUGH} videos"
            )
            return cls(0, sequence, note)
        order = np.argsort(sequence, kind="stable")
        within = np.empty(len(sequence), np.int64)
        within[order] = np.arange(len(sequence)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        unit = (np.cumsum(pieces) - pieces)[sequence] + within * pieces[sequence] // lengths[sequence]
        note = (
            f"intervals of tracking numbers come from {number} stretches of {several}: they speak of more such frames, "
            "not of other scenes"
        )
        return cls(number, unit, note)


def resampled(
    classes: Sequence[str],
    counts: Mapping[str, Float],
    weights: Int32,
    scores: Callable[[Mapping[str, Float]], dict[str, Float]],
    without: Collection[str] = (),
) -> Resampled:
    """Return the numbers on each draw, from counts by name, float64 (units, classes, ...); weights (draws, units).

    Those ``without`` are left out.
    """
    by_class = {name: np.tensordot(weights, table, 1) for name, table in counts.items()}
    pooled = scores({name: table.sum(1) for name, table in by_class.items()})

    def wanted(found: Mapping[str, Float]) -> dict[str, Float]:
        return {key: values for key, values in found.items() if key not in without}

    return Resampled.of(classes, wanted(pooled), wanted(scores(by_class)))
