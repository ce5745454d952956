"""Quotients and means of numbers that may be undefined: NaN where nothing is below the line, left out of means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float


def ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Float:
    """Return ``part / whole``, NaN where ``whole`` is 0.

    >>> ratio([1, 0], [2, 0]).tolist()
    [0.5, nan]
    """
    above, below = np.broadcast_arrays(np.asarray(part, np.float64), np.asarray(whole, np.float64))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def precision(counts: npt.NDArray[np.number]) -> Float:
    """Return TP / (TP + FP) of counts with last axis (TP, FP, FN); NaN where nothing is kept.

    >>> precision(np.array([[3, 1, 2], [0, 0, 2]])).tolist()
    [0.75, nan]
    """
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 1])


def recall(counts: npt.NDArray[np.number]) -> Float:
    """Return TP / (TP + FN) of counts with last axis (TP, FP, FN); NaN where there is no truth.

    >>> recall(np.array([3, 1, 1])).tolist()
    0.75
    """
    return ratio(counts[..., 0], counts[..., 0] + counts[..., 2])


def f1(counts: npt.NDArray[np.number]) -> Float:
    """Return 2 TP / (2 TP + FP + FN) of counts with last axis (TP, FP, FN); NaN where all three are 0.

    >>> f1(np.array([[3, 1, 1], [0, 0, 0]])).tolist()
    [0.75, nan]
    """
    return ratio(2 * counts[..., 0], counts[..., 0] + counts.sum(-1))


def mean_over(values: Float, weights: npt.ArrayLike | None = None) -> Float:
    """Return mean of what is defined over the last axis, NaN where nothing is.

    Parameters
    ----------
    values : (..., N) with NaN for the undefined.
    weights : (draws, N) for values of shape (N,): how often each counts; gives (draws,).

    >>> float(mean_over(np.array([1.0, np.nan, 2.0]))), mean_over(np.array([1.0, np.nan, 2.0]), [[3, 1, 1]]).tolist()
    (1.5, [1.25])
    """
    known = ~np.isnan(values)
    filled = np.where(known, values, 0.0)
    if weights is None:
        return ratio(filled.sum(-1), known.sum(-1))
    times = np.asarray(weights, np.float64)
    return ratio(times @ filled, times @ known)
