"""`Sheet`: the objects of an image as they stand, each with its key; `replay`: labels and changes to a sheet."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from apiece._arrays import Array, Int
from apiece.check import restated
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.set_operations import pairwise_union
from apiece.errors import UnknownNameError

__all__ = [
    "ORDER", "Changes", "Delta", "Known", "Put", "Sheet", "changed", "keys_of", "marks_of", "orders_of", "replay",
    "standing",
]  # fmt: skip

ORDER = "z_order"
"""Attribute of objects that CVAT and Datumaro keep, too: where objects overlap, the highest is on top."""


@dataclass(frozen=True)
class Put:
    """An object as a change leaves it."""

    key: int
    """The object: one that is there, or a new one."""
    label: str
    """Name of its class."""
    mask: Masks
    """Its one mask."""
    like: int | None = None
    """The object that a new one takes its attributes from."""
    order: int | None = None
    """Its place where objects overlap, the highest on top; None: as it was."""
    id: int | None = None
    """The id that a new one gets, of a track that it goes on or begins; None: one that no object of the image has."""


@dataclass(frozen=True)
class Delta:
    """A change of an image: objects that go, and objects that come or change."""

    remove: tuple[int, ...] = ()
    put: tuple[Put, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as the journal keeps it, whole masks as COCO's run-lengths."""
        told = [{"like": p.like, "order": p.order, "id": p.id} for p in self.put]
        put = [
            {
                "key": p.key,
                "label": p.label,
                "mask": p.mask.to_coco()[0],
                **{name: value for name, value in more.items() if value is not None},
            }
            for p, more in zip(self.put, told, strict=True)
        ]
        return {"remove": list(self.remove), "put": put}


@dataclass(frozen=True)
class Sheet:
    """The objects of an image at a revision."""

    instances: Instances
    keys: Int
    """int64 (N,): the number that each object keeps."""
    revision: int
    """How many changes have been made to the image, undone ones and undoing ones among them."""
    next_key: int
    """A key that no object has ever had."""
    span: tuple[int, int] | None = None
    """The lowest and the highest order of the objects of the image, where these are some of them."""

    @property
    def orders(self) -> Int | None:
        """int64 (N,): where objects overlap, the highest is on top; None if no file or person gave an order."""
        return orders_of(self.instances)

    @property
    def reach(self) -> tuple[int, int]:
        """The lowest and the highest order of all objects of the image."""
        own = self.orders
        span = (0, 0) if own is None or not len(own) else (int(own.min()), int(own.max()))
        return span if self.span is None else (min(span[0], self.span[0]), max(span[1], self.span[1]))

    def row(self, key: int) -> int:
        """Return the position of an object."""
        found = np.flatnonzero(self.keys == key)
        if not len(found):
            raise UnknownNameError("object", key, map(str, self.keys[:20].tolist()))
        return int(found[0])


@dataclass(frozen=True)
class Known:
    """The objects of a label file as they were when a change was last made to its image.

    Attributes
    ----------
    marks : a mark of each, as `marks_of` gives it, or as `slides` keeps it.
    keys : int64, the key of each.
    next_key : a key that none has ever had.
    """

    marks: Sequence[Any] | Array
    keys: Int
    next_key: int

    @classmethod
    def after(cls, before: Known | None, entry: Mapping[str, Any]) -> Known:
        """Return what is known after an entry of the journal that has a ``base``."""
        return cls.of(entry["base"], np.array(entry.get("keys", range(len(entry["base"]))), np.int64), before)

    @classmethod
    def of(cls, marks: Sequence[Any] | Array, keys: Int, before: Known | None) -> Known:
        """Return what is known of objects, and of those that there were before."""
        return cls(marks, keys, max(int(keys.max(initial=-1)) + 1, 0 if before is None else before.next_key))


