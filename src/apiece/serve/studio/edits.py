"""What a person draws, as a change of objects: computed on run-lengths, so that holes, parts and overlaps survive."""

from __future__ import annotations

from typing import Annotated, Literal, assert_never

import cv2
import numpy as np
from pydantic import Field

from apiece._arrays import Bool
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.core.set_operations import pairwise_difference, pairwise_union
from apiece.errors import ConfigError, PromptError, UnknownNameError
from apiece.ops.distances import distances
from apiece.ops.parts import filled
from apiece.serve.schema import Request
from apiece.serve.studio.sheet import Delta, Put, Sheet

__all__ = ["Accept", "Click", "Copy", "Draw", "Edit", "compute", "copied", "from_click", "keys_in", "prompts_of"]

Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Points = Annotated[list[Point], Field(min_length=1, max_length=100_000)]


class Draw(Request):
    """Draw a polygon, or a stroke of a brush: as a new object, onto an object, or out of it."""

    op: Literal["draw"] = "draw"
    how: Literal["new", "add", "cut"]
    points: Points
    radius: float = Field(0, ge=0, le=1000)
    """Of the brush, in pixels; 0: the points are the corners of a polygon."""
    key: int | None = None
    label: str | None = None


class Fill(Request):
    """Fill the holes of an object."""

    op: Literal["fill"] = "fill"
    key: int


class Cut(Request):
    """Divide an object along a line; no pixel is lost."""

    op: Literal["split"] = "split"
    key: int
    points: Points


class Merge(Request):
    """Make one object of several; it is the first of them."""

    op: Literal["merge"] = "merge"
    keys: Annotated[list[int], Field(min_length=2)]


class Delete(Request):
    """Remove objects."""

    op: Literal["delete"] = "delete"
    keys: Annotated[list[int], Field(min_length=1)]


class Relabel(Request):
    """Give objects another class."""

    op: Literal["relabel"] = "relabel"
    keys: Annotated[list[int], Field(min_length=1)]
    label: str


class Order(Request):
    """Put objects above or below all others where they overlap."""

    op: Literal["order"] = "order"
    keys: Annotated[list[int], Field(min_length=1)]
    to: Literal["front", "back"]


class At(Request):
    """A point, and whether it lies on the object."""

    x: float
    y: float
    on: bool = True


class Click(Request):
    """Ask a prompt backend for the object at points or in a box."""

    op: Literal["click"] = "click"
    wand: bool = False
    """Ask the magic wand, whatever else answers clicks."""
    points: Annotated[list[At], Field(max_length=1000)] = []  # noqa: RUF012 -- pydantic copies it
    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    key: int | None = None
    """The object to put in its place; none: a new one."""
    label: str | None = None


class Accept(Request):
    """Take over predictions as labels, by their number."""

    op: Literal["accept"] = "accept"
    predictions: Annotated[list[int], Field(min_length=1)]
    label: str | None = None
    """Their class; by default what the model says."""


class Copy(Request):
    """Copy objects of another image, as a rule the frame before."""

    op: Literal["copy"] = "copy"
    source: int
    keys: Annotated[list[int], Field(min_length=1)]


Edit = Annotated[Draw | Fill | Cut | Merge | Delete | Relabel | Order, Field(discriminator="op")]


def compute(sheet: Sheet, edit: Draw | Fill | Cut | Merge | Delete | Relabel | Order) -> Delta:
    """Return what an edit changes."""
    found = sheet.instances
    match edit:
        case Draw():
            return _drawn(sheet, edit)
        case Fill():
            row = sheet.row(edit.key)
            return Delta(put=(Put(edit.key, found.names[row], filled(found.masks[row])),))
        case Cut():
            return _divided(sheet, edit)
        case Merge():
            rows = [sheet.row(key) for key in dict.fromkeys(edit.keys)]
            first, *others = dict.fromkeys(edit.keys)
            return Delta(tuple(others), (Put(first, found.names[rows[0]], found.masks[np.array(rows)].union()),))
        case Delete():
            return Delta(tuple(key for key in dict.fromkeys(edit.keys) if sheet.row(key) >= 0))
        case Relabel():
            _known(found, edit.label)
            rows = [sheet.row(key) for key in edit.keys]
            return Delta(put=tuple(Put(k, edit.label, found.masks[r]) for k, r in zip(edit.keys, rows, strict=True)))
        case Order():
            lowest, highest = sheet.reach
            order = highest + 1 if edit.to == "front" else lowest - 1
            rows = [sheet.row(key) for key in edit.keys]
            moved = zip(edit.keys, rows, strict=True)
            return Delta(put=tuple(Put(k, found.names[r], found.masks[r], order=order) for k, r in moved))
        case _:
            assert_never(edit)


def keys_in(edit: Draw | Fill | Cut | Merge | Delete | Relabel | Order) -> list[int]:
    """Return the objects that an edit names."""
    match edit:
        case Draw():
            return [] if edit.key is None else [edit.key]
        case Fill() | Cut():
            return [edit.key]
        case _:
            return edit.keys


def from_click(sheet: Sheet, click: Click, answer: Instances) -> Delta:
    """Return what a backend's answer changes."""
    if not answer.masks.area.any():
        raise PromptError("nothing was found there; click nearer to the middle of the object, or draw a box")
    if click.key is not None:
        return Delta(put=(Put(click.key, sheet.instances.names[sheet.row(click.key)], answer.masks[0]),))
    return Delta(put=(Put(sheet.next_key, _label(sheet.instances, click.label), answer.masks[0]),))


