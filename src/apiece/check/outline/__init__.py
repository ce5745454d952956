"""Outlines beside the edge that the eye sees: too wide, too narrow, shifted, or much coarser than the object."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float, Float32, Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Places, SetFacts, Settings
from apiece.check.outline._shapes import OFFSETS, edges, outlines

__all__ = ["CHECK"]

LEAST = 100
"""Fewest pixels of a mask that is looked at; a smaller one is little else than outline."""
SEEN = 0.5
"""Least share of a mask's outline that lies inside the image."""
FURTHEST = 4
"""Most pixels that an outline is thought to be off."""
GAIN = 0.1
"""Least gain in mean edge strength (0 to 1) of an outline elsewhere over the one that was drawn."""
CLEAR = 2.5
"""Least gain in standard errors of its mean."""
FAINT = 0.9
"""Most edge strength along a wrong outline, as a share of that of its class."""
FAINT_WIDE = 0.45
"""The same for one that is too wide: objects have edges inside them, and outside there is nothing."""
LEAN = 0.3
"""Most length of the mean normal of an outline that is seen all around."""
BULGES = (0.1, 0.16, 0.22)
"""How far a round object bulges beyond the sides of a polygon, as a share of a side: 8, 5 and 4 corners on a circle."""

_CHUNK = 1 << 14
"""Points compared at once: 24 moves of every point are many numbers."""
_TURNS = np.arange(8) * (np.pi / 4)
_SHIFTS = np.array([(m * np.cos(t), m * np.sin(t)) for m in range(2, FURTHEST + 1) for t in _TURNS])


@dataclass(frozen=True)
class _Kept:
    """Of one image, for each mask looked at: its class; mean edge strength of its outline grown by each of `OFFSETS`,
    moved by each shift, and bulged; standard errors of the difference to the outline as drawn; corners; its place."""

    label: Int
    grown: Float32
    grown_error: Float32
    moved: Float32
    moved_error: Float32
    bulged: Float32
    bulged_error: Float32
    corners: Int
    places: Places


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances, image = labelled.instances, labelled.image
    if image is None:
        return None
    chosen = np.flatnonzero((instances.masks.area >= LEAST) & ~instances.crowd)
    if not len(chosen):
        return None
    found = outlines(instances.masks[chosen])
    number = np.bincount(found.owner, minlength=len(chosen))
    strength = edges(image.pixels, found)
    # what an outline of this many points can tell: neighbours among them see the same edge
    seen = np.flatnonzero(number >= max(8, SEEN * 24))
    if not len(seen):
        return None
    kept = np.isin(found.owner, seen)
    strength, owner = strength[kept], np.searchsorted(seen, found.owner[kept])
    normal, arc = found.normal[kept].astype(np.float64), found.arc[kept]
    cuts = np.searchsorted(owner, np.arange(len(seen) + 1))
    pieces = []
    for lo, hi in itertools.pairwise(_chunks(cuts)):
        rows = slice(cuts[lo], cuts[hi])
        pieces.append(_compared(strength[rows], normal[rows], arc[rows], cuts[lo:hi] - cuts[lo]))
    grown, grown_error, moved, moved_error, bulged, bulged_error = (
        np.concatenate(column) for column in zip(*pieces, strict=True)
    )
    return _Kept(
        instances.labels[chosen[seen]],
        grown,
        grown_error,
        moved,
        moved_error,
        bulged,
        bulged_error,
        found.corners[seen],
        labelled.places(chosen[seen]),
    )


def _chunks(cuts: Int) -> list[int]:
    """Where to cut the masks so that each piece has about `_CHUNK` points; each has one mask at least."""
    bounds = np.searchsorted(cuts, np.arange(0, cuts[-1], _CHUNK))
    return np.unique(np.append(bounds, len(cuts) - 1)).tolist()


