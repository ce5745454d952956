"""Which score to cut at: the threshold of each class that serves best on validation data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece.metrics._match import Matches

__all__ = ["f1_thresholds"]

Float = npt.NDArray[np.float64]


def f1_thresholds(matches: Matches, default: float = 0.5) -> Float:
    """Score threshold of each class that gives the highest F1 at mask IoU 0.5.

    F1 = 2 TP / (2 TP + FP + FN), over all images together. Keeping predictions of a score of at least the threshold is
    what is judged, so equal scores stay together; of equal F1 the higher threshold wins. The threshold lies halfway
    between the last score kept and the next one below, so that it does not hang on a single prediction. Predictions
    matched to a crowd count neither way.

    Parameters
    ----------
    matches : of the validation images, from `Evaluation.matches`. Predict with a low ``conf`` first: a score that was
        cut off before cannot be chosen.
    default : for a class without a single right prediction.

    Returns
    -------
    float64 (classes,).
    """
    truths = matches.truths.sum(0)
    counted = ~matches.ignored
    out = np.full(len(matches.classes), float(default))
    for k in range(len(matches.classes)):
        rows = counted & (matches.label == k)
        out[k] = _best(matches.score[rows], matches.hits[rows], int(truths[k]), default)
    return out


def _best(score: Float, right: npt.NDArray[np.bool_], truths: int, default: float) -> float:
    if not right.any():
        return default
    order = np.argsort(-score, kind="stable")
    score, found = score[order], np.cumsum(right[order])
    # a cut can only lie below the last of equal scores
    cut = np.flatnonzero(np.append(score[1:] < score[:-1], True))
    # TP + FP is what is kept, TP + FN the truth
    f1 = 2 * found[cut] / (cut + 1 + truths)
    last = int(cut[np.argmax(f1)])
    if last + 1 == len(score):
        return float(score[last])
    middle = (score[last] + score[last + 1]) / 2
    return float(middle if middle > score[last + 1] else score[last])
