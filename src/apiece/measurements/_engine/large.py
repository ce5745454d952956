"""Measuring on images that do not fit in memory: objects that lie near each other, in the window that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from apiece._arrays import Int
from apiece.core.instances import Instances
from apiece.images import Pyramid
from apiece.measurements._engine.measure import families, measure
from apiece.measurements._engine.table import Table

_BLOCK = 2048  # pixels: objects with their middle in one square of this side are measured together


def measure_large(instances: Instances, pyramid: Pyramid, **options: Any) -> Table:
    """Return what `measure` gives of instances on an open image; ``options`` as for `measure`.

    Shapes and neighbours are measured on the masks as they lie on the image, and intensities in windows, since these do
    not depend on the place. An extra measurement sees the window.
    """
    grey, shapes = _divided(options.pop("properties", None))
    extra, size = options.pop("extra", None), options.get("pixel_size")
    table = measure(instances, properties=shapes, **options)
    if grey == [] and not extra:
        return table
    order, parts = list[Int](), list[Table]()
    for rows in _blocks(instances):
        some = instances[rows]
        box = _box(some)
        near = Instances(some.masks.crop(*box), some.labels, some.classes, some.scores, some.ids, some.crowd)
        parts.append(measure(near, pyramid.window(box), pixel_size=size, properties=grey, extra=extra))
        order.append(rows)
    seen, back = Table.concatenate(parts), np.argsort(np.concatenate(order))
    new = {name: values[back] for name, values in seen.columns.items() if name not in table.columns}
    units = {name: unit for name, unit in seen.units.items() if name in new}
    return Table.of_own({**table.columns, **new}, {**table.units, **units}, table.levels)


def _divided(names: list[str] | None) -> tuple[list[str] | None, list[str] | None]:
    """Return the properties of images, and the others; None for all that can be measured."""
    if names is None:
        return None, None
    of_images = {p.name for family in families() if family.needs_image for p in family.properties}
    return [name for name in names if name in of_images], [name for name in names if name not in of_images]


def _blocks(instances: Instances) -> Iterator[Int]:
    """Yield the rows of instances whose middles lie in one square, square by square; all rows if there are none."""
    boxes = instances.masks.runs.boxes.astype(np.int64)
    middle = (boxes[:, :2] + boxes[:, 2:]) // 2 // _BLOCK
    _, group = np.unique(middle, axis=0, return_inverse=True)
    order = np.argsort(group.ravel(), kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)


def _box(instances: Instances) -> tuple[int, int, int, int]:
    """Return the smallest window that holds all instances; a pixel where they have none."""
    boxes = instances.masks.runs.boxes[instances.masks.area > 0].astype(int)
    if not len(boxes):
        return 0, 0, 1, 1
    (x0, y0), (x1, y1) = boxes[:, :2].min(0).tolist(), boxes[:, 2:].max(0).tolist()
    return x0, y0, x1, y1
