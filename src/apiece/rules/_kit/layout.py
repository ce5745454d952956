"""Where parts belong, and where a picture shows that layout: shift, turn and scale, found from parts or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from apiece._arrays import Bool, Float, Int
from apiece.core.classes import places
from apiece.core.image import Image
from apiece.draw import to_display
from apiece.rules._kit.keys import (
    CLASSES,
    NUMBER,
    SHARE,
    TEXT,
    KeyType,
    Names,
    Node,
    choice,
    key,
    quantity,
    read_mapping,
    schema_of,
    some_of,
)
from apiece.rules._kit.quantities import Quantity

__all__ = ["Layout", "Place", "Placement", "assign", "register"]

_PAIRS = 12  # pairs of places from which hypotheses are made
_HYPOTHESES = 512
_NEAR = 0.25  # share of the reach at which parts lie near enough that no other way is looked for
_ROUNDS = 3  # of matching and fitting anew
_FEATURES = 2000
_LEAST = 8  # features that have to agree


@dataclass(frozen=True)
class Place:
    """Where one part belongs."""

    part: str = key(TEXT, "the class of the part")
    at: tuple[float, float] = key(some_of(NUMBER, 2), "its centre, x and y in pixels of the layout")
    angle: Quantity | None = key(quantity("degree"), "direction of its long axis, 0 to 180, clockwise from x", None)
    area: float | None = key(NUMBER, "its area in square pixels of the layout", None)
    name: str = key(TEXT, "what messages call the place, such as R12", "")


def _place(node: Node, names: Names) -> Place:
    place = read_mapping(Place, node, names, "a place")
    names.classes.setdefault(place.part, node.line)
    return place


PLACE = KeyType(_place, schema_of(Place))


@dataclass(frozen=True)
class Layout:
    """Where every part belongs."""

    places: tuple[Place, ...] = key(some_of(PLACE), "where each part belongs")
    size: tuple[float, float] = key(some_of(NUMBER, 2), "width and height of the pictures, in pixels")
    register: str = key(
        choice("parts", "image", "none"),
        "how the layout is found in a picture: by its parts, by the pixels of `image`, or `none`: every picture shows "
        "it at the same place",
        "parts",
    )
    by: tuple[str, ...] = key(CLASSES, "with `register: parts`, the parts to go by, such as fiducial", ())
    image: str = key(TEXT, "with `register: image`, the reference picture; a path beside this file", "")
    scale: float = key(SHARE, "how much larger or smaller a picture may show the layout", 0.1)

    def __post_init__(self) -> None:
        if (self.register == "image") != bool(self.image):
            raise ValueError("`register: image` and `image` belong together")
        if not self.places:
            raise ValueError("there are no places")
        parts = {place.part for place in self.places}
        missing = [name for name in self.by if name not in parts]
        if missing:
            raise ValueError(f"`by` names {missing[0]!r}, and no place is of that part")

    @cached_property
    def points(self) -> Float:
        """Centres in pixels of the layout: (places, 2)."""
        return np.array([place.at for place in self.places], np.float64).reshape(-1, 2)

    @cached_property
    def reach(self) -> float:
        """How far from its place a part is still taken for the part of that place, in pixels of the layout."""
        apart = np.hypot(*(self.points[:, None] - self.points[None]).transpose(2, 0, 1))
        apart[np.eye(len(apart), dtype=bool)] = np.inf
        nearest = float(apart.min()) if len(apart) > 1 else np.inf
        return min(0.5 * nearest, 0.1 * max(self.size))

    def parts(self, classes: tuple[str, ...]) -> Int:
        """Return the index in ``classes`` of each place's part; -1 for a class that is not among them."""
        return places([place.part for place in self.places], classes)


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a picture shows the layout: point p, as x + iy, lies at ``factor * p + shift``.

    Attributes
    ----------
    factor, shift : complex numbers: turn and scale, and shift in pixels.
    spread : 95% bound in pixels on how far the whole may be off.
    found : how many places showed the way.
    """

    factor: complex = 1.0
    shift: complex = 0.0
    spread: float = 0.0
    found: int = 0

    def __call__(self, points: Float) -> Float:
        """Return points of the layout as points of the picture, (K, 2)."""
        moved = self.factor * (points[:, 0] + 1j * points[:, 1]) + self.shift
        return np.stack([moved.real, moved.imag], 1)

    @property
    def angle(self) -> float:
        """How far the layout is turned in the picture, in degrees, clockwise."""
        return float(np.degrees(np.angle(self.factor)))


def register(layout: Layout, centres: Float, labels: Int, classes: tuple[str, ...]) -> Placement | None:
    """Return where the parts, at ``centres`` (N, 2), show the layout; None where fewer than half of them fit.

    Parameters
    ----------
    layout : with ``register: parts``.
    labels : int64 (N,), classes of the parts, index into ``classes``.
    """
    wanted = layout.parts(classes)
    used = np.array([not layout.by or place.part in layout.by for place in layout.places])
    own = layout.points[used] @ np.array([1, 1j])
    found = centres @ np.array([1, 1j])
    alike = wanted[used][:, None] == labels[None, :]
    if not alike.any():
        return None
    least = max((len(own) + 1) // 2, min(len(own), 2))
    best = _score(own, found, alike, np.array([1.0 + 0j]), np.array([_shift(own, found, alike)]), layout.reach)
    if best[2] < len(own) or -best[3] > _NEAR * layout.reach:
        more = _hypotheses(own, found, alike, layout.scale)
        if len(more[0]):
            best = max(best, _score(own, found, alike, *more, layout.reach), key=lambda one: one[2:])
    return None if best[2] < least else _fitted(own, found, alike, best[0], best[1], layout.reach)


def _shift(own: Float, found: Float, alike: Bool) -> complex:
    """Return how far the nearest like parts lie from the places, for pictures that are hardly turned."""
    between = np.where(alike, np.abs(own[:, None] - found[None, :]), np.inf)
    near = between.argmin(1)
    some = np.isfinite(between.min(1))
    moved = found[near[some]] - own[some]
    return complex(np.median(moved.real), np.median(moved.imag))


def _hypotheses(own: Float, found: Float, alike: Bool, scale: float) -> tuple[Float, Float]:
    """Return turns and shifts from pairs of places and pairs of like parts; those of rare parts come first."""
    candidates = alike.sum(1)
    a, b = np.triu_indices(len(own), 1)
    some = (candidates[a] > 0) & (candidates[b] > 0)
    a, b = a[some], b[some]
    order = np.lexsort((-np.abs(own[a] - own[b]), candidates[a] * candidates[b]))[:_PAIRS]
    factors, shifts = [np.zeros(0, complex)], [np.zeros(0, complex)]
    for one, two in zip(a[order].tolist(), b[order].tolist(), strict=True):
        first, second = np.flatnonzero(alike[one]), np.flatnonzero(alike[two])
        i, j = np.repeat(first, len(second)), np.tile(second, len(first))
        factor = (found[j] - found[i]) / (own[two] - own[one]) if own[two] != own[one] else np.zeros(len(i))
        fits = (i != j) & (np.abs(np.abs(factor) - 1) <= scale)
        factors.append(factor[fits])
        shifts.append(found[i[fits]] - factor[fits] * own[one])
        if sum(map(len, factors)) > _HYPOTHESES:
            break
    return np.concatenate(factors)[:_HYPOTHESES], np.concatenate(shifts)[:_HYPOTHESES]


def _score(
    own: Float, found: Float, alike: Bool, factors: Float, shifts: Float, reach: float
) -> tuple[complex, complex, int, float]:
    """Return the best turn and shift, how many places have a like part within reach, and minus their mean distance."""
    moved = factors[:, None] * own[None, :] + shifts[:, None]
    far = np.where(alike[None], np.abs(moved[:, :, None] - found[None, None, :]), np.inf).min(2)
    inside = far <= reach
    count = inside.sum(1)
    mean = np.where(inside, far, 0.0).sum(1) / np.maximum(count, 1)
    best = int(np.lexsort((mean, -count))[0])
    return complex(factors[best]), complex(shifts[best]), int(count[best]), -float(mean[best])


def _fitted(own: Float, found: Float, alike: Bool, factor: complex, shift: complex, reach: float) -> Placement:
    """Return the least-squares fit to the parts within reach; parts far off the others' fit do not count."""
    left = np.zeros(0)
    count = 0
    for _ in range(_ROUNDS):
        far = np.where(alike, np.abs(factor * own[:, None] + shift - found[None, :]), np.inf)
        near, least = far.argmin(1), far.min(1)
        inside = least <= reach
        inside &= least <= max(3 * float(np.median(least[inside])), 1.0) if inside.any() else True
        p, q = own[inside], found[near[inside]]
        count = len(p)
        if count == 0:
            break
        centre, target = p.mean(), q.mean()
        power = float((np.abs(p - centre) ** 2).sum())
        if count > 1 and power > 0:
            factor = complex(((q - target) * np.conj(p - centre)).sum() / power)
        shift = complex(target - factor * centre)
        left = np.abs(factor * p + shift - q)
    free = max(2 * count - 4, 1)
    spread = 2 * float(np.sqrt((left**2).sum() / free / max(count, 1))) if len(left) else 0.0
    return Placement(factor, shift, spread, count)


