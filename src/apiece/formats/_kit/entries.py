"""From the entries of a label file (outlines, crops, run-lengths of all kinds) to the `Instances` of an image."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import sums
from apiece.errors import FormatError, InvalidInstancesError, Message
from apiece.formats._kit.border import Border
from apiece.formats._kit.checks import BadEntryError, Size
from apiece.formats._kit.columns import table, taken
from apiece.formats._kit.flat_parts import FlatParts
from apiece.formats._kit.shapes import Crop, Drawn, Part
from apiece.formats.contract import OnBad, refuse

PASSAGES = 1 << 24  # edges times columns rasterised together
_ALIKE = 2.0  # pixels by which a box that states where a mask is may be off


class RowRle(dict[str, Any]):
    """COCO RLE of a picture whose sides are exchanged: runs go along the rows of the image."""


@dataclass(slots=True)
class Entry:
    """One object of a label file, read but not drawn."""

    where: str
    """Line or key, for messages."""
    label: int
    shape: list[Part] | Crop | dict[str, Any] | Drawn
    """Parts with holes; a crop and the x, y of its corner; COCO RLE, or by rows; or a mask with its box."""
    id: int | None = None
    score: float | None = None
    crowd: bool = False
    extras: dict[str, Any] = field(default_factory=dict)
    joined: list[Entry] = field(default_factory=list)
    """Further parts of the same object; only their shapes count."""


def assemble(
    entries: list[Entry],
    size: Size,
    classes: tuple[str, ...],
    path: Path,
    on_bad: OnBad,
    border: Border | None = None,
    index: int = 0,
    first: int = 0,
) -> Instances:
    """Return the entries of an image as `draw` draws them."""
    kept, masks = draw(entries, size, path, on_bad, border, index, first)
    return _instances(kept, masks, classes) if entries else nobody(size, classes)


def draw(
    entries: list[Entry],
    size: Size,
    path: Path,
    on_bad: OnBad,
    border: Border | None = None,
    index: int = 0,
    first: int = 0,
) -> tuple[list[Entry], Masks]:
    """Draw all entries of the image at ``index``, or of its piece that begins with instance ``first``, many at a time.

    What lies outside is cut as far as ``border`` allows; it keeps what was cut. What cannot be drawn is raised, or
    reported and left out.

    Returns
    -------
    The entries that are left, and a mask for each.
    """
    if not entries:
        return [], Masks.empty(size)
    pieces = [piece for entry in entries for piece in (entry, *entry.joined)]
    owner = np.repeat(np.arange(len(entries)), [1 + len(entry.joined) for entry in entries])
    boxed, boxes = _boxes(pieces)
    border = border or Border()
    cut, reasons = border.judge(boxes, size)
    bad: dict[int, str] = {int(boxed[k]): reason for k, reason in reasons.items()}
    masks, place = [Masks.empty(size)], np.full(len(pieces), -1, np.int64)
    done = 0
    of_kind = defaultdict[type, list[int]](list)
    for i, piece in enumerate(pieces):
        if i not in bad:
            of_kind[type(piece.shape)].append(i)
    for kind, members in of_kind.items():
        draw = _DRAW[kind]
        for some in _batches(members, pieces, size):
            try:
                drawn = [(some, draw([pieces[i].shape for i in some], size))]
            except (InvalidInstancesError, BadEntryError):
                drawn = []
                for i in some:
                    try:
                        drawn.append(([i], draw([pieces[i].shape], size)))
                    except (InvalidInstancesError, BadEntryError) as error:
                        bad[i] = error.reason
            for own, found in drawn:
                place[own] = np.arange(done, done + len(own))
                masks.append(found)
                done += len(own)
    for i in sorted(bad):
        refuse(FormatError(path, Message(f"{pieces[i].where}: ", bad[i])), on_bad)
    lost = {int(owner[i]) for i in bad}
    kept = [i for i in range(len(entries)) if i not in lost]
    usable = np.isin(owner, kept)
    if cut:
        at = {i: k for k, i in enumerate(kept)}
        of = {k: at[owned] for k in cut if (owned := int(owner[boxed[k]])) in at}
        border.note(index, [cut[k]._replace(instance=first + place) for k, place in of.items()], first)
    joined = Masks.concatenate(masks)[place[usable]]
    if len(pieces) > len(entries):
        joined = joined.merge(np.unique(owner[usable], return_inverse=True)[1], len(kept))
    return [entries[i] for i in kept], joined


def stated_boxes(entries: list[Entry], groups: Sequence[Hashable], boxes: Sequence[bool], size: Size) -> set[int]:
    """Return the places of boxes that state again where the other entries of their group are.

    Tools that keep a mask and its box write both, and an object would count twice.

    Parameters
    ----------
    entries : N objects of one image.
    groups : N keys of groups; an entry with None has no group.
    boxes : N, whether the entry is a box.
    """
    boxed = {group for group, box in zip(groups, boxes, strict=True) if box and group is not None}
    drawn = [i for i, group in enumerate(groups) if group in boxed and not boxes[i]]
    drawn_groups = {groups[i] for i in drawn}
    stated = [i for i, group in enumerate(groups) if boxes[i] and group in drawn_groups]
    if not stated:
        return set()
    ids = {id(entries[i]): i for i in (*drawn, *stated)}
    kept, masks = draw([entries[i] for i in (*drawn, *stated)], size, Path(), lambda _: None)
    around: dict[Hashable, Float] = {}
    own: dict[int, Float] = {}
    for entry, box in zip(kept, masks.boxes.astype(np.float64) * (1, 1, -1, -1), strict=True):
        i = ids[id(entry)]
        if boxes[i]:
            own[i] = box
        else:
            around[groups[i]] = np.minimum(box, around.get(groups[i], box))
    return {i for i, box in own.items() if groups[i] in around and np.abs(box - around[groups[i]]).max() <= _ALIKE}


@lru_cache(maxsize=4)
def nobody(size: Size, classes: tuple[str, ...], ids: bool = False) -> Instances:
    """Return no instance; a video may have many thousands of frames without an object."""
    return Instances.empty(size, classes).replace(ids=np.zeros(0, np.int64) if ids else None)


def _instances(entries: list[Entry], masks: Masks, classes: tuple[str, ...]) -> Instances:
    attributes = taken(table([e.extras for e in entries], ()), np.arange(len(entries)))
    scores = [e.score for e in entries]
    return Instances(
        masks,
        np.array([e.label for e in entries], np.int64),
        classes,
        None if not entries or None in scores else np.array(scores, np.float64),
        own_ids([e.id for e in entries]),
        np.array([e.crowd for e in entries], bool),
        attributes,
    )


def own_ids(given: Sequence[int | None]) -> Int | None:
    """Return each entry's own id, and for entries without one numbers beyond these; None if no entry has an id."""
    own = {number for number in given if number is not None}
    if not own:
        return None
    beyond = max(own) + 1
    free = (k for k in itertools.count(beyond if beyond + len(given) < 2**63 else 1) if k not in own)
    return np.array([next(free) if number is None else number for number in given], np.int64)


