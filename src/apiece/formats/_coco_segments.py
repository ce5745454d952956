"""COCO segmentations kept undecoded in flat arrays: compressed RLE, plain RLE and polygons."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError
from apiece.formats._json import kind_of

__all__ = ["Segments"]

Int = npt.NDArray[np.int64]
Fail = Callable[[int, str], NoReturn]
POLYGON, PACKED, COUNTS = 0, 1, 2


def _offsets(lengths: Any, count: int) -> Int:
    offsets = np.zeros(count + 1, np.int64)
    np.cumsum(np.fromiter(lengths, np.int64, count), out=offsets[1:])
    return offsets


def _numbers(lists: list[list[Any]], dtype: type, total: int) -> npt.NDArray[Any] | None:
    """All entries of several lists, or None if one is no number that the dtype holds."""
    if set(map(type, chain.from_iterable(lists))) - ({int} if dtype is np.int64 else {int, float}):
        return None
    try:
        return np.fromiter(chain.from_iterable(lists), dtype, total)
    except OverflowError:
        return None


@dataclass(frozen=True)
class Segments:
    """The segmentations of N annotations."""

    kind: npt.NDArray[np.uint8]
    """POLYGON, PACKED (compressed RLE) or COUNTS (plain RLE) of each."""
    place: Int
    """Position of each among those of its kind."""
    text: bytes
    """All compressed strings, one after the other."""
    text_offsets: Int
    counts: Int
    """All plain counts."""
    count_offsets: Int
    points: npt.NDArray[np.float64]
    """All coordinates of all polygons: x, y, x, y ..."""
    ring_offsets: Int
    """Where each polygon's coordinates begin and end."""
    part_offsets: Int
    """Which polygons belong to each annotation."""

    @classmethod
    def read(cls, given: list[Any], sizes: Int, fail: Fail) -> Segments:
        """Check the form of every ``segmentation``; ``sizes`` (N, 2) are the images' heights and widths."""
        types = list(map(type, given))
        if set(types) - {list, dict} or not all(given):
            _refuse_form(given, fail)
        is_rle = np.fromiter((t is dict for t in types), bool, len(types))
        rle_rows = np.flatnonzero(is_rle)
        counts = _rle_counts([given[i] for i in rle_rows], rle_rows, sizes, fail)
        packed = np.fromiter((type(c) is str for c in counts), bool, len(counts))
        kind = np.full(len(given), POLYGON, np.uint8)
        kind[rle_rows] = np.where(packed, PACKED, COUNTS)
        place = np.zeros(len(given), np.int64)
        for k in (POLYGON, PACKED, COUNTS):
            chosen = kind == k
            place[chosen] = np.arange(np.count_nonzero(chosen))
        texts = [c for c in counts if type(c) is str]
        lists = [c for c in counts if type(c) is list]
        text = _join(texts, rle_rows[packed], fail)
        count_offsets = _offsets(map(len, lists), len(lists))
        flat = _numbers(lists, np.int64, int(count_offsets[-1]))
        if flat is None:
            index = next(i for i, c in enumerate(lists) if _numbers([c], np.int64, len(c)) is None)
            fail(int(rle_rows[~packed][index]), "RLE counts must be integers or a compressed string")
        points, rings, parts = _polygons([given[i] for i in np.flatnonzero(~is_rle)], np.flatnonzero(~is_rle), fail)
        return cls(kind, place, text, _offsets(map(len, texts), len(texts)), flat, count_offsets, points, rings, parts)

    @property
    def arrays(self) -> tuple[Any, ...]:
        """Everything that is kept."""
        text = np.frombuffer(self.text, np.uint8)
        offsets = (self.text_offsets, self.count_offsets, self.ring_offsets, self.part_offsets)
        return (self.kind, text, self.counts, self.points, *offsets)

    def masks(self, rows: Int, size: tuple[int, int], fail: Fail) -> Masks:
        """The masks of the chosen annotations, all on an image of ``size``, decoded in one go."""
        try:
            return self._decode(rows, size)
        except InvalidInstancesError:
            for row in rows:
                try:
                    self._decode(np.array([row]), size)
                except InvalidInstancesError as error:
                    fail(int(row), str(error).removeprefix("mask 0: "))
            raise

    def _decode(self, rows: Int, size: tuple[int, int]) -> Masks:
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

    def _rings(self, rows: Int) -> list[list[npt.NDArray[np.float64]]]:
        place = self.place[rows]
        cuts = self.ring_offsets
        first, last = self.part_offsets[place].tolist(), self.part_offsets[place + 1].tolist()
        return [[self.points[cuts[k] : cuts[k + 1]] for k in range(a, b)] for a, b in zip(first, last, strict=True)]


