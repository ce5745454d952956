"""Transparent ground of an image is no data: masks and instances cut to the rest of it."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.run_overlap import cut
from apiece.core.set_operations import replaced

__all__ = ["judged_on", "masks_on", "on_data"]


def masks_on(masks: Masks, data: Masks | Bool) -> Masks:
    """Return the parts of masks on ``data``, one mask or bool (height, width); a mask may become empty.

    Examples
    --------
    >>> from apiece.ops.ground import masks_on
    >>> masks_on(apiece.Masks.from_boxes([[0, 0, 3, 2]], (2, 3)), np.array([[True, False, True]] * 2)).area
    array([4])
    """
    region = data if isinstance(data, Masks) else Masks.from_dense(data[None])
    return Masks.of_runs(masks.size, cut(masks.runs, region.runs, masks.size))


def on_data(instances: Instances, data: Masks | Bool) -> Instances:
    """Return instances without what lies on no data, and without those that have no pixel left.

    Examples
    --------
    >>> from apiece.ops.ground import on_data
    >>> found = apiece.Instances.from_label_map(np.array([[1, 1, 2]]))
    >>> on_data(found, np.array([[False, True, False]])).masks.area
    array([1])
    """
    left = instances.with_masks(lambda masks: masks_on(masks, data))
    gone = (left.masks.area == 0) & (instances.masks.area > 0)
    return left[np.flatnonzero(~gone)] if gone.any() else left


def judged_on(truth: Instances, data: Masks | Bool) -> Instances:
    """Return as many instances, cut to data; an object with no pixel on it becomes a crowd, which nobody has to find.

    Examples
    --------
    >>> from apiece.ops.ground import judged_on
    >>> truth = judged_on(apiece.Instances.from_label_map(np.array([[1, 1, 2]])), np.array([[False, True, False]]))
    >>> truth.masks.area, truth.crowd
    (array([1, 1]), array([False,  True]))
    """
    left = masks_on(truth.masks, data)
    gone = (left.area == 0) & (truth.masks.area > 0)
    some = np.flatnonzero(gone)
    return truth.replace(masks=replaced(left, some, truth.masks[some]), crowd=truth.crowd | gone)
