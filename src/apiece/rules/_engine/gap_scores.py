"""`gap_scores`: the lowest score of each class that counts, from what a model finds on good pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit, logit

from apiece._arrays import Float
from apiece.core.conf import Conf, thresholds
from apiece.core.instances import Instances

__all__ = ["gap_scores"]

_LEAST, _MOST = 0.02, 0.98  # scores beyond say no more
_GAP = 0.1  # narrower gaps are none: scores on both sides would be doubtful
_LOW = 0.5  # times the usual threshold, below which no object is taken for one
_USUAL = 0.5


def gap_scores(pictures: Sequence[Instances], usual: Conf | None = None) -> dict[str, float]:
    """Return the lowest score of each class that counts, where good pictures show one.

    Good pictures show the same parts. If each of them has n objects of a class with scores above those of all further
    candidates, the threshold lies in the gap between. A class that none shows counts from half way between the best
    of its candidates and the usual threshold, so that a defect that the model half believes is not passed over. Middles
    are those of log odds.

    Parameters
    ----------
    pictures : objects with scores, low ones too, all of the same classes.
    usual : the thresholds of the model.
    """
    classes, found = pictures[0].classes, {}
    for name, own, ranked in zip(classes, thresholds(usual, classes, _USUAL), _ranked(pictures), strict=True):
        least, most = ranked.min(0)[:-1], ranked.max(0)
        clear = (least - most[1:] > _GAP) & (least >= _LOW * own)
        sides = logit(np.clip(least, _LEAST, _MOST)), logit(np.clip(most, _LEAST, _MOST))
        if clear.any():
            n = int(np.where(clear, sides[0] - sides[1][1:], -np.inf).argmax())
            found[name] = round(float(expit((sides[0][n] + sides[1][n + 1]) / 2)), 3)
        elif most[0] < own:
            found[name] = round(float(expit((sides[1][0] + logit(np.clip(own, _LEAST, _MOST))) / 2)), 3)
    return found


def _ranked(pictures: Sequence[Instances]) -> list[Float]:
    """Return of each class the scores on each picture, the best first, filled up with 0: (pictures, most + 1)."""
    out = []
    for label in range(len(pictures[0].classes)):
        scores = [np.sort(one.scores[one.labels == label])[::-1] for one in pictures if one.scores is not None]
        table = np.zeros((len(scores), max(map(len, scores)) + 1))
        for row, own in zip(table, scores, strict=True):
            row[: len(own)] = own
        out.append(table)
    return out
