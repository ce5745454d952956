"""`Prompts`: what a person points at on an image, object by object; `Words`: what a person calls the objects.

Coordinates are pixels, x to the right and y down. Pixel (row i, column j) covers [j, j + 1) x [i, i + 1): the point
12, 7 lies in column 12 and row 7. Boxes are half-open x0, y0, x1, y1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from apiece._arrays import Array, Bool, Float, Int
from apiece.core._arguments import Index, resolve_index
from apiece.core.masks import Masks
from apiece.core.runs import frozen
from apiece.errors import InvalidInstancesError, PromptError

__all__ = ["Prompts", "Words"]

_SLACK = 1.0  # pixels that a box may reach beyond the image


@dataclass(frozen=True, eq=False, repr=False)
class Prompts:
    """Hold the prompts of N objects on one image.

    An object has points, a box, an earlier mask, or several of these. `of` makes prompts from what a person gives.

    Attributes
    ----------
    points : float64 of shape (P, 2), x and y of the points of all objects.
    positive : bool of shape (P,): the point lies on the object; False: it lies beside it.
    owner : int64 of shape (P,), ascending: the object of each point, from 0.
    boxes : float64 of shape (N, 4); NaN for an object without a box.
    masks : `Masks` of N objects, empty where an object has none; None where no object has one.

    Raises
    ------
    PromptError
        If an array has another shape or holds NaN, or an object has no positive point, no box and no mask.

    Examples
    --------
    >>> from apiece.core.prompts import Prompts
    >>> prompts = Prompts.of([(30, 12), (5, 5), (8, 9)], positive=[True, False, True], objects=[0, 0, 1])
    >>> prompts
    Prompts(2 objects, 3 points)
    >>> prompts[1].points.tolist()
    [[8.0, 9.0]]
    """

    points: Float
    positive: Bool
    owner: Int
    boxes: Float
    masks: Masks | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.points.shape != (len(self.owner), 2) or self.positive.shape != self.owner.shape:
            raise PromptError(
                f"points must have shape (P, 2), with positive and objects of shape (P,); got {self.points.shape}, "
                f"{self.positive.shape} and {self.owner.shape}"
            )
        if self.boxes.shape != (count, 4):
            raise PromptError(f"boxes must be x0, y0, x1, y1 of shape (N, 4); got {self.boxes.shape}")
        if self.masks is not None and len(self.masks) != count:
            raise PromptError(f"masks must hold one mask per object ({count}), empty where there is none")
        for name in ("points", "positive", "owner", "boxes"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        self._check_asked()

    def _check_asked(self) -> None:
        """Refuse coordinates that are no numbers, and an object at which nothing points."""
        infinite = np.flatnonzero(~np.isfinite(self.points).all(1))
        if len(infinite):
            raise PromptError(
                f"the point {_spelled(self.points[infinite[0]])} is no place", int(self.owner[infinite[0]])
            )
        partial = np.isnan(self.boxes).any(1) != np.isnan(self.boxes).all(1)
        partial |= np.isinf(self.boxes).any(1)
        if partial.any():
            first = int(np.argmax(partial))
            raise PromptError(f"the box {_spelled(self.boxes[first])} is no place", first)
        asked = self.boxed | self.masked
        asked[self.owner[self.positive]] = True
        if not asked.all():
            raise PromptError(
                "nothing says where it is: give it a positive point, a box or an earlier mask", int(np.argmin(asked))
            )

    @classmethod
    def of(
        cls,
        points: npt.ArrayLike = (),
        positive: npt.ArrayLike | None = None,
        objects: npt.ArrayLike | None = None,
        boxes: npt.ArrayLike | None = None,
        masks: Masks | None = None,
    ) -> Self:
        """Return the prompts of points, boxes and earlier masks.

        Parameters
        ----------
        points : x, y of each point: shape (P, 2).
        positive : whether each point lies on its object; default: all do.
        objects : the object of each point, from 0; default: all points are of object 0.
        boxes : one box, or one per object: shape (4,) or (N, 4), NaN where an object has none.
        masks : one earlier mask per object, empty where an object has none.

        Examples
        --------
        >>> Prompts.of(boxes=[[0, 0, 5, 5], [4, 4, 9, 9]])
        Prompts(2 objects, 2 boxes)
        """
        at = _numbers("points", points, 2)
        owner = np.zeros(len(at), np.int64) if objects is None else _integers("objects", objects, len(at))
        signs = np.ones(len(at), bool) if positive is None else np.asarray(positive)
        if signs.shape != (len(at),) or not np.isin(signs, (0, 1)).all():
            raise PromptError(f"positive must be {len(at)} truth values, one per point; got {positive!r}")
        box = np.zeros((0, 4)) if boxes is None else _numbers("boxes", boxes, 4)
        count = max(len(box), 0 if masks is None else len(masks), int(owner.max(initial=-1)) + 1)
        if len(owner) and owner.min() < 0:
            raise PromptError(f"objects are counted from 0; got {owner.min()}")
        padded = np.full((count, 4), np.nan)
        padded[: len(box)] = box
        if masks is not None and len(masks) < count:
            masks = Masks.concatenate([masks, Masks.empty(masks.size, count - len(masks))])
        order = np.argsort(owner, kind="stable")
        return cls(at[order], signs.astype(bool)[order], owner[order], padded, masks)

    @property
    def boxed(self) -> Bool:
        """Whether each object has a box: bool of shape (N,)."""
        return ~np.isnan(self.boxes[:, 0])

    @property
    def masked(self) -> Bool:
        """Whether each object has an earlier mask: bool of shape (N,)."""
        return np.zeros(len(self), bool) if self.masks is None else self.masks.area > 0

    @property
    def counts(self) -> Int:
        """Points of each object: int64 of shape (N,)."""
        return np.bincount(self.owner, minlength=len(self)).astype(np.int64)

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: Index | int) -> Prompts:
        """Return the prompts of the chosen objects, each chosen once; an integer gives the prompts of one."""
        chosen = resolve_index(index, len(self))
        place = np.full(len(self), -1)
        place[chosen] = np.arange(len(chosen))
        kept = place[self.owner] >= 0
        order = np.argsort(place[self.owner[kept]], kind="stable")
        rows = np.flatnonzero(kept)[order]
        masks = None if self.masks is None else self.masks[chosen]
        return Prompts(self.points[rows], self.positive[rows], place[self.owner[rows]], self.boxes[chosen], masks)

    def __repr__(self) -> str:
        counts = (len(self), "object"), (len(self.owner), "point"), (int(self.boxed.sum()), "box")
        shown = [_counted(n, name) for n, name in (*counts, (int(self.masked.sum()), "mask")) if n or name == "object"]
        return f"Prompts({', '.join(shown)})"

    def on(self, size: tuple[int, int]) -> Prompts:
        """Return the prompts, once it is sure that they fit an image of ``size`` (height, width).

        A box may reach a pixel beyond the border, as boxes drawn by hand do; it is cut there.

        Raises
        ------
        PromptError
            If a point lies outside the image, a box reaches beyond it or has no area, or masks are of another size.
        """
        height, width = size
        where = f"the image, which has {width} x {height} pixels (width x height)"
        outside = ~((self.points >= 0) & (self.points < (width, height))).all(1)
        if outside.any():
            first = int(np.argmax(outside))
            raise PromptError(
                f"the point {_spelled(self.points[first])} lies outside {where}; x goes from 0 to {width - 1}, "
                f"y from 0 to {height - 1}",
                int(self.owner[first]),
            )
        boxes = np.clip(self.boxes, 0, [width, height, width, height])
        flat = self.boxed & (boxes[:, 2:] <= boxes[:, :2]).any(1)
        if flat.any():
            first = int(np.argmax(flat))
            raise PromptError(
                f"the box {_spelled(self.boxes[first])} has no area on {where}; "
                "a box is x0, y0, x1, y1 with x0 < x1 and y0 < y1",
                first,
            )
        beyond = self.boxed & (np.abs(boxes - self.boxes) > _SLACK).any(1)
        if beyond.any():
            first = int(np.argmax(beyond))
            raise PromptError(
                f"the box {_spelled(self.boxes[first])} reaches beyond {where}; "
                f"on the image it would be {_spelled(boxes[first])}",
                first,
            )
        if self.masks is not None and self.masks.size != size:
            raise PromptError(f"masks of {self.masks.size[1]} x {self.masks.size[0]} pixels do not fit {where}")
        return Prompts(self.points, self.positive, self.owner, boxes, self.masks)

    def to_json(self) -> list[dict[str, Any]]:
        """Return what JSON can hold, one mapping per object: ``points`` (x, y, 1 or 0), ``box``, ``mask`` (COCO RLE).

        Examples
        --------
        >>> Prompts.of([(3, 4)], boxes=[0, 0, 9, 9]).to_json()
        [{'points': [[3.0, 4.0, 1]], 'box': [0.0, 0.0, 9.0, 9.0]}]
        """
        ends = np.cumsum(self.counts)[:-1]
        rles = [None] * len(self) if self.masks is None else self.masks.to_coco()
        rows = zip(
            np.split(self.points, ends), np.split(self.positive, ends), self.boxes, self.boxed, rles, self.masked,
            strict=True,
        )  # fmt: skip
        found = []
        for points, signs, box, boxed, rle, masked in rows:
            entry: dict[str, Any] = {}
            if len(points):
                entry["points"] = [[x, y, int(s)] for (x, y), s in zip(points.tolist(), signs.tolist(), strict=True)]
            if boxed:
                entry["box"] = box.tolist()
            if masked:
                entry["mask"] = rle
            found.append(entry)
        return found

    @classmethod
    def from_json(cls, entries: Sequence[Mapping[str, Any]], size: tuple[int, int] | None = None) -> Self:
        """Return the prompts that `to_json` gave; a point may leave its third number out.

        Parameters
        ----------
        size : (height, width) of the image, needed where an object has a mask.

        Raises
        ------
        PromptError
            If an entry has another form.
        """
        points: list[tuple[float, float]] = []
        signs: list[bool] = []
        owner: list[int] = []
        boxes = np.full((len(entries), 4), np.nan)
        rles = {}
        for k, entry in enumerate(entries):
            unknown = set(entry) - {"points", "box", "mask"} if isinstance(entry, Mapping) else {"no mapping"}
            if unknown:
                raise PromptError(f"has points, box and mask, not {', '.join(sorted(map(str, unknown)))}", k)
            for point in entry.get("points", ()):
                if not (isinstance(point, Sequence) and len(point) in (2, 3) and all(map(_is_number, point))):
                    raise PromptError(f"a point is [x, y] or [x, y, 1 or 0]; got {point!r}", k)
                points.append((float(point[0]), float(point[1])))
                signs.append(len(point) == 2 or bool(point[2]))
                owner.append(k)
            if entry.get("box") is not None:
                boxes[k] = _numbers("box", entry["box"], 4)
            if entry.get("mask") is not None:
                rles[k] = entry["mask"]
        masks = None
        if rles:
            try:
                given = Masks.from_coco(list(rles.values()), size)
            except InvalidInstancesError as error:
                raise PromptError(f"mask: {error.reason}", list(rles)[error.index or 0]) from error
            masks = given.merge(np.array(list(rles)), len(entries))
        return cls.of(np.array(points).reshape(-1, 2), signs, owner, boxes, masks)


@dataclass(frozen=True)
class Words:
    """Hold the words to look for, each of which may name any number of objects.

    Attributes
    ----------
    texts : the words, which become the classes of what is found.

    Raises
    ------
    PromptError
        If there are none, one is empty, or one is there twice.

    Examples
    --------
    >>> from apiece.core.prompts import Words
    >>> Words(("red bolt", " nut ")).texts
    ('red bolt', 'nut')
    """

    texts: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        given: Any = self.texts
        if isinstance(given, str) or not all(isinstance(text, str) for text in given):
            raise PromptError(f"words must be a sequence of texts, got {self.texts!r}")
        texts = tuple(" ".join(text.split()) for text in self.texts)
        if not texts or not all(texts):
            raise PromptError("name at least one thing to look for; a text may not be empty")
        if len(set(texts)) < len(texts):
            twice = next(text for text in texts if texts.count(text) > 1)
            raise PromptError(f"{twice!r} is named twice")
        object.__setattr__(self, "texts", texts)


def _numbers(name: str, values: npt.ArrayLike, columns: int) -> Float:
    """Return numbers of shape (N, columns); one row may be given without its axis."""
    try:
        array = np.asarray(values, np.float64)
    except (TypeError, ValueError):
        array = np.zeros((1, 0))
    if not array.size and array.shape in ((0,), (0, columns)):
        return np.zeros((0, columns))
    if array.shape == (columns,):
        array = array[None]
    if array.ndim != 2 or array.shape[1] != columns:
        raise PromptError(f"{name} must be numbers of shape (N, {columns}); got {values!r}"[:200])
    return array.copy()


def _integers(name: str, values: npt.ArrayLike, count: int) -> Int:
    array = np.asarray(values)
    if array.shape != (count,) or (count and array.dtype.kind not in "iu"):
        raise PromptError(f"{name} must be {count} integers, one per point; got {values!r}"[:200])
    return array.astype(np.int64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


def _counted(count: int, name: str) -> str:
    return f"{count} {name}" if count == 1 else f"{count} {'boxes' if name == 'box' else name + 's'}"


def _spelled(values: Array) -> str:
    return ", ".join(f"{value:g}" for value in values.tolist())
