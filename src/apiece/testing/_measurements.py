"""What every family of measurements promises."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from apiece._arrays import Array
from apiece.core.masks import Masks
from apiece.measurements.contract import ROOM, Measure, Request
from apiece.testing._promises import expect

_POWER = {"length": 1, "area": 2, "pixel": 0, "degree": 0, "none": 0}


def _masks() -> Masks:
    """A square, a row, a ring, two parts, one pixel and none."""
    dense = np.zeros((6, 12, 14), bool)
    dense[0, 1:4, 1:4] = dense[1, 11, :9] = dense[2, 3:9, 5:11] = dense[4, 0, 13] = True
    dense[2, 5:7, 7:9] = False
    dense[3, ::8, ::9] = True
    return Masks.from_dense(dense)


def _measured(family: Measure, masks: Masks, scale: float = 1.0, channels: int = 3) -> dict[str, Array]:
    pixels = np.arange(masks.size[0] * masks.size[1] * channels, dtype=np.uint16).reshape(*masks.size, channels)
    names = frozenset(prop.name for prop in family.properties)
    image, full = pixels if family.needs_image else None, masks if family.needs_full else None
    return dict(family.compute(Request(masks, image, (scale, scale), names, full)))


def description(family: Measure, folder: Path) -> None:
    """It and its properties are described, and no two properties, of any families, have one name."""
    for text in (family.summary, *(prop.summary for prop in family.properties)):
        expect(text and "\n" not in text, f"no description in one line: {text!r}")
    names = [prop.name for prop in family.properties]
    expect(names and len(set(names)) == len(names), f"names of properties: {names}")
    for name, other in ROOM.load_all().items():
        taken = set(names) & {prop.name for prop in other.properties}
        expect(other is family or not taken, f"the family {name} has these properties, too: {taken}")
    unknown = {prop.dimension for prop in family.properties} - set(_POWER)
    expect(not unknown, f"no such dimension: {unknown}")


def rows(family: Measure, folder: Path) -> None:
    """Every property is measured of every mask, with others or by itself, and of no masks; parts name its columns."""
    for masks in (_masks(), _masks()[:0]):
        together = _measured(family, masks)
        for prop in family.properties:
            values = together.get(prop.name)
            expect(values is not None, f"{prop.name} is declared, and not measured")
            values = np.asarray(values)
            fits = values.ndim in (1, 2) and len(values) == len(masks)
            expect(fits, f"{prop.name}: shape {values.shape} for {len(masks)} masks")
            expect(values.dtype.kind in "buif", f"{prop.name}: dtype {values.dtype}")
            columns = 0 if values.ndim == 1 else values.shape[1]
            expect(len(prop.parts) in (0, columns), f"{prop.name}: {columns} columns, {len(prop.parts)} parts")
            alone = _measured(replace(family, properties=(prop,)), masks)[prop.name]
            expect(np.array_equal(alone, values, equal_nan=values.dtype.kind == "f"), f"{prop.name} differs alone")


def units(family: Measure, folder: Path) -> None:
    """With pixels of side 2, lengths double, areas are four times as large, and all else stays."""
    one, two = (_measured(family, _masks(), scale) for scale in (1.0, 2.0))
    for prop in family.properties:
        grown = one[prop.name] * 2.0 ** _POWER[prop.dimension]
        same = np.allclose(grown, two[prop.name], equal_nan=True)
        expect(same, f"{prop.name} ({prop.dimension}): {one[prop.name].tolist()} became {two[prop.name].tolist()}")


def alone(family: Measure, folder: Path) -> None:
    """In another order the values are the same; without the others, too, but for families that are ``together``."""
    masks = _masks()
    whole, turned = _measured(family, masks), _measured(family, masks[::-1])
    single = [whole] if family.together else [_measured(family, masks[k : k + 1]) for k in range(len(masks))]
    for prop in family.properties:
        expected = whole[prop.name]
        expect(np.allclose(turned[prop.name][::-1], expected, equal_nan=True), f"{prop.name}: the order matters")
        values = np.concatenate([one[prop.name] for one in single])
        expect(np.allclose(values, expected, equal_nan=True), f"{prop.name}: other masks matter")


PROMISES = (description, rows, units, alone)