def _boxes(pieces: list[Entry]) -> tuple[Int, Float]:
    """Return the entries with an outline that may reach beyond the image, and the box of each: x0, y0, x1, y1."""
    outlined = [i for i, piece in enumerate(pieces) if type(piece.shape) is list and piece.shape]
    rings = [[r for part in cast(list[Part], pieces[i].shape) for r in part] for i in outlined]
    starts = sums([sum(map(len, own)) for own in rings])[:-1]
    points = np.concatenate([r for own in rings for r in own]) if rings else np.zeros((0, 2))
    ends = [ufunc.reduceat(points, starts) for ufunc in (np.minimum, np.maximum)] if rings else [points, points]
    others = {i: box for i, piece in enumerate(pieces) if (box := _box(piece.shape)) is not None}
    boxes = np.concatenate([np.concatenate(ends, 1), np.array(list(others.values()), np.float64).reshape(-1, 4)])
    return np.array([*outlined, *others], np.int64), boxes


def _box(shape: Any) -> tuple[float, ...] | None:
    if type(shape) is Drawn:
        return shape.box
    if type(shape) is not tuple:
        return None
    (height, width), (x, y) = shape[0].shape, shape[1]
    return (x, y, x + width, y + height)


def _batches(rows: list[int], entries: list[Entry], size: Size) -> Iterator[list[int]]:
    """Yield rows in batches whose drawing needs bounded memory."""
    batch: list[int] = []
    cost = 0
    for i in rows:
        own = _cost(entries[i].shape, size)
        if batch and cost + own > PASSAGES:
            yield batch
            batch, cost = [], 0
        batch.append(i)
        cost += own
    if batch:
        yield batch


def _cost(shape: Any, size: Size) -> int:
    if type(shape) is tuple:
        return int(shape[0].size)
    if type(shape) is list:
        return sum(_passages(r, size) for part in shape for r in part)
    return 1 << 10


def _passages(points: Float, size: Size) -> int:
    if len(points) < 64:
        return len(points) * 64
    x = np.clip(points[:, 0], 0, size[1])
    return int(np.abs(np.diff(x)).sum()) + len(points)


def _draw_parts(shapes: list[list[Part]], size: Size) -> Masks:
    if len(shapes) == 1 and sum(_passages(r, size) for part in shapes[0] for r in part) > 16 * PASSAGES:
        raise BadEntryError("outline crosses more columns than any drawn by hand; simplify it")
    return FlatParts.of(shapes).draw(size)


def _draw_crops(shapes: list[Crop], size: Size) -> Masks:
    return Masks.from_crops([s[0] for s in shapes], np.array([s[1] for s in shapes], np.int64).reshape(-1, 2), size)


_DRAW: dict[type, Callable[[list[Any], tuple[int, int]], Masks]] = {
    list: _draw_parts,
    tuple: _draw_crops,
    dict: Masks.from_coco,
    RowRle: lambda shapes, size: Masks.from_coco(shapes, (size[1], size[0])).transpose(),
    Drawn: lambda shapes, size: Masks.concatenate([shape.masks for shape in shapes]),
}