def register_pixels(layout: Layout, reference: Image, image: Image) -> Placement | None:
    """Return where the picture shows the layout, from features (ORB) that both pictures share; None if too few agree.

    A part that is missing or moved takes some features with it; the rest decide (RANSAC).
    """
    finder = cv2.ORB.create(_FEATURES)
    grey = [cv2.cvtColor(to_display(one), cv2.COLOR_RGB2GRAY) for one in (reference, image)]
    (points, signs), (others, other_signs) = (finder.detectAndCompute(one, None) for one in grey)
    if signs is None or other_signs is None:
        return None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(signs, other_signs)
    if len(pairs) < _LEAST:
        return None
    p = np.array([points[pair.queryIdx].pt for pair in pairs], np.float64)
    q = np.array([others[pair.trainIdx].pt for pair in pairs], np.float64)
    matrix, inside = cv2.estimateAffinePartial2D(p, q, method=cv2.RANSAC, ransacReprojThreshold=2.0)
    agreeing = 0 if matrix is None else int(inside.sum())
    factor = 0j if matrix is None else complex(matrix[0, 0], matrix[1, 0])
    if agreeing < _LEAST or abs(abs(factor) - 1) > layout.scale:
        return None
    # features are measured at pixel centres, geometry at pixel edges: half a pixel is added on both sides
    half = 0.5 + 0.5j
    shift = complex(matrix[0, 2], matrix[1, 2]) + half - factor * half
    return Placement(factor, shift, 2 * 2.0 / np.sqrt(agreeing), agreeing)


def assign(far: Float, reach: float) -> tuple[Int, Int]:
    """Return pairs (row, column) that together lie nearest, each of both once, none further than ``reach``."""
    some = np.isfinite(far) & (far <= reach)
    cost = np.where(some, far, 1e9)
    row, column = linear_sum_assignment(cost)
    kept = some[row, column]
    return row[kept].astype(np.int64), column[kept].astype(np.int64)
