"""COCO segmentations kept undecoded in flat arrays: compressed RLE, plain RLE and polygons."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

import numpy as np

from apiece._arrays import Array, Bool, Float, Int, UInt8
from apiece._strict_json import kind_of
from apiece.core.masks import Masks
from apiece.core.runs import sums
from apiece.errors import Option
from apiece.formats._kit.checked_rows import Checker, number_of

_SKIP = Option("on_bad", ..., flag="apiece convert --skip-bad")
_KEY = "segmentation"
POLYGON, PACKED, COUNTS = 0, 1, 2


def _numbers(lists: list[list[Any]], dtype: type, total: int) -> Array | None:
    """Return all entries of several lists; None if one is no number that the dtype holds."""
    if set(map(type, chain.from_iterable(lists))) - ({int} if dtype is np.int64 else {int, float}):
        return None
    try:
        return np.fromiter(chain.from_iterable(lists), dtype, total)
    except OverflowError:
        return None


def by_size(sizes: Iterable[tuple[int, int]]) -> dict[tuple[int, int], list[int]]:
    """Return the positions of the images of each size: their masks are coded together."""
    groups: dict[tuple[int, int], list[int]] = {}
    for k, size in enumerate(sizes):
        groups.setdefault(size, []).append(k)
    return groups


def stretches(lengths: Iterable[int]) -> Iterator[slice]:
    """Yield where each of several sets lies in all of them joined."""
    end = 0
    for length in lengths:
        yield slice(end, end := end + length)


@dataclass(frozen=True)
class Segments:
    """The segmentations of N annotations."""

    kind: UInt8
    """POLYGON, PACKED (compressed RLE) or COUNTS (plain RLE) of each."""
    place: Int
    """Position of each among the segmentations of its kind."""
    text: bytes
    """All compressed strings, one after the other."""
    text_offsets: Int
    counts: Int
    """All plain counts."""
    count_offsets: Int
    points: Float
    """All coordinates of all polygons: x, y, x, y ..."""
    ring_offsets: Int
    """Where each polygon's coordinates begin and end."""
    part_offsets: Int
    """Which polygons belong to each annotation."""

    @classmethod
    def read(cls, given: list[Any], sizes: Int, check: Checker) -> Segments:
        """Check the form of every ``segmentation``; ``sizes`` (N, 2) are the images' heights and widths."""
        types = list(map(type, given))
        if set(types) - {list, dict} or not all(given):
            _refuse_form(given, check)
        is_rle = np.fromiter((t is dict for t in types), bool, len(types))
        rle_rows = np.flatnonzero(is_rle)
        counts = _rle_counts([given[i] for i in rle_rows], rle_rows, sizes, check)
        packed = np.fromiter((type(c) is str for c in counts), bool, len(counts))
        kind = np.full(len(given), POLYGON, np.uint8)
        kind[rle_rows] = np.where(packed, PACKED, COUNTS)
        place = np.zeros(len(given), np.int64)
        for k in (POLYGON, PACKED, COUNTS):
            chosen = kind == k
            place[chosen] = np.arange(np.count_nonzero(chosen))
        texts = [c for c in counts if type(c) is str]
        lists = [c for c in counts if type(c) is list]
        text = _join(texts, rle_rows[packed], check)
        count_offsets = sums([len(own) for own in lists])
        flat = _numbers(lists, np.int64, int(count_offsets[-1]))
        if flat is None:
            wrong = np.array([_numbers([c], np.int64, len(c)) is None for c in lists])
            reason = "RLE counts must be integers or a compressed string"
            check.stop(rle_rows[~packed][wrong].tolist(), _KEY, lambda i: reason)
        points, rings, parts = _polygons([given[i] for i in np.flatnonzero(~is_rle)], np.flatnonzero(~is_rle), check)
        return cls(kind, place, text, sums([len(own) for own in texts]), flat, count_offsets, points, rings, parts)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """Return everything that is kept."""
        text = np.frombuffer(self.text, np.uint8)
        offsets = (self.text_offsets, self.count_offsets, self.ring_offsets, self.part_offsets)
        return (self.kind, text, self.counts, self.points, *offsets)

    def masks(self, rows: Int, size: tuple[int, int]) -> Masks:
        """Return the masks of the chosen annotations, all on an image of ``size``, decoded together.

        One that cannot be decoded raises an `InvalidInstancesError`.
        """
        kind = self.kind[rows]
        polygon = kind == POLYGON
        if not polygon.any():
            return Masks.from_coco(self._rles(rows, size), size)
        if polygon.all():
            return Masks.from_polygons(self._rings(rows), size)
        both = Masks.concatenate(
            [
                Masks.from_polygons(self._rings(rows[polygon]), size),
                Masks.from_coco(self._rles(rows[~polygon], size), size),
            ]
        )
        back = np.empty(len(rows), np.int64)
        back[np.append(np.flatnonzero(polygon), np.flatnonzero(~polygon))] = np.arange(len(rows))
        return both[back]

    def extents(self) -> tuple[Int, Float]:
        """Return which annotations are polygons, and the boxes x0, y0, x1, y1 of their points, (K, 4)."""
        rows = np.flatnonzero(self.kind == POLYGON)
        starts = self.ring_offsets[self.part_offsets[self.place[rows]]]
        if not len(rows):
            return rows, np.zeros((0, 4))
        pairs = self.points.reshape(-1, 2)
        ends = [ufunc.reduceat(pairs, starts // 2) for ufunc in (np.minimum, np.maximum)]
        return rows, np.concatenate(ends, axis=1)

    def polygons(self, rows: Int) -> tuple[Float, Int, Int]:
        """Return (vertices (P, 2), where each ring begins, where each of these annotations begins among the rings)."""
        rings = [ring for own in self._rings(rows) for ring in own]
        points = np.concatenate([np.zeros(0), *rings]).reshape(-1, 2)
        place = self.place[rows]
        parts = sums(self.part_offsets[place + 1] - self.part_offsets[place])
        return points, sums([len(ring) // 2 for ring in rings]), parts

    def _rles(self, rows: Int, size: tuple[int, int]) -> list[dict[str, Any]]:
        shape, place = list(size), self.place[rows]
        packed = self.kind[rows] == PACKED
        begin, end = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        for chosen, cuts in ((packed, self.text_offsets), (~packed, self.count_offsets)):
            begin[chosen], end[chosen] = cuts[place[chosen]], cuts[place[chosen] + 1]
        return [
            {"size": shape, "counts": self.text[a:b] if is_text else self.counts[a:b]}
            for a, b, is_text in zip(begin.tolist(), end.tolist(), packed.tolist(), strict=True)
        ]

    def _rings(self, rows: Int) -> list[list[Float]]:
        place = self.place[rows]
        cuts = self.ring_offsets
        first, last = self.part_offsets[place].tolist(), self.part_offsets[place + 1].tolist()
        return [[self.points[cuts[k] : cuts[k + 1]] for k in range(a, b)] for a, b in zip(first, last, strict=True)]


def _refuse_form(given: list[Any], check: Checker) -> NoReturn:
    bad = [i for i, v in enumerate(given) if type(v) not in (list, dict) or not v]
    none = sum(given[i] is None or given[i] == [] for i in bad)
    also = f" ({none} annotations have none)" if none > 1 else ""

    def reason(i: int) -> str:
        if given[i] is None or given[i] == []:
            if none == len(given) > 1:
                return f"none of the {none} annotations has a mask, only boxes at most; boxes alone are not read"
            said = f"there is no mask, a box at most{also}; remove such annotations or give them masks"
            return said if check.leaves_out else said + ", or leave them out with " + _SKIP
        return f"must be a list of polygons or an RLE object, got {kind_of(given[i])}"

    check.stop(bad, _KEY, reason)


def _rle_counts(rles: list[dict[str, Any]], rows: Int, sizes: Int, check: Checker) -> list[Any]:
    """Return the ``counts`` of every RLE, strings or lists, after comparing its ``size`` with the image's."""
    counts: list[Any] = [r.get("counts") for r in rles]
    stated: list[Any] = [r.get("size") for r in rles]
    shape = None
    if all(type(s) is list and len(s) == 2 for s in stated):
        shape = _numbers(stated, np.int64, 2 * len(stated))
    if shape is None:
        wrong = [type(s) is not list or len(s) != 2 or _numbers([s], np.int64, 2) is None for s in stated]
        said = "an RLE needs a size of [height, width], got "
        check.stop(rows[np.array(wrong)].tolist(), _KEY, lambda i: said + str(stated[np.searchsorted(rows, i)])[:60])

    def differs(i: int) -> str:
        height, width = sizes[i].tolist()
        return f"RLE size {stated[np.searchsorted(rows, i)]} differs from the image's height {height} and width {width}"

    check.refuse(rows[(shape.reshape(-1, 2) != sizes[rows]).any(1)].tolist(), _KEY, differs)
    if set(map(type, counts)) - {str, list}:
        wrong = [type(c) not in (str, list) for c in counts]
        said = "RLE counts must be a string or a list of integers, got "
        check.stop(rows[np.array(wrong)].tolist(), _KEY, lambda i: said + kind_of(counts[np.searchsorted(rows, i)]))
    return counts


def _join(texts: list[str], rows: Int, check: Checker) -> bytes:
    try:
        return "".join(texts).encode("ascii")
    except UnicodeEncodeError:
        bad = rows[np.array([not t.isascii() for t in texts])]
        check.stop(bad.tolist(), _KEY, lambda i: "RLE counts hold a character that no RLE has")


def _flat_rings(value: list[Any]) -> list[Any]:
    """Return rings x, y, x, y ... also where a tool wrote pairs [x, y], or one ring without a list around it."""
    rings = [value] if set(map(type, value)) <= {int, float} else value
    paired = [type(ring) is list and all(type(p) is list and len(p) == 2 for p in ring) for ring in rings]
    return [list(chain.from_iterable(ring)) if pairs else ring for ring, pairs in zip(rings, paired, strict=True)]


def _polygons(given: list[Any], rows: Int, check: Checker) -> tuple[Float, Int, Int]:
    """Return (coordinates, offsets of polygons, offsets of annotations)."""
    parts = list(chain.from_iterable(given))
    if set(map(type, parts)) - {list} or any(part and type(part[0]) is list for part in parts):
        given = [_flat_rings(value) for value in given]
        parts = list(chain.from_iterable(given))
    if set(map(type, parts)) - {list}:
        wrong = rows[np.array([set(map(type, v)) != {list} for v in given])]
        check.stop(wrong.tolist(), _KEY, lambda i: "polygons must be a list of lists [[x, y, x, y, ...], ...]")
    part_offsets = sums([len(own) for own in given])
    rings = sums([len(own) for own in parts])
    lengths = np.diff(rings)

    def refuse(bad: Bool, reason: Callable[[int], str]) -> None:
        """Refuse the annotations of bad parts; each names its first."""
        wrong = np.flatnonzero(bad)
        owner, first = np.unique(np.searchsorted(part_offsets, wrong, "right") - 1, return_index=True)
        said = {
            int(rows[k]): (int(wrong[f]), int(wrong[f] - part_offsets[k])) for k, f in zip(owner, first, strict=True)
        }
        check.refuse(list(said), _KEY, lambda i: f"polygon {said[i][1]} {reason(said[i][0])}")

    def length(part: int) -> str:
        count = int(lengths[part])
        if count % 2:
            return f"has an odd count of numbers ({count})"
        return f"has {count // 2} points; at least 3 are needed"

    refuse((lengths % 2 == 1) | (lengths < 6), length)
    points = _numbers(parts, np.float64, int(rings[-1]))
    if points is None:
        parts = [list(map(number_of, part)) for part in parts]
        points = _numbers(parts, np.float64, int(rings[-1]))
    if points is None:
        refuse(
            np.array([_numbers([p], np.float64, len(p)) is None for p in parts]),
            lambda part: "holds something that is no number",
        )
        raise AssertionError("a polygon of no numbers was not found")
    finite = np.isfinite(points)
    if not finite.all():
        bad = np.zeros(len(parts), bool)
        bad[np.searchsorted(rings, np.flatnonzero(~finite), "right") - 1] = True
        refuse(bad, lambda part: "has a coordinate that is not finite")
    return points, rings, part_offsets