def copied(sheet: Sheet, source: Sheet, keys: list[int], tracked: bool = False) -> Delta:
    """Return the objects of another image as new ones of this image; they keep ids that follow objects."""
    found, size = source.instances, sheet.instances.size
    if found.size != size:
        raise ConfigError(
            f"objects are copied between images of one size; these have {found.size[1]} x {found.size[0]} and "
            f"{size[1]} x {size[0]} pixels"
        )
    rows = [source.row(key) for key in dict.fromkeys(keys)]
    ids: list[int | None] = [None] * len(rows)
    if tracked and found.ids is not None:
        taken = set() if sheet.instances.ids is None else set(sheet.instances.ids.tolist())
        ids = [None if own in taken else own for own in found.ids[rows].tolist()]
    new = range(sheet.next_key, sheet.next_key + len(rows))
    return Delta(
        put=tuple(Put(k, found.names[r], found.masks[r], id=own) for k, r, own in zip(new, rows, ids, strict=True))
    )


def prompts_of(click: Click) -> Prompts:
    """Return the prompts of a click."""
    points, positive = [(p.x, p.y) for p in click.points], [p.on for p in click.points]
    boxes = None if click.box is None else [click.box]
    return Prompts.of(boxes=boxes) if not points else Prompts.of(points, positive, boxes=boxes)


def _drawn(sheet: Sheet, edit: Draw) -> Delta:
    found, drawn = sheet.instances, _shape(edit, sheet.instances.size)
    if edit.how == "new" or edit.key is None:
        if edit.how != "new":
            raise ConfigError("choose an object to draw on first")
        if not drawn.area[0]:
            raise ConfigError("nothing was drawn inside the image")
        return Delta(put=(Put(sheet.next_key, _label(found, edit.label), drawn),))
    row = sheet.row(edit.key)
    mask, name = found.masks[row], found.names[row]
    joined = pairwise_union(mask, drawn) if edit.how == "add" else pairwise_difference(mask, drawn)
    if joined == mask:
        return Delta()
    return Delta(put=(Put(edit.key, name, joined),)) if joined.area[0] else Delta(remove=(edit.key,))


def _shape(edit: Draw, size: tuple[int, int]) -> Masks:
    points = np.array(edit.points, np.float64)
    if np.abs(points).max() > 1e6:
        raise ConfigError("points lie far outside the image")
    if edit.radius:
        return _stroke(points, edit.radius, size)
    if len(points) < 3:
        raise ConfigError(f"a polygon needs at least 3 corners, got {len(points)}")
    return Masks.from_polygons([[points]], size)


def _stroke(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]], radius: float, size: tuple[int, int]) -> Masks:
    """Return the pixels within ``radius`` of the pixels of a line."""
    low = np.floor(points.min(0) - radius).astype(np.int64).clip(0, (size[1], size[0]))
    high = (np.ceil(points.max(0) + radius).astype(np.int64) + 1).clip(0, (size[1], size[0]))
    if (high <= low).any():
        return Masks.empty(size, 1)
    beside = np.ones((high - low)[::-1], np.uint8)
    at = np.floor(points - low).astype(np.int32)
    cv2.polylines(beside, [at[:, None]], False, 0, 1, cv2.LINE_8)
    inside = at[((at >= 0) & (at < high - low)).all(1)]
    beside[inside[:, 1], inside[:, 0]] = 0  # of a single point no line is drawn
    if beside.all():  # the line runs outside
        return Masks.empty(size, 1)
    near = distances(beside) <= radius
    return Masks.from_crops([near], [low.tolist()], size)


def _divided(sheet: Sheet, edit: Cut) -> Delta:
    """Return an object and the pieces that a line cuts off: pixels on the line go to the nearest piece."""
    row = sheet.row(edit.key)
    (crop,), corners = sheet.instances.masks[row].to_crops()
    line = np.zeros(crop.shape, np.uint8)
    at = np.floor(np.array(edit.points, np.float64) - corners[0]).astype(np.int32)
    cv2.polylines(line, [at[:, None]], False, 1, 1, cv2.LINE_4)
    _, before = cv2.connectedComponents(crop.astype(np.uint8), connectivity=4)
    count, pieces = cv2.connectedComponents((crop & (line == 0)).astype(np.uint8), connectivity=4)
    if count < 2:
        raise ConfigError("the line covers the whole object; draw it across")
    cut = np.unique(before[crop & (line > 0)])  # parts that the line crosses
    sizes = np.bincount(pieces.ravel(), minlength=count)
    keeper = 1 + int(sizes[1:].argmax())
    pieces = _to_nearest(pieces, crop)
    pieces[crop & ~np.isin(before, cut)] = keeper
    values = [v for v in np.unique(pieces[crop]).tolist() if v != keeper]
    if not values:
        raise ConfigError("the line does not divide the object; begin and end it outside")
    name, size = sheet.instances.names[row], sheet.instances.size
    masks = Masks.from_crops(
        [crop & (pieces == v) for v in (keeper, *values)], np.repeat(corners, len(values) + 1, 0), size
    )
    new = (Put(sheet.next_key + k, name, masks[k + 1], like=edit.key) for k in range(len(values)))
    return Delta(put=(Put(edit.key, name, masks[0]), *new))


def _to_nearest(
    pieces: np.ndarray[tuple[int, ...], np.dtype[np.int32]], inside: Bool
) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """Return pieces where each pixel of the object has the number of the nearest one that has a number."""
    _, nearest = cv2.distanceTransformWithLabels(
        (pieces == 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    number = np.zeros(int(nearest.max()) + 1, np.int32)
    number[nearest[pieces > 0]] = pieces[pieces > 0]
    return np.where(inside, number[nearest], 0)


def _label(found: Instances, label: str | None) -> str:
    return _known(found, found.classes[0] if label is None else label)


def _known(found: Instances, label: str) -> str:
    if label not in found.classes:
        raise UnknownNameError("class", label, found.classes)
    return label
