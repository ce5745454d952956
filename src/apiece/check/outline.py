"""Outlines beside the edge that the eye sees: too wide, too narrow, shifted, or much coarser than the object."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from apiece._arrays import Array, Float, Float32, Int
from apiece.check._kit.edges import OFFSETS, edges, outlines
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Rows, SetFacts, Settings

__all__ = ["CHECK"]

LEAST = 100  # fewest pixels of a mask that is examined; a smaller one is little else than outline
SEEN = 0.5  # least share of a mask's outline that lies inside the image
FURTHEST = 4  # largest error of an outline that is considered, in pixels
GAIN = 0.1  # least gain in mean edge strength (0 to 1) of another outline over the drawn one
CLEAR = 2.5  # the same in standard errors of its mean
FAINT = 0.9  # largest edge strength along a wrong outline, as a share of that of its class
FAINT_WIDE = 0.45  # the same for a wide outline: objects have edges inside them, and there is none outside
LEAN = 0.3  # largest length of the mean normal of an outline that is seen all around
BULGES = (0.1, 0.16, 0.22)  # bulge of a circle beyond the sides of a polygon of 8, 5 and 4 corners, over a side

_CHUNK = 1 << 14  # points compared at once: 24 moves of every point are many numbers
_TURNS = np.arange(8) * (np.pi / 4)
_SHIFTS = np.array([(m * np.cos(t), m * np.sin(t)) for m in range(2, FURTHEST + 1) for t in _TURNS])
_MIDDLE = len(OFFSETS) // 2


def _remember(labelled: Labelled, settings: Settings) -> Rows | None:
    """Keep for each outline its mean edge strength if grown by each of `OFFSETS`, moved, and bulged; and the errors."""
    instances, image = labelled.instances, labelled.image
    chosen = np.flatnonzero((instances.masks.area >= LEAST) & ~instances.crowd)
    if image is None or not len(chosen):
        return None
    found = outlines(instances.masks[chosen])
    number = np.bincount(found.owner, minlength=len(chosen))
    strength = edges(image.pixels, found)
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
    columns = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    return labelled.rows(chosen[seen], corners=found.corners[seen], **columns)


def _chunks(cuts: Int) -> list[int]:
    """Return where to cut the masks into pieces of about `_CHUNK` points, at least one mask each."""
    bounds = np.searchsorted(cuts, np.arange(0, cuts[-1], _CHUNK))
    return np.unique(np.append(bounds, len(cuts) - 1)).tolist()


def _compared(strength: Float, normal: Float, arc: Float32, starts: Int) -> dict[str, Array]:
    """Return the mean edge strength of some masks' outlines, grown, moved and bulged, with standard errors."""
    count = np.diff(np.append(starts, len(strength)))
    lean = np.hypot(*(np.add.reduceat(normal, starts) / count[:, None]).T)
    outlines = {
        "grown": strength,
        # an outline that is seen on one side only, as where the border cuts it, may be moved or wide: nobody can tell
        "moved": _at(strength, normal @ _SHIFTS.T) * np.repeat(lean <= LEAN, count)[:, None],
        "bulged": _at(strength, arc[:, None] * np.array(BULGES)),
    }
    columns = {}
    for name, values in outlines.items():
        columns[name], columns[f"{name}_error"] = _mean(values, strength[:, [_MIDDLE]], starts)
    return columns


def _at(strength: Float, offset: Float) -> Float:
    """Interpolate edge strength (P, H) at offsets (P, H) in pixels from the outline; 0 beyond the known offsets."""
    where = np.clip(offset + _MIDDLE, 0, len(OFFSETS) - 1.001)
    low = where.astype(np.int64)
    share = where - low
    rows = np.arange(len(strength))[:, None]
    value = strength[rows, low] * (1 - share) + strength[rows, low + 1] * share
    return np.where(np.abs(offset) <= _MIDDLE, value, 0.0)


def _mean(values: Float, drawn: Float, starts: Int) -> tuple[Float32, Float32]:
    """Return per mask (mean over its points, standard error of the mean gain over the drawn outline): (masks, H)."""
    count = np.diff(np.append(starts, len(values)))[:, None]
    mean = np.add.reduceat(values, starts) / count
    gain = values - drawn
    first = np.add.reduceat(gain, starts) / count
    spread = np.sqrt(np.maximum(np.add.reduceat(gain**2, starts) / count - first**2, 1e-6))
    error = spread / np.sqrt(count / 3)  # about three neighbouring points see the same piece of edge
    return mean.astype(np.float32), error.astype(np.float32)