def marks_of(instances: Instances) -> list[str]:
    """Return a short mark of each object's mask and class, by which it is known again in a changed file."""
    masks, names = instances.masks, instances.names
    runs = np.stack([masks.x, masks.y0, masks.y1], 1)
    return [
        f"{zlib.crc32(runs[a:b].tobytes(), zlib.crc32(name.encode())):08x}"
        for name, a, b in zip(names, masks.offsets[:-1].tolist(), masks.offsets[1:].tolist(), strict=True)
    ]


def orders_of(instances: Instances) -> Int | None:
    """Return int64 (N,): where objects overlap, the highest is on top; None if no file or person gave an order."""
    values = instances.attributes.get(ORDER)
    return None if values is None else np.nan_to_num(values.astype(np.float64)).astype(np.int64)


def standing(entries: Iterable[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Mapping[str, Any]]]:
    """Return the changes that stand after undoing and redoing, and those that can be redone, the next one last."""
    done: list[Mapping[str, Any]] = []
    undone: list[Mapping[str, Any]] = []
    for entry in entries:
        if entry["kind"] == "undo":
            undone.append(done.pop())
        elif entry["kind"] == "redo":
            done.append(undone.pop())
        else:
            done.append(entry)
            undone.clear()
    return done, undone


@dataclass(frozen=True)
class Changes:
    """What the changes that stand say of each object that they are about, by its key.

    Attributes
    ----------
    last : the object as it was put last; None where it was removed.
    like : the object of the label file that it takes its attributes from.
    orders, ids : what a person gave it.
    """

    last: Mapping[int, Mapping[str, Any] | None]
    like: Mapping[int, int]
    orders: Mapping[int, int]
    ids: Mapping[int, int]

    @classmethod
    def of(cls, entries: Iterable[Mapping[str, Any]]) -> Changes:
        """Return what entries of the journal leave."""
        last: dict[int, Mapping[str, Any] | None] = {}
        like: dict[int, int] = {}
        orders: dict[int, int] = {}
        ids: dict[int, int] = {}
        for entry in standing(entries)[0]:
            last.update(dict.fromkeys(entry["remove"]))
            for put in entry["put"]:
                last[put["key"]] = put
                if "like" in put:
                    like[put["key"]] = like.get(put["like"], put["like"])
                if "order" in put:
                    orders[put["key"]] = put["order"]
                if "id" in put:
                    ids[put["key"]] = put["id"]
        return cls(last, like, orders, ids)

    def only(self, keys: Iterable[int]) -> Changes:
        """Return what is said of some objects."""
        return Changes({key: self.last[key] for key in keys if key in self.last}, self.like, self.orders, self.ids)


def replay(base: Instances, entries: Sequence[Mapping[str, Any]], known: Known | None) -> tuple[Sheet, int]:
    """Return the labels of a file with the changes of a journal on top, and how many objects the file has no more.

    Where the file has changed since the last change, objects are known again by their marks. What was changed stays
    as the person left it; what else the file has now is there.
    """
    keys, next_key, gone = keys_of(len(base), partial(marks_of, base), entries, known)
    above = 0 if base.ids is None else int(base.ids.max(initial=0))
    return changed(base, keys, Changes.of(entries), above, len(entries), next_key), gone


