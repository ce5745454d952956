"""What the metrics of a final answer share: which predictions count, and their overlaps.

Crowds are not truth; a prediction that matches nothing is no mistake if more than half of it lies in crowds of its
class (the rule of COCO panoptic).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.metrics._kit.batch import Batch
from apiece.metrics._kit.overlaps import Pairs


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer on one batch against what is no crowd, within classes.

    Attributes
    ----------
    pairs : overlaps of counted predictions with truth that is no crowd, of one image and class.
    shared : int64 (P,), pixels of each pair.
    counted : bool (predictions,), score at or above the threshold of its class, or no score.
    spared : bool (predictions,), more than half in crowds of its class.
    """

    pairs: Pairs
    shared: Int
    counted: Bool
    spared: Bool

    @classmethod
    def of(cls, batch: Batch, conf: Float) -> Answer:
        """Return the answer on a batch; ``conf`` is the lowest score that counts, float64 (classes,)."""
        counted, pairs = batch.predicted.counted(conf), batch.mask_pairs
        crowd = batch.truth.crowd[pairs.truth]
        inside = np.bincount(pairs.predicted[crowd], pairs.iou[crowd], len(counted))
        pairs = pairs.where(counted[pairs.predicted] & ~crowd)
        return cls(pairs, batch.shared(pairs), counted, inside > 0.5)
