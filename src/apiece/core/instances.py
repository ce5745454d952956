"""`Instances`: the objects of one image, each with mask, class, score and id; all that crosses between rooms."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from apiece import _show
from apiece._arrays import Array, Bool, Float, Float32, Int
from apiece.core._arguments import Index, integers, resolve_index
from apiece.core.masks import Masks, label_map_masks
from apiece.core.run_overlap import shared
from apiece.core.runs import frozen
from apiece.errors import InvalidInstancesError, UnknownNameError

__all__ = ["Instances"]


@dataclass(frozen=True, eq=False, init=False)
class Instances:
    """Hold the objects of one image, validated when made; index with an integer array, a bool array or a slice.

    Attributes
    ----------
    masks : `Masks` of N instances: what is visible of each object.
    labels : int64 of shape (N,), index into ``classes``; may be left out when there is one class.
    classes : class names.
    scores : float64 of shape (N,), or None for ground truth.
    ids : int64 of shape (N,): what the label file, the label map or a tracker calls each; or None.
    crowd : bool of shape (N,): the mask covers a group, not one object (COCO's ``iscrowd``); default all False.
    attributes : further values, each an array with first axis N.
    full : `Masks` of N instances, the whole object with what others hide of it (amodal masks); each contains the
        object's visible mask. None where nobody knows.

    Raises
    ------
    InvalidInstancesError
        Saying what was expected and what came.

    Examples
    --------
    >>> masks = apiece.Masks.from_label_map(np.array([[1, 1, 0], [0, 2, 2]]))
    >>> found = apiece.Instances(masks, [0, 1], ("bolt", "nut"), scores=[0.9, 0.4])
    >>> found
    Instances(2 on 2 x 3: 1 bolt, 1 nut)
    >>> found[found.scores > 0.5].names
    ['bolt']
    """

    masks: Masks
    labels: Int
    classes: tuple[str, ...]
    scores: Float | None
    ids: Int | None
    crowd: Bool
    attributes: Mapping[str, Array]
    full: Masks | None

    def __init__(
        self,
        masks: Masks,
        labels: npt.ArrayLike | None = None,
        classes: Sequence[str] = ("object",),
        scores: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
        crowd: npt.ArrayLike | None = None,
        attributes: Mapping[str, npt.ArrayLike] | None = None,
        full: Masks | None = None,
    ) -> None:
        for name, given in (("masks", masks), ("full", masks if full is None else full)):
            if type(given) is not Masks:
                raise InvalidInstancesError(
                    f"{name} must be apiece.Masks, got {type(given).__name__}; make them with Masks.from_..."
                )
        count, names = len(masks), tuple(classes)
        if isinstance(classes, str) or not set(map(type, names)) <= {str} or len(set(names)) != len(names):
            raise InvalidInstancesError(f"classes must be a sequence of distinct names, got {classes!r}")
        if labels is None and count and len(names) != 1:
            raise InvalidInstancesError(f"labels are needed when there are {len(names)} classes: {count} integers")
        label = _column("labels", np.zeros(count, np.int64) if labels is None else labels, count, "iu", np.int64)
        if count and not (label.min() >= 0 and label.max() < len(names)):
            raise InvalidInstancesError(
                f"labels index into the {len(names)} classes, so they lie in 0 to {len(names) - 1}; "
                f"got {label.min()} to {label.max()}"
            )
        score = None if scores is None else _column("scores", scores, count, "fiu", np.float64)
        if score is not None and np.isnan(score).any():
            raise InvalidInstancesError(
                f"scores must be numbers; NaN at {np.flatnonzero(np.isnan(score))[:5].tolist()}"
            )
        extra = {}
        for name, values in (attributes or {}).items():
            array = np.asarray(values)
            if array.ndim < 1 or len(array) != count:
                raise InvalidInstancesError(
                    f"attribute {name!r} needs one entry per instance ({count}), got shape {array.shape}"
                )
            extra[name] = frozen(array.copy() if array.flags.writeable else array)
        made = {
            "masks": masks,
            "labels": label,
            "classes": names,
            "scores": score,
            "ids": None if ids is None else _column("ids", ids, count, "iu", np.int64),
            "crowd": _column("crowd", np.zeros(count, bool) if crowd is None else crowd, count, "b", np.bool_),
            "attributes": MappingProxyType(extra),
            "full": full,
        }
        if full is not None:
            _check_contained(masks, full)
        self.__dict__.update(made)

    @classmethod
    def empty(cls, size: tuple[int, int], classes: Sequence[str] = ("object",), *, scored: bool = False) -> Instances:
        """Return no instance on an image of ``size``; ``scored`` for a prediction that found nothing."""
        return cls(Masks.empty(size), np.zeros(0, np.int64), classes, np.zeros(0) if scored else None)

    @classmethod
    def from_label_map(
        cls, a: Array, label: int = 0, classes: Sequence[str] = ("object",), background: int = 0
    ) -> Instances:
        """Return one instance for each distinct value but ``background``, ascending; the values become the ids."""
        values, masks = label_map_masks(a, background)
        return cls(masks, np.full(len(masks), label), classes, ids=values)

    @classmethod
    def concatenate(cls, sets: Sequence[Instances]) -> Instances:
        """Return all instances of several sets on images of one size with the same classes.

        Scores, ids, attributes and full masks are kept if every set has them.
        """
        if not sets:
            raise InvalidInstancesError("concatenate needs at least one set of instances")
        if len({s.classes for s in sets}) > 1:
            raise InvalidInstancesError(
                f"instances with different classes cannot be joined: {sorted({s.classes for s in sets})}"
            )
        names = set.intersection(*(set(s.attributes) for s in sets))
        joined: dict[str, Any] = {}
        for name in ("labels", "scores", "ids", "crowd"):
            columns = [getattr(s, name) for s in sets]
            joined[name] = None if any(c is None for c in columns) else np.concatenate(columns)
        attributes = {
            name: np.concatenate([s.attributes[name] for s in sets]) for name in sets[0].attributes if name in names
        }
        whole = [s.masks if s.full is None else s.full for s in sets]
        known = all(s.full is not None for s in sets if len(s)) and any(s.full is not None for s in sets)
        joined["full"] = Masks.concatenate(whole) if known else None
        return cls(Masks.concatenate([s.masks for s in sets]), classes=sets[0].classes, attributes=attributes, **joined)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the image, in pixels."""
        return self.masks.size

    @property
    def boxes(self) -> Float32:
        """Tight half-open boxes x0, y0, x1, y1 in pixels: float32 of shape (N, 4); zeros for an empty mask."""
        return self.masks.boxes

    @property
    def occlusion(self) -> Float | None:
        """Share of each full mask that others hide: float64 of shape (N,), 0 to 1; None without ``full``.

        Examples
        --------
        >>> whole = apiece.Masks.from_boxes([[0, 0, 4, 2]], (2, 4))
        >>> apiece.Instances(whole.crop(0, 0, 3, 2).shift(0, 0, (2, 4)), full=whole).occlusion
        array([0.25])
        """
        return None if self.full is None else (self.full.area - self.masks.area) / np.maximum(self.full.area, 1)

    def with_masks(self, change: Callable[[Masks], Masks], **changes: Any) -> Instances:
        """Return the same instances with ``change`` applied to the visible and to the full masks, in one call.

        Parameters
        ----------
        change : ``(masks)``: gives as many masks, in their order, each from its own mask alone. A full mask is united
            with what its visible mask became.
        changes : other fields to exchange at the same time, as in `replace`.

        Examples
        --------
        >>> found = apiece.Instances(apiece.Masks.from_label_map(np.array([[1, 0, 0]])))
        >>> found.with_masks(lambda masks: masks.flip("horizontal")).boxes.tolist()
        [[2.0, 0.0, 3.0, 1.0]]
        """
        if self.full is None:
            return self.replace(masks=change(self.masks), **changes)
        both = change(Masks.concatenate([self.masks, self.full]))
        whole = both.merge(np.tile(np.arange(len(self)), 2), len(self))  # a full mask contains the visible one
        return self.replace(masks=both[: len(self)], full=whole, **changes)

    @property
    def names(self) -> list[str]:
        """Class name of each instance."""
        return [self.classes[i] for i in self.labels]

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: Index | int) -> Instances:
        """Return the chosen instances; an integer gives a set of one."""
        chosen = resolve_index(index, len(self))
        columns = {name: getattr(self, name) for name in ("labels", "scores", "ids", "crowd")}
        made = {
            "masks": self.masks[chosen],
            "classes": self.classes,
            "full": None if self.full is None else self.full[chosen],
            "attributes": MappingProxyType({name: frozen(values[chosen]) for name, values in self.attributes.items()}),
            **{name: None if values is None else frozen(values[chosen]) for name, values in columns.items()},
        }
        some = object.__new__(Instances)
        some.__dict__.update(made)  # what was validated stays valid
        return some

    def of_class(self, name: str) -> Instances:
        """Return the instances of one class."""
        if name not in self.classes:
            raise UnknownNameError("class", name, self.classes)
        return self[self.labels == self.classes.index(name)]

    def replace(self, **changes: Any) -> Instances:
        """Return the same instances with other fields, validated again.

        Examples
        --------
        >>> apiece.Instances.from_label_map(np.eye(2, dtype=int)).replace(scores=[0.5]).scores
        array([0.5])
        """
        unknown = set(changes) - {f.name for f in fields(self)}
        if unknown:
            raise UnknownNameError("field of Instances", unknown.pop(), (f.name for f in fields(self)))
        return Instances(**({f.name: getattr(self, f.name) for f in fields(self)} | changes))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Instances):
            return NotImplemented
        return (
            self.classes == other.classes
            and self.masks == other.masks
            and self.full == other.full
            and all(_same(getattr(self, n), getattr(other, n)) for n in ("labels", "scores", "ids", "crowd"))
            and set(self.attributes) == set(other.attributes)
            and all(_same(values, other.attributes[name]) for name, values in self.attributes.items())
        )

    __hash__ = None  # type: ignore[assignment]  # equality is by value over large arrays

    def __reduce__(self) -> tuple[Any, ...]:
        # a mapping proxy does not travel between data-loader processes
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Instances, tuple((values | {"attributes": dict(self.attributes)}).values())

    def _repr_html_(self) -> str:
        return _show.html(self)

    def __repr__(self) -> str:
        per_class = np.bincount(self.labels, minlength=len(self.classes))
        counts = ", ".join(f"{n} {c}" for c, n in zip(self.classes, per_class.tolist(), strict=True) if n)
        return f"Instances({len(self)} on {self.size[0]} x {self.size[1]}{': ' + counts if counts else ''})"


