"""Ground in training that is no data: a crowd region, where nothing is learned, which goes through every transform.

Transparent ground is such, and for a model of stuff what lies outside of the image: there all stuff would have an end.

Some losses know a crowd by its box. So the ground of a crop is handed to them in strips, whose boxes follow its shape.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Array, Bool
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand
from apiece.ops.ground import on_data

_STRIP = 32  # rows
_MARK, _FRAME = "transparent ground", "the image itself"


def with_ground(instances: Instances, data: Bool) -> Instances:
    """Return instances without what lies on transparent ground, and the ground as a crowd region behind them."""
    return _and_crowds(on_data(instances, data), Masks.from_dense(~data[None]), _MARK)


def with_frame(instances: Instances) -> Instances:
    """Return instances and the image itself as a region, which tells after a crop what lies outside of the image."""
    height, width = instances.size
    return _and_crowds(instances, Masks.from_boxes(np.array([[0, 0, width, height]]), instances.size), _FRAME)


def in_strips(instances: Instances) -> Instances:
    """Return instances with transparent ground and what lies outside of the image, if they have any, divided into one
    crowd region for each strip."""
    none = np.zeros(len(instances), bool)
    mark, frame = (np.asarray(instances.attributes.get(name, none), bool) for name in (_MARK, _FRAME))
    if not (mark | frame).any():
        return instances
    ground = instances.masks[mark].union()
    if frame.any():
        outside = Masks.from_dense(~instances.masks[frame].to_dense())
        ground = Masks.concatenate([ground, outside]).union()
    attributes = {name: v for name, v in instances.attributes.items() if name not in (_MARK, _FRAME)}
    return _and_crowds(instances.replace(attributes=attributes)[~(mark | frame)], _strips(ground))


def _and_crowds(instances: Instances, regions: Masks, mark: str = "") -> Instances:
    """Return instances and crowds, which the attribute ``mark`` tells from them."""
    more = len(regions)

    def longer(values: Array) -> Array:
        return np.concatenate([values, np.zeros((more, *values.shape[1:]), values.dtype)])

    attributes = {name: longer(np.asarray(values)) for name, values in instances.attributes.items()}
    if mark:
        attributes[mark] = np.arange(len(instances) + more) >= len(instances)
    full = None if instances.full is None else Masks.concatenate([instances.full, regions])
    return Instances(
        Masks.concatenate([instances.masks, regions]), longer(instances.labels), instances.classes,
        crowd=np.append(instances.crowd, np.ones(more, bool)), attributes=attributes, full=full,
    )  # fmt: skip


def _strips(ground: Masks) -> Masks:
    """Divide a region at every 32nd row, and what is in such a strip where a column is free."""
    runs = ground.runs
    first, last = runs.y0 // _STRIP, (runs.y1 - 1) // _STRIP
    count = (last - first + 1).astype(np.int64)
    run, strip = np.repeat(np.arange(len(count)), count), expand(first.astype(np.int64), count)
    y0, y1 = np.maximum(runs.y0[run], strip * _STRIP), np.minimum(runs.y1[run], (strip + 1) * _STRIP)
    x = runs.x[run].astype(np.int64)
    order = np.lexsort((x, strip))
    apart = (np.diff(strip[order], prepend=-1) != 0) | (np.diff(x[order], prepend=-2) > 1)
    owner = np.cumsum(apart) - 1
    loose = owner, x[order], y0[order], y1[order]
    return Masks.of_runs(ground.size, Runs.pack(loose, int(apart.sum()), ground.size))