@dataclass(frozen=True)
class _Class:
    """What the outlines of a class are like."""

    name: str
    habit: int  # pixels from the outlines to the strongest edge: 0, unless all were drawn wide or narrow
    agreement: float  # median edge strength there
    columns: dict[str, Array]


def _conclude(kept: Sequence[Rows], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not kept:
        return
    rows = JoinedRows(kept)
    names = ("corners", *(f"{name}{error}" for name in ("grown", "moved", "bulged") for error in ("", "_error")))
    label, columns = rows["label"], {name: rows[name] for name in names}
    near = np.flatnonzero(np.abs(OFFSETS) <= FURTHEST)
    for c, name in enumerate(facts.classes):
        own = columns["grown"][label == c]
        if len(own) < settings.few:
            continue
        habit = int(np.clip(np.median(OFFSETS[near][own[:, near].argmax(1)]), -2, 2))
        typical = _Class(name, habit, float(np.median(own[:, _MIDDLE + habit])), columns)
        for i in np.flatnonzero(label == c).tolist():
            found = _judge(i, typical)
            if found is not None:
                kind, message, sure = found
                yield Finding(kind, message, sure, rows.place(i))


def _judge(i: int, typical: _Class) -> tuple[str, str, float] | None:
    """Return (kind, message, sure) of the best other outline, if it is clearly better than the drawn one."""
    faint = [
        (value - base, error, kind, base, value, where)
        for kind, base, value, error, where in _candidates(i, typical)
        # an inner edge of the object must not pass for its outline: along the drawn one there has to be less of an
        # edge than others of its class have
        if base <= (FAINT_WIDE if kind == "wide" else FAINT) * typical.agreement
    ]
    if not faint:
        return None
    gain, error, kind, base, value, where = max(faint, key=lambda one: one[0])
    if gain < GAIN or gain < CLEAR * error:
        return None
    sure = float(np.clip(gain / 0.4, 0, 1) * np.clip(gain / error / 8, 0, 1)) ** 0.5
    message = (
        f"{typical.name}: the edge in the image runs {where}; edge strength {base:.2f} as drawn, {value:.2f} there, "
        f"{typical.agreement:.2f} in its class"
    )
    return kind, message, min(sure, 0.95)


def _candidates(i: int, typical: _Class) -> Iterator[tuple[str, float, float, float, str]]:
    """Yield (kind, strength as drawn, strength there, its standard error, where) of the best outline of each kind."""
    columns, off, middle = typical.columns, OFFSETS - typical.habit, _MIDDLE + typical.habit
    grown = columns["grown"][i]
    # one pixel more or less is nobody's mistake
    around = float(grown[middle - 1 : middle + 2].max())
    for kind, sign, base in (("wide", -1, float(grown[middle : middle + 2].max())), ("narrow", 1, around)):
        other = np.flatnonzero((off * sign >= 2) & (off * sign <= FURTHEST))
        best = int(other[grown[other].argmax()])
        where = f"{abs(int(off[best]))} pixels {'inside' if sign < 0 else 'outside'} the outline"
        yield kind, base, float(grown[best]), float(columns["grown_error"][i, best]), where
    for kind, name in (("shifted", "moved"), ("coarse", "bulged")):
        best = int(columns[name][i].argmax())
        where = f"round beside an outline of {columns['corners'][i]} straight sides"
        if kind == "shifted":
            dx, dy = np.rint(_SHIFTS[best]) + 0.0
            where = f"where the outline would be if moved by {dx:+.0f}, {dy:+.0f} pixels (x, y)"
        yield kind, around, float(columns[name][i, best]), float(columns[f"{name}_error"][i, best]), where


CHECK = Check(
    "Outlines beside the edge that the eye sees: too wide, too narrow, shifted, or much too coarse.",
    (
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
            "A mask 2 to 4 pixels beside its object: if moved, its outline would lie on the edge in the image.",
            "Move it; if many masks are shifted, see whether the image was cropped or resized after labelling.",
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
