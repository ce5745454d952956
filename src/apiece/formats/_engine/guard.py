"""The lossless guard: what a format cannot hold is found before it is written, then refused or, if asked, repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece._arrays import Int
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_masks
from apiece.errors import LossyFormatError
from apiece.formats.contract import Holds, Record
from apiece.ops.overlap import overlapping as overlapping_pairs
from apiece.ops.parts import filled, largest_part

_NAMED = 8  # instances named in a message


@dataclass(frozen=True)
class _Check:
    """One thing that a format may be unable to hold."""

    find: Callable[[Instances, Holds], Int]
    """Rows that would lose something."""
    problem: str
    """What is there that cannot be held."""
    repair: Callable[[Instances, Int], Instances]
    """The instances without it."""
    outcome: str
    """What the repair did."""
    field: str | None = None
    """What of the instances it is about, where they can go without it."""


def guarded(
    records: Iterable[Record], path: Path, holds: Holds, allow_lossy: bool, lost: list[str], *, banded: bool = False
) -> Iterator[Record]:
    """Yield the records, each examined against ``holds``.

    What the format cannot hold raises a `LossyFormatError` that names image and instances. With ``allow_lossy`` the
    instances are repaired instead, and ``lost`` gets a line about each image and loss. Overlap in images that will be
    ``banded`` is found there.
    """
    for ref, instances in records:
        for check in _CHECKS:
            rows = _NONE if banded and check.find is _overlapping else check.find(instances, holds)
            if not len(rows):
                continue
            where = named(ref, instances, rows)
            if not allow_lossy:
                reason = f"{where} {check.problem}, which this format cannot hold; nothing was written"
                raise LossyFormatError(path, reason, check.field)
            instances = check.repair(instances, rows)
            lost.append(f"{where}: {check.outcome}")
        yield ref, instances


def named(ref: ImageRef, instances: Instances, rows: Int) -> str:
    """Return what a message calls some instances of an image."""
    by_id = instances.ids is not None
    values = (rows if instances.ids is None else instances.ids[rows])[:_NAMED].tolist()
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    noun = ("id" if by_id else "instance") + ("s" if len(rows) > 1 else "")
    return f"image {ref.name!r}, {noun} {', '.join(map(str, values))}{more}"


_NONE = np.zeros(0, np.int64)


def _all(instances: Instances, when: bool) -> Int:
    return np.arange(len(instances)) if when else _NONE


def _without(instances: Instances, rows: Int) -> Instances:
    keep = np.ones(len(instances), bool)
    keep[rows] = False
    return instances[keep]


def _beyond(instances: Instances, holds: Holds) -> Int:
    """Return the smallest of too many instances."""
    excess = 0 if holds.most is None else max(0, len(instances) - holds.most)
    return np.sort(np.argsort(instances.masks.area, kind="stable")[:excess])


def _overlapping(instances: Instances, holds: Holds) -> Int:
    return _NONE if holds.overlap else overlapping(instances)


def overlapping(instances: Instances) -> Int:
    """Return the rows of instances that share a pixel with another one."""
    masks = instances.masks
    if len(masks) < 2 or int(masks.area.sum()) == int(masks.union().area[0]):
        return _NONE
    one, other, pixels = overlapping_pairs(masks, masks)
    return np.unique(one[(one != other) & (pixels > 0)])


def _flatten(instances: Instances, rows: Int) -> Instances:
    """Give each contested pixel to the smallest of its masks; a mask left without a pixel stays, empty."""
    values, painted = label_map_masks(instances.masks.to_label_map(dtype=np.int32, overlap="smallest"))
    return _with_masks(instances, painted.merge(values - 1, len(instances)))


def _with_masks(instances: Instances, masks: Masks) -> Instances:
    # a file's own area and box speak of the masks as they were
    kept = {k: v for k, v in instances.attributes.items() if k not in ("area", "bbox")}
    return instances.replace(masks=masks, attributes=kept)


def _wrong_ids(instances: Instances, holds: Holds) -> Int:
    if instances.ids is None or not holds.ids or holds.id_range is None:
        return _NONE
    low, high = holds.id_range
    _, index, count = np.unique(instances.ids, return_inverse=True, return_counts=True)
    return np.flatnonzero((instances.ids < low) | (instances.ids > high) | (count[index] > 1))


_CHECKS = (
    # before all that changes visible masks: the full ones contain them
    _Check(
        lambda i, h: _all(i, not h.full and i.full is not None),
        "have full masks (what others hide of an object)", lambda i, r: i.replace(full=None), "full masks lost",
        "full",
    ),
    _Check(
        lambda i, h: _NONE if h.empty else np.flatnonzero(i.masks.area == 0),
        "without a pixel", _without, "empty, left out",
    ),
    # before parts: what lies on top may cut a mask in two
    _Check(_overlapping, "overlap others", _flatten, "overlap resolved, smallest on top"),
    # what an overlap hid entirely
    _Check(
        lambda i, h: _NONE if h.empty else np.flatnonzero(i.masks.area == 0),
        "without a pixel", _without, "hidden entirely, left out",
    ),
    _Check(_beyond, "are more than fit on an image", _without, "more than fit on an image, the smallest left out"),
    _Check(
        lambda i, h: _NONE if h.parts else np.flatnonzero(i.masks.parts > 1),
        "in several parts", lambda i, r: _with_masks(i, largest_part(i.masks, corners=False)),
        "largest part kept, other parts lost",
    ),
    _Check(
        lambda i, h: _NONE if h.holes else np.flatnonzero(i.masks.holes > 0),
        "with holes", lambda i, r: _with_masks(i, filled(i.masks)), "holes filled",
    ),
    _Check(
        lambda i, h: _all(i, not h.classes and len(i.classes) > 1),
        "have classes", lambda i, r: i.replace(labels=np.zeros(len(i), np.int64), classes=("object",)), "classes lost",
        "classes",
    ),
    _Check(
        lambda i, h: _all(i, not h.ids and i.ids is not None),
        "have ids", lambda i, r: i.replace(ids=None), "ids lost",
        "ids",
    ),
    _Check(
        _wrong_ids,
        "have ids out of range or used twice", lambda i, r: i.replace(ids=None), "ids that do not fit, all renumbered",
        "ids",
    ),
    _Check(
        lambda i, h: _all(i, not h.scores and i.scores is not None),
        "have scores", lambda i, r: i.replace(scores=None), "scores lost",
        "scores",
    ),
    _Check(
        lambda i, h: _NONE if h.crowd else np.flatnonzero(i.crowd),
        "are crowd regions", lambda i, r: i.replace(crowd=None), "kept as single objects, no longer crowd",
        "crowd",
    ),
    _Check(
        lambda i, h: _all(i, not h.attributes and bool(i.attributes)),
        "have attributes", lambda i, r: i.replace(attributes={}), "attributes lost",
        "attributes",
    ),
)  # fmt: skip
