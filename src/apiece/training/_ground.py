"""Transparent ground in training: a crowd region, where nothing is learned, which goes through every transform.

Some losses know a crowd by its box. So the ground of a crop is handed to them in strips, whose boxes follow its shape.
"""

from __future__ import annotations

import numpy as np

from apiece._arrays import Bool
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs, expand
from apiece.ops.ground import on_data

_STRIP = 32  # rows
_MARK = "transparent ground"


def with_ground(instances: Instances, data: Bool) -> Instances:
    """Return instances without what lies on transparent ground, and the ground as a crowd region behind them."""
    shown = on_data(instances, data)
    masks = Masks.concatenate([shown.masks, Masks.from_dense(~data[None])])
    labels, crowd = np.append(shown.labels, 0), np.append(shown.crowd, True)
    mark = np.arange(len(masks)) == len(shown)
    return Instances(masks, labels, shown.classes, crowd=crowd, attributes={_MARK: mark})


def in_strips(instances: Instances) -> Instances:
    """Return instances with transparent ground, if they have any, divided into one crowd region for each strip."""
    mark = instances.attributes.get(_MARK)
    if mark is None or not mark.any():
        return instances
    strips = _strips(instances.masks[mark])
    kept = instances[~mark]
    masks = Masks.concatenate([kept.masks, strips])
    labels = np.append(kept.labels, np.zeros(len(strips), np.int64))
    return Instances(masks, labels, kept.classes, crowd=np.append(kept.crowd, np.ones(len(strips), bool)))


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