def _refuse_form(given: list[Any], fail: Fail) -> NoReturn:
    index = next(i for i, v in enumerate(given) if type(v) not in (list, dict) or not v)
    if given[index] is None or given[index] == []:
        none = sum(v is None or v == [] for v in given)
        also = f" ({none} annotations have none)" if none > 1 else ""
        fail(index, f"there is no mask, a box at most{also}; remove such annotations or give them masks")
    fail(index, f"must be a list of polygons or an RLE object, got {kind_of(given[index])}")


def _rle_counts(rles: list[dict[str, Any]], rows: Int, sizes: Int, fail: Fail) -> list[Any]:
    """The ``counts`` of every RLE, strings or lists, after its ``size`` was compared with the image's."""
    counts: list[Any] = [r.get("counts") for r in rles]
    stated: list[Any] = [r.get("size") for r in rles]
    shape = None
    if all(type(s) is list and len(s) == 2 for s in stated):
        shape = _numbers(stated, np.int64, 2 * len(stated))
    if shape is None:
        index = next(
            i for i, s in enumerate(stated) if type(s) is not list or len(s) != 2 or _numbers([s], np.int64, 2) is None
        )
        fail(int(rows[index]), f"an RLE needs a size of [height, width], got {str(stated[index])[:60]}")
    wrong = (shape.reshape(-1, 2) != sizes[rows]).any(1)
    if wrong.any():
        index = int(np.argmax(wrong))
        height, width = sizes[rows[index]].tolist()
        fail(
            int(rows[index]),
            f"RLE size {stated[index]} differs from the image's height {height} and width {width}",
        )
    if set(map(type, counts)) - {str, list}:
        index = next(i for i, c in enumerate(counts) if type(c) not in (str, list))
        fail(int(rows[index]), f"RLE counts must be a string or a list of integers, got {kind_of(counts[index])}")
    return counts


def _join(texts: list[str], rows: Int, fail: Fail) -> bytes:
    try:
        return "".join(texts).encode("ascii")
    except UnicodeEncodeError:
        index = next(i for i, t in enumerate(texts) if not t.isascii())
        fail(int(rows[index]), "RLE counts hold a character that no RLE has")


def _polygons(given: list[Any], rows: Int, fail: Fail) -> tuple[npt.NDArray[np.float64], Int, Int]:
    """(coordinates, offsets of polygons, offsets of annotations)."""
    parts = list(chain.from_iterable(given))
    if set(map(type, parts)) - {list}:
        index = next(i for i, v in enumerate(given) if set(map(type, v)) != {list})
        fail(int(rows[index]), "polygons must be a list of lists [[x, y, x, y, ...], ...]")
    part_offsets = _offsets(map(len, given), len(given))
    rings = _offsets(map(len, parts), len(parts))
    lengths = np.diff(rings)

    def refuse(part: int, reason: str) -> NoReturn:
        index = int(np.searchsorted(part_offsets, part, "right")) - 1
        fail(int(rows[index]), f"polygon {part - int(part_offsets[index])} {reason}")

    bad = (lengths % 2 == 1) | (lengths < 6)
    if bad.any():
        part = int(np.argmax(bad))
        count = int(lengths[part])
        if count % 2:
            refuse(part, f"has an odd count of numbers ({count})")
        refuse(part, f"has {count // 2} points; at least 3 are needed")
    points = _numbers(parts, np.float64, int(rings[-1]))
    if points is None:
        part = next(i for i, p in enumerate(parts) if _numbers([p], np.float64, len(p)) is None)
        refuse(part, "holds something that is no number")
    finite = np.isfinite(points)
    if not finite.all():
        refuse(int(np.searchsorted(rings, int(np.argmin(finite)), "right")) - 1, "has a coordinate that is not finite")
    return points, rings, part_offsets