def _check_contained(masks: Masks, full: Masks) -> None:
    """Refuse full masks that are of other objects, or that leave out what is visible."""
    if (len(full), full.size) != (len(masks), masks.size):
        raise InvalidInstancesError(
            f"full must hold one mask per instance on the same image: {len(masks)} of {masks.size} (height, width); "
            f"got {len(full)} of {full.size}"
        )
    each = np.arange(len(masks))
    outside = masks.area - shared(masks.runs, each, full.runs, each)
    beyond = np.flatnonzero(outside)
    if len(beyond):
        first = int(beyond[0])
        more = f" and {len(beyond) - 1} more" if len(beyond) > 1 else ""
        raise InvalidInstancesError(
            f"full must contain what is visible: instance {first}{more} has {outside[first]} "
            "visible pixels outside its full mask",
            index=first,
        )


def _column(name: str, values: npt.ArrayLike, count: int, kinds: str, dtype: npt.DTypeLike) -> Array:
    array = np.asarray(values)
    if array.shape != (count,):
        raise InvalidInstancesError(f"{name} must have shape ({count},), one per mask; got {array.shape}")
    if array.dtype.kind not in kinds and count:
        raise InvalidInstancesError(f"{name} must be {np.dtype(dtype)}, got {array.dtype}")
    return frozen(integers(name, array) if dtype == np.int64 else array.astype(dtype))


def _same(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None:
        return a is b
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f" and b.dtype.kind == "f"))
