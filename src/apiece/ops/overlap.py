"""Overlap of two sets of instances: shared pixels and intersection over union, sparse, all pairs at once."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from apiece._arrays import Float, Int
from apiece._scipy import sp
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.run_overlap import Columns
from apiece.core.run_overlap import intersections as _intersections
from apiece.core.run_overlap import overlapping as _overlapping
from apiece.errors import InvalidInstancesError

__all__ = ["box_iou", "intersections", "iou", "overlapping"]


def intersections(a: Masks | Instances, b: Masks | Instances) -> sp.csr_array:
    """Return the pixels that each mask of ``a`` shares with each mask of ``b``.

    Returns
    -------
    int64 ``scipy.sparse.csr_array`` of shape (len(a), len(b)) that holds the overlapping pairs only; memory grows with
    these pairs, not with len(a) x len(b).
    """
    return _intersections(*_compared(_masks(a), _masks(b)))


def overlapping(a: Masks, b: Masks) -> tuple[Int, Int, Int]:
    """Return the same as arrays: of each overlapping pair the mask of ``a``, in order, that of ``b``, and the pixels.

    It needs no SciPy, and prediction uses it.
    """
    return _overlapping(*_compared(a, b))


def _compared(a: Masks, b: Masks) -> tuple[Columns, Columns, tuple[int, int]]:
    if a.size != b.size:
        raise InvalidInstancesError(f"masks on images of different sizes do not compare: {a.size} and {b.size}")
    return a.columns, a.columns if b is a else b.columns, (len(a), len(b))


def iou(a: Masks | Instances, b: Masks | Instances, crowd: npt.ArrayLike | None = None) -> sp.csr_array:
    """Return the intersection over union of every overlapping pair: float64 ``csr_array`` (len(a), len(b)).

    Parameters
    ----------
    crowd : bool of shape (len(b),); against a crowd region the intersection is divided by the area of ``a``'s mask
        alone, as COCO does.

    Raises
    ------
    InvalidInstancesError
        If the images' sizes differ, or ``crowd`` has another shape.

    Examples
    --------
    >>> a = apiece.Masks.from_boxes([[0, 0, 2, 2], [4, 4, 6, 6]], (8, 8))
    >>> b = apiece.Masks.from_boxes([[1, 0, 3, 2]], (8, 8))
    >>> apiece.iou(a, b).toarray().round(3).tolist()
    [[0.333], [0.0]]
    """
    first, second = _masks(a), _masks(b)
    if crowd is not None and np.shape(crowd) != (len(second),):
        raise InvalidInstancesError(f"crowd must have shape ({len(second)},), one per mask of b; got {np.shape(crowd)}")
    shared = intersections(first, second)
    row = np.repeat(np.arange(len(first)), np.diff(shared.indptr))
    area = first.area[row]
    whole = area + second.area[shared.indices] - shared.data
    if crowd is not None:
        whole = np.where(np.asarray(crowd, bool)[shared.indices], area, whole)
    return sp.csr_array((shared.data / whole, shared.indices, shared.indptr), shape=shared.shape)


def box_iou(a: npt.ArrayLike, b: npt.ArrayLike, crowd: npt.ArrayLike | None = None) -> Float:
    """Return the intersection over union of all pairs of half-open xyxy boxes: dense float64 (len(a), len(b)).

    Two empty boxes give 0; ``crowd`` as for `iou`.
    """
    first, second = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    area_a, area_b = ((box[..., 2:] - box[..., :2]).prod(-1) for box in (first, second))
    whole = area_a + area_b - shared
    if crowd is not None:
        whole = np.where(np.asarray(crowd, bool)[None, :], area_a, whole)
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def _masks(a: Masks | Instances) -> Masks:
    return a.masks if isinstance(a, Instances) else a
