"""Annotations read one by one: from outlines, crops and run-lengths of all kinds to the `Instances` of an image."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece._strict_json import kind_of
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import FormatError, InvalidInstancesError
from apiece.formats._kit.columns import table, take
from apiece.formats._kit.image_sizes import LONGEST, image_size
from apiece.formats.contract import OnBad, Record, each, refuse

Part = list[Float]
"""One outline and its holes, each (K, 2) x, y in pixels."""
_PASSAGES = 1 << 24  # edges times columns rasterised together
_TINY, _FAR = 1e-9, 1e100  # pixels: what is smaller or further away overflows on the way, and changes no mask
_SLACK = 1.0  # tools round, and draw their last point on the border; further out is another image's annotation


class BadEntryError(Exception):
    """What is wrong with one entry, without the place."""

    @property
    def reason(self) -> str:
        """The message, as `InvalidInstancesError` has it."""
        return str(self)


class RowRle(dict[str, Any]):
    """COCO RLE of a picture whose sides are exchanged: runs go along the rows of the image."""


@dataclass(slots=True)
class Entry:
    """One annotation, read but not drawn."""

    where: str
    """Line or key, for messages."""
    label: int
    shape: list[Part] | tuple[Bool, tuple[int, int]] | dict[str, Any] | Masks
    """Parts with holes; a crop and the x, y of its corner; COCO RLE, or by rows; or a set of one mask."""
    id: int | None = None
    score: float | None = None
    crowd: bool = False
    extras: dict[str, Any] = field(default_factory=dict)
    joined: list[Entry] = field(default_factory=list)
    """Further parts of the same object; only their shapes count."""


@dataclass(frozen=True)
class EntrySet:
    """A label file, parsed but with no mask decoded: a `LabelSet`."""

    path: Path
    classes: tuple[str, ...]
    refs: tuple[ImageRef, ...]
    metadata: Mapping[str, Any]
    rows: Sequence[Any] = field(repr=False)
    """What the file says of each image, or the path of the file that does."""
    parse: Callable[[EntrySet, int, tuple[int, int]], list[Entry]]
    """``(set, index, size)`` to the entries of an image; reports bad ones itself."""
    on_bad: OnBad = None

    def __len__(self) -> int:
        return len(self.refs)

    def __getitem__(self, index: int) -> Record:
        i = range(len(self))[index]
        ref = self.refs[i]
        size = ref.size if ref.size is not None else image_size(self.file(i), ref)
        return ref, assemble(self.parse(self, i, size), size, self.classes, self.file(i), self.on_bad)

    def __iter__(self) -> Iterator[Record]:
        return each(self, self.on_bad)

    def file(self, index: int) -> Path:
        """The file that speaks of an image, where each image has its own."""
        return self.rows[index] if isinstance(self.rows[index], Path) else self.path

    def fingerprint(self) -> str:
        """SHA-256 of image names and label files."""
        digest = hashlib.sha256("\0".join(ref.name for ref in self.refs).encode())
        for path in dict.fromkeys(self.file(i) for i in range(len(self))):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def checked_size(height: Any, width: Any) -> tuple[int, int]:
    """(height, width) of an image as a file states them, if they can be true."""
    for value, name in ((height, "height"), (width, "width")):
        if type(value) is not int or not 1 <= value <= LONGEST:
            raise BadEntryError(f"image {name} must be an integer from 1 to {LONGEST}, got {str(value)[:40]}")
    return height, width


def finite(value: Any, name: str) -> float:
    """A JSON number."""
    if type(value) not in (int, float):
        raise BadEntryError(f"{name} must be a number, got {kind_of(value)}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise BadEntryError(f"{name} is not finite")
    return found


def is_int64(value: Any) -> bool:
    """Whether a JSON value is an integer that fits 64 bits, as every id does."""
    return type(value) is int and -(2**63) <= value < 2**63


def number(text: str | None, name: str) -> float:
    """A number as text, finite."""
    if text is None:
        raise BadEntryError(f"{name} is missing")
    try:
        found = float(text)
    except ValueError:
        raise BadEntryError(f"{name} must be a number, got {text[:40]!r}") from None
    if not math.isfinite(found):
        raise BadEntryError(f"{name} is not finite")
    return found


def whole(text: str | None, name: str) -> int:
    """An integer of at most 64 bits as text."""
    if text is None:
        raise BadEntryError(f"{name} is missing")
    try:
        found = int(text) if len(text) <= 20 else 2**63
    except ValueError:
        raise BadEntryError(f"{name} must be an integer, got {text[:40]!r}") from None
    if not is_int64(found):
        raise BadEntryError(f"{name} must be an integer of at most 64 bits, got {text[:40]!r}")
    return found


def ring(points: Any, size: tuple[int, int] | None, name: str = "polygon") -> Float:
    """A list of x, y pairs, or an array, as a ring: at least 3 points, finite, inside the image of ``size``.

    ``size`` None is for formats whose rule is to cut what lies outside.
    """
    if not isinstance(points, list | np.ndarray):
        raise BadEntryError(f"{name} must be a list of x, y pairs of numbers, got {kind_of(points)}")
    if isinstance(points, list):
        if not all(type(p) is list and len(p) >= 2 and type(p[0]) in _NUMBER and type(p[1]) in _NUMBER for p in points):
            raise BadEntryError(f"{name} must be a list of x, y pairs of numbers")
        try:
            points = np.array([(p[0], p[1]) for p in points], np.float64).reshape(-1, 2)
        except OverflowError:
            raise BadEntryError(f"{name} has a coordinate that is not finite") from None
    if len(points) < 3:
        raise BadEntryError(f"{name} has {len(points)} points; at least 3 are needed")
    if not np.isfinite(points).all():
        raise BadEntryError(f"{name} has a coordinate that is not finite")
    if size is not None:
        _check_inside(points, size, name)
    return np.asarray(points, np.float64)


_NUMBER = (int, float)


def _check_inside(points: Float, size: tuple[int, int], name: str) -> None:
    outside = (points < -_SLACK).any(1) | (points > np.array([size[1], size[0]]) + _SLACK).any(1)
    if outside.any():
        x, y = points[int(np.argmax(outside))].tolist()
        raise BadEntryError(
            f"{name} has the point ({x:g}, {y:g}) outside the image of {size[1]} x {size[0]} pixels; "
            f"is this the right image, at the right scale?"
        )


def box_shape(
    x: float, y: float, width: float, height: float, degrees: float, pivot: tuple[float, float], size: tuple[int, int]
) -> list[Part] | Masks:
    """A box in pixels: the pixels whose centres it holds; turned clockwise about ``pivot``: drawn as a polygon."""
    if width <= 0 or height <= 0:
        raise BadEntryError(f"box is {width:g} wide and {height:g} high; both must be more than 0")
    corners = np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    if degrees % 360:
        turn = math.radians(degrees)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        return [[(corners - pivot) @ rotation + pivot]]
    _check_inside(corners, size, "box")
    return Masks.from_boxes(np.array([[x, y, x + width, y + height]]), size)


def ellipse_shape(cx: float, cy: float, rx: float, ry: float, degrees: float, size: tuple[int, int]) -> Masks:
    """The pixels whose centres lie in an ellipse, turned clockwise about its centre; what lies outside is cut."""
    if rx <= 0 or ry <= 0:
        raise BadEntryError(f"ellipse has radii {rx:g} and {ry:g}; both must be more than 0")
    if not max(abs(cx), abs(cy), rx, ry) < _FAR:
        raise BadEntryError(f"ellipse has radii {rx:g} and {ry:g} about ({cx:g}, {cy:g}), which no image holds")
    rx, ry = max(rx, _TINY), max(ry, _TINY)
    height, width = size
    turn = math.radians(degrees)
    c, s = math.cos(turn), math.sin(turn)
    # a dx^2 + b dx dy + d dy^2 <= 1, solved for dy in every column at once
    a, b, d = (c / rx) ** 2 + (s / ry) ** 2, 2 * c * s * (rx**-2 - ry**-2), (s / rx) ** 2 + (c / ry) ** 2
    reach = math.hypot(rx * c, ry * s)
    first = min(max(math.floor(cx - reach), 0), width)
    x = np.arange(first, max(first, min(math.ceil(cx + reach) + 1, width)))
    dx = x + 0.5 - cx
    root = (b * dx) ** 2 - 4 * d * (a * dx**2 - 1)
    some = root >= 0
    x, dx, root = x[some], dx[some], np.sqrt(root[some])
    y0 = np.ceil(np.clip(cy + (-b * dx - root) / (2 * d) - 0.5, 0, height)).astype(np.int64)
    y1 = np.floor(np.clip(cy + (-b * dx + root) / (2 * d) - 0.5, -1, height - 1)).astype(np.int64) + 1
    full = y1 > y0
    return Masks(size, x[full], y0[full], y1[full], [0, int(full.sum())])


def assemble(
    entries: list[Entry], size: tuple[int, int], classes: tuple[str, ...], path: Path, on_bad: OnBad
) -> Instances:
    """Draw all entries of one image, many at a time; what cannot be drawn is refused or left out."""
    pieces = [piece for entry in entries for piece in (entry, *entry.joined)]
    owner = np.repeat(np.arange(len(entries)), [1 + len(entry.joined) for entry in entries])
    masks, place, bad = [Masks.empty(size)], np.full(len(pieces), -1, np.int64), {}
    done = 0
    for kind, draw in _DRAW.items():
        for some in _batches([i for i, e in enumerate(pieces) if type(e.shape) is kind], pieces, size):
            try:
                drawn = [(some, draw([pieces[i].shape for i in some], size))]
            except (InvalidInstancesError, BadEntryError):
                drawn = []
                for i in some:
                    try:
                        drawn.append(([i], draw([pieces[i].shape], size)))
                    except (InvalidInstancesError, BadEntryError) as error:
                        bad[i] = error.reason
            for members, found in drawn:
                place[members] = np.arange(done, done + len(members))
                masks.append(found)
                done += len(members)
    for i in sorted(bad):
        refuse(FormatError(path, f"{pieces[i].where}: {bad[i]}"), on_bad)
    lost = {int(owner[i]) for i in bad}
    kept = [i for i in range(len(entries)) if i not in lost]
    usable = np.isin(owner, kept)
    joined = Masks.concatenate(masks)[place[usable]]
    if len(pieces) > len(entries):
        joined = joined.merge(np.unique(owner[usable], return_inverse=True)[1], len(kept))
    return _instances([entries[i] for i in kept], joined, classes)


def _instances(entries: list[Entry], masks: Masks, classes: tuple[str, ...]) -> Instances:
    everyone = np.arange(len(entries))
    columns = table([e.extras for e in entries], ())
    attributes = {name: found for name, c in columns.items() if (found := take(c, everyone)) is not None}
    scores = [e.score for e in entries]
    return Instances(
        masks,
        np.array([e.label for e in entries], np.int64),
        classes,
        None if not entries or None in scores else np.array(scores, np.float64),
        _ids(entries),
        np.array([e.crowd for e in entries], bool),
        attributes,
    )


def _ids(entries: list[Entry]) -> Int | None:
    """Each entry's own id; those without one get numbers beyond the others where there are any, or none has one."""
    own = {e.id for e in entries if e.id is not None}
    if not own:
        return None
    beyond = max(own) + 1
    free = (k for k in itertools.count(beyond if beyond + len(entries) < 2**63 else 1) if k not in own)
    return np.array([next(free) if e.id is None else e.id for e in entries], np.int64)