def _compared(strength: Float, normal: Float, arc: Float32, starts: Int) -> tuple[Float32, ...]:
    """`_mean` of the outlines of some masks, grown, moved and bulged."""
    drawn = strength[:, [len(OFFSETS) // 2]]
    count = np.diff(np.append(starts, len(strength)))
    lean = np.hypot(*(np.add.reduceat(normal, starts) / count[:, None]).T)
    # of which one side alone is seen, as where the border cuts it, may be moved or wide: nobody can tell
    moved = _at(strength, normal @ _SHIFTS.T) * np.repeat(lean <= LEAN, count)[:, None]
    bulged = _at(strength, arc[:, None] * np.array(BULGES))
    return *_mean(strength, drawn, starts), *_mean(moved, drawn, starts), *_mean(bulged, drawn, starts)


def _at(strength: Float, offset: Float) -> Float:
    """Edge strength (P, H) at offsets (P, H) in pixels from the outline, between those known; beyond them 0."""
    middle = len(OFFSETS) // 2
    where = np.clip(offset + middle, 0, len(OFFSETS) - 1.001)
    low = where.astype(np.int64)
    share = where - low
    rows = np.arange(len(strength))[:, None]
    value = strength[rows, low] * (1 - share) + strength[rows, low + 1] * share
    return np.where(np.abs(offset) <= middle, value, 0.0)


def _mean(values: Float, drawn: Float, starts: Int) -> tuple[Float32, Float32]:
    """(mean over each mask's points, standard error of the mean difference to the outline as drawn): (masks, H)."""
    count = np.diff(np.append(starts, len(values)))[:, None]
    mean = np.add.reduceat(values, starts) / count
    gain = values - drawn
    first = np.add.reduceat(gain, starts) / count
    spread = np.sqrt(np.maximum(np.add.reduceat(gain**2, starts) / count - first**2, 1e-6))
    error = spread / np.sqrt(count / 3)  # about three neighbouring points see the same piece of edge
    return mean.astype(np.float32), error.astype(np.float32)


# ---------------------------------------------------------------- the set


@dataclass(frozen=True)
class _Class:
    """What the outlines of a class are like."""

    name: str
    habit: int
    """Pixels from the outlines to where the edge is strongest: 0, unless all were drawn wide or narrow."""
    agreement: float
    """Median edge strength there."""
    corners: float
    """Median number of corners."""


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    label, grown, corners = (np.concatenate([getattr(k, name) for k in kept]) for name in ("label", "grown", "corners"))
    near = np.flatnonzero(np.abs(OFFSETS) <= FURTHEST)
    for c, name in enumerate(facts.classes):
        own = grown[label == c]
        if len(own) < settings.few:
            continue
        habit = int(np.clip(np.median(OFFSETS[near][own[:, near].argmax(1)]), -2, 2))
        middle = float(np.median(own[:, len(OFFSETS) // 2 + habit]))
        typical = _Class(name, habit, middle, float(np.median(corners[label == c])))
        for k in kept:
            for i in np.flatnonzero(k.label == c).tolist():
                yield from _judge(k, i, typical)


def _judge(k: _Kept, i: int, typical: _Class) -> Iterator[Finding]:
    """The best of all other outlines, if it is clearly better than the one that was drawn."""
    middle = len(OFFSETS) // 2 + typical.habit
    off = OFFSETS - typical.habit
    drawn, around = float(k.grown[i, middle]), float(k.grown[i, middle - 1 : middle + 2].max())
    # a pixel more or less is nobody's mistake
    candidates = []
    for kind, sign, base in (
        ("wide", -1, max(drawn, float(k.grown[i, middle + 1]))),
        ("narrow", 1, around),
    ):
        other = np.flatnonzero((off * sign >= 2) & (off * sign <= FURTHEST))
        best = int(other[k.grown[i, other].argmax()])
        where = f"{abs(int(off[best]))} pixels {'inside' if sign < 0 else 'outside'} the outline"
        candidates.append((kind, base, float(k.grown[i, best]), float(k.grown_error[i, best]), where))
    best = int(k.moved[i].argmax())
    where = "where the outline would be if moved by {:+.0f}, {:+.0f} pixels (x, y)".format(
        *np.rint(_SHIFTS[best]) + 0.0
    )
    candidates.append(("shifted", around, float(k.moved[i, best]), float(k.moved_error[i, best]), where))
    best = int(k.bulged[i].argmax())
    where = f"round beside an outline of {k.corners[i]} straight sides"
    candidates.append(("coarse", around, float(k.bulged[i, best]), float(k.bulged_error[i, best]), where))
    # an inner edge of the object must not pass for its outline: the one drawn has to run where there is less of an edge
    # than others of its class have
    faint = [c for c in candidates if c[1] <= (FAINT_WIDE if c[0] == "wide" else FAINT) * typical.agreement]
    if not faint:
        return
    kind, base, value, error, where = max(faint, key=lambda c: c[2] - c[1])
    gain = value - base
    if gain >= GAIN and gain >= CLEAR * error:
        sure = float(np.clip(gain / 0.4, 0, 1) * np.clip(gain / error / 8, 0, 1)) ** 0.5
        message = (
            f"{typical.name}: the edge in the image runs {where}; "
            f"agreement {base:.2f} as drawn, {value:.2f} there, {typical.agreement:.2f} in its class"
        )
        yield Finding(kind, message, min(sure, 0.95), k.places[i])


CHECK = Check(
    summary="Outlines beside the edge that the eye sees: too wide, too narrow, shifted, or much too coarse.",
    kinds=(
        Kind(
            "wide",
            "warning",
            "An outline 2 to 4 pixels outside the edge in the image all around, more than others of its class.",
            "Draw it closer.",
        ),
        Kind(
            "narrow",
            "warning",
            "An outline 2 to 4 pixels inside the edge in the image all around, more than others of its class.",
            "Draw it wider.",
        ),
        Kind(
            "shifted",
            "warning",
            "A mask 2 to 4 pixels beside its object: moved, its outline would lie on the edge in the image.",
            "Move it; where many of an image are, see whether the image was cropped or resized after labelling.",
        ),
        Kind(
            "coarse",
            "warning",
            "A polygon of few sides around an object whose edge in the image is round.",
            "Draw it with more points.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
    needs="image",
)