def changed(base: Instances, keys: Int, changes: Changes, above: int, revision: int, next_key: int) -> Sheet:
    """Return objects with changes on top.

    Parameters
    ----------
    base : objects of a label file, all or some.
    keys : the key of each.
    changes : changes of these objects, and objects that are new.
    above : the highest id of the label file.
    """
    last, like, ids = changes.last, changes.like, changes.ids
    place = {key: i for i, key in enumerate(keys.tolist())}
    puts = {key: put for key, put in last.items() if put is not None}
    kept = np.flatnonzero(~np.isin(keys, list(last)))
    order = sorted([*keys[kept].tolist(), *puts])
    redone = Masks.from_coco([puts[k]["mask"] for k in puts], base.size)
    joined = Masks.concatenate([base.masks[kept], redone])
    rows = np.array([place.get(key, place.get(like.get(key, -1), -1)) for key in order], np.int64)
    at = {key: i for i, key in enumerate([*keys[kept].tolist(), *puts])}
    masks = joined[np.array([at[key] for key in order], np.int64)]
    labels = [base.classes.index(puts[k]["label"]) if k in puts else int(base.labels[place[k]]) for k in order]
    own = np.array(order, np.int64)
    if ids and base.ids is None and not len(base):  # a frame without labels: its first objects begin tracks
        base, above = base.replace(ids=np.zeros(0, np.int64)), max(ids.values())
    fresh = np.where(np.isin(own, keys), -1, above + 1 + own)
    found = _taken(base, rows, masks, np.array(labels, np.int64), fresh)
    if found.ids is not None and ids:
        given = zip(order, found.ids.tolist(), strict=True)
        found = found.replace(ids=np.array([ids.get(key, one) for key, one in given], np.int64))
    redrawn = np.flatnonzero(np.isin(own, list(puts)))
    sheet = Sheet(restated(found, redrawn) if len(redrawn) else found, own, revision, next_key)
    return _ordered(sheet, changes.orders) if changes.orders else sheet


def _ordered(sheet: Sheet, orders: Mapping[int, int]) -> Sheet:
    """Return the objects with the places that a person gave them where they overlap."""
    values = np.zeros(len(sheet.keys), np.int64) if sheet.orders is None else sheet.orders
    for key in np.intersect1d(sheet.keys, list(orders)).tolist():
        values[sheet.row(key)] = orders[key]
    found = sheet.instances
    return replace(sheet, instances=found.replace(attributes={**found.attributes, ORDER: values}))


def keys_of(
    count: int, marks: Callable[[], Sequence[Any] | Array], entries: Sequence[Mapping[str, Any]], known: Known | None
) -> tuple[Int, int, int]:
    """Return the key of each object of the file, the next free one, and how many known objects it has no more.

    Parameters
    ----------
    count : objects of the file.
    marks : gives the mark of each.
    """
    free = max([0, *(put["key"] + 1 for entry in entries for put in entry.get("put", []))])
    if known is None:
        return np.arange(count), max(free, count), 0
    free, now = max(free, known.next_key), marks()
    if np.array_equal(known.marks, now):
        return known.keys, free, 0
    places: dict[Any, list[int]] = {}
    for key, mark in reversed(list(zip(known.keys.tolist(), known.marks, strict=True))):
        places.setdefault(mark, []).append(key)
    keys = np.array([places[mark].pop() if places.get(mark) else -1 for mark in now], np.int64)
    new = np.flatnonzero(keys < 0)
    keys[new] = free + np.arange(len(new))
    return keys, free + len(new), sum(map(len, places.values()))


def _taken(base: Instances, rows: Int, masks: Masks, labels: Int, fresh: Int) -> Instances:
    """Return objects with the columns of ``base`` at ``rows``, blank at -1; ``fresh``: the id of a new one, or -1."""
    blank = rows < 0
    safe = np.maximum(rows, 0)

    def column(values: Array, empty: Any) -> Array:
        if not len(values):
            return np.full((len(rows), *values.shape[1:]), empty, values.dtype)
        taken = values[safe].copy()
        taken[blank] = empty
        return taken

    ids = None
    if base.ids is not None:
        ids = column(base.ids, 0)
        ids[fresh >= 0] = fresh[fresh >= 0]
    empties = {"O": None, "f": np.nan, "U": "", "S": b""}
    full = None
    if base.full is not None:
        whole = Masks.concatenate([base.full, Masks.empty(base.size, 1)])[np.where(blank, len(base), rows)]
        full = pairwise_union(masks, whole)
    return Instances(
        masks,
        labels,
        base.classes,
        None if base.scores is None else column(base.scores, 1.0),  # a person is sure
        ids,
        column(base.crowd, False),
        {name: column(values, empties.get(values.dtype.kind, 0)) for name, values in base.attributes.items()},
        full,
    )