def _batches(rows: list[int], entries: list[Entry], size: tuple[int, int]) -> Iterator[list[int]]:
    """Rows in batches whose drawing needs bounded memory."""
    batch: list[int] = []
    cost = 0
    for i in rows:
        own = _cost(entries[i].shape, size)
        if batch and cost + own > _PASSAGES:
            yield batch
            batch, cost = [], 0
        batch.append(i)
        cost += own
    if batch:
        yield batch


def _cost(shape: Any, size: tuple[int, int]) -> int:
    if type(shape) is tuple:
        return int(shape[0].size)
    if type(shape) is list:
        return sum(_passages(r, size) for part in shape for r in part)
    return 1 << 10


def _passages(points: Float, size: tuple[int, int]) -> int:
    if len(points) < 64:
        return len(points) * 64
    x = np.clip(points[:, 0], 0, size[1])
    return int(np.abs(np.diff(x)).sum()) + len(points)


def _draw_parts(shapes: list[list[Part]], size: tuple[int, int]) -> Masks:
    parts = [part for shape in shapes for part in shape]
    owner = np.repeat(np.arange(len(shapes)), [len(shape) for shape in shapes])
    if sum(_passages(r, size) for part in parts for r in part) > 16 * _PASSAGES and len(shapes) == 1:
        raise BadEntryError("outline crosses more columns than any drawn by hand; simplify it")
    drawn = Masks.from_polygons([part[:1] for part in parts], size)
    holed = np.array([k for k, part in enumerate(parts) if len(part) > 1], np.int64)
    if len(holed):
        holes = Masks.from_polygons([parts[k][1:] for k in holed], size)
        where = np.arange(len(parts))
        where[holed] = len(parts) + np.arange(len(holed))
        drawn = Masks.concatenate([drawn, _without(drawn[holed], holes)])[where]
    return drawn if len(parts) == len(shapes) and (np.diff(owner) > 0).all() else drawn.merge(owner, len(shapes))


