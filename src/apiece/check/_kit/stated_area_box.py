"""Area and box as a label file states them beside the masks (COCO's ``area`` and ``bbox``)."""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks

_SHAPES: dict[str, tuple[int, ...]] = {"area": (), "bbox": (4,)}


def stated(instances: Instances, name: str) -> Array | None:
    """Return ``area`` (N,) or ``bbox`` (N, 4: x, y, width, height); None if it is absent or holds no numbers."""
    values = instances.attributes.get(name)
    if values is None or values.shape != (len(instances), *_SHAPES[name]) or values.dtype.kind not in "iuf":
        return None
    return values


def own_boxes(masks: Masks) -> Float:
    """Return the masks' boxes as COCO writes them: x, y, width, height."""
    boxes = masks.boxes.astype(np.float64)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def differs(instances: Instances) -> Bool:
    """Return (N,) whether the stated area or box differs from that of the mask."""
    other = np.zeros(len(instances), bool)
    for name, own in (("area", instances.masks.area), ("bbox", own_boxes(instances.masks))):
        values = stated(instances, name)
        if values is not None:
            other |= (values != own).reshape(len(instances), -1).any(1)
    return other


def restated(instances: Instances, chosen: Int) -> Instances:
    """Return instances of which some state their masks' own area and box.

    An attribute that then says no more than the masks is dropped.

    Parameters
    ----------
    instances : instances whose attributes ``area`` and ``bbox`` a label file stated.
    chosen : positions of the instances whose masks have changed.

    Examples
    --------
    >>> from apiece.check import restated
    >>> square = apiece.Masks.from_boxes([[0, 0, 4, 4], [4, 4, 8, 8]], (8, 8))
    >>> found = apiece.Instances(square, attributes={"area": np.array([15.0, 9.0])})
    >>> restated(found, np.array([0])).attributes["area"]
    array([16.,  9.])
    """
    attributes = dict(instances.attributes)
    for name, own in (("area", instances.masks.area), ("bbox", own_boxes(instances.masks))):
        values = stated(instances, name)
        if values is None:
            continue
        values = values.copy()
        values[chosen] = own[chosen]
        attributes[name] = values
        if np.array_equal(values, own):
            del attributes[name]
    return instances.replace(attributes=attributes)