def _without(masks: Masks, holes: Masks) -> Masks:
    """The pixels of each mask that its holes do not cover."""
    count = len(masks)
    both = Masks.concatenate([masks, holes]).merge(np.tile(np.arange(count), 2), count)
    # holes lie wholly in the union, so that the union's ends and theirs, sorted, alternate between in and out
    owner = np.concatenate([np.repeat(np.arange(count), np.diff(m.offsets)) for m in (both, both, holes, holes)])
    x = np.concatenate([both.x, both.x, holes.x, holes.x])
    y = np.concatenate([both.y0, both.y1, holes.y0, holes.y1])
    order = np.lexsort((y, x, owner))
    owner, x, y = owner[order][::2], x[order][::2], y[order]
    full = y[1::2] > y[::2]
    offsets = np.concatenate([[0], np.cumsum(np.bincount(owner[full], minlength=count))])
    return Masks(masks.size, x[full], y[::2][full], y[1::2][full], offsets)


def _draw_crops(shapes: list[tuple[Bool, tuple[int, int]]], size: tuple[int, int]) -> Masks:
    return Masks.from_crops([s[0] for s in shapes], np.array([s[1] for s in shapes], np.int64).reshape(-1, 2), size)


_DRAW: dict[type, Callable[[list[Any], tuple[int, int]], Masks]] = {
    list: _draw_parts,
    tuple: _draw_crops,
    dict: Masks.from_coco,
    RowRle: lambda shapes, size: Masks.from_coco(shapes, (size[1], size[0])).transpose(),
    Masks: lambda shapes, size: Masks.concatenate(shapes),
}
