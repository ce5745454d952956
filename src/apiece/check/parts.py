"""Masks of several parts: two objects under one id, loose fragments, dust; and pieces cut off a neighbour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from apiece.check._base import Check, Finding, Kind, Labelled, SetFacts, Settings
from apiece.check._shapes import bare_on_lines, bare_pixels, crossings, grown, hulls, parts_of
from apiece.core._runs import Bool, Int
from apiece.core.masks import Masks
from apiece.ops.overlap import intersections

__all__ = ["CHECK"]

FAR = 0.75
"""Gap in diameters of the smaller part from which two parts are far apart."""
WORTHY = 0.1
"""Share of the main part's pixels from which a part may be an object of its own; below it is a fragment."""
MOST = 32
"""Largest parts of a mask that are looked at."""
LINES = (12, 24)
"""Places in a part, and in the larger ones, between which lines are looked along."""
SLIT = 5.0
"""Most pixels between two parts of a mask that was torn, wherever it lies."""
CLOSED = 0.1
"""Share of these lines that meet no open ground from which the parts hang together under what lies over them."""
ORDINARY = 0.25
"""Share of a class's masks from which several parts are the nature of the class, not a mistake."""
PIECE = 0.3
"""Most pixels of a piece, as a share of the neighbour that it may have been cut off from."""
RIM = 0.25
"""Least share of a piece's rim that lies in that neighbour."""
SUNK = 0.25
"""Most of a piece that lies within the neighbour's hull; what is sunk deeper lies on top of it, and hides it."""
NOTCH = 0.25
"""Most hollow that a piece may add to the neighbour's, as a share of the piece's pixels."""

Float = npt.NDArray[np.float64]


# ---------------------------------------------------------------- several parts


@dataclass(frozen=True)
class _Group:
    """Parts that hang together: `gap` pixels from the rest of the mask, 0 for the main one."""

    area: int
    gap: float


@dataclass(frozen=True)
class _Kept:
    """Of one image: masks per class, and what was found with the class that it was found in."""

    counts: tuple[int, ...]
    found: tuple[tuple[int, Finding], ...]


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    single = ~instances.crowd
    if not single.any():
        return None
    counts = np.bincount(instances.labels[single], minlength=len(instances.classes))
    found = []
    for i, groups in _groups(labelled, settings):
        label = int(instances.labels[i])
        found += [(label, f) for f in _judge(labelled, i, groups, instances.classes[label])]
    return _Kept(tuple(counts.tolist()), tuple(found))


def _groups(labelled: Labelled, settings: Settings) -> Iterator[tuple[int, list[_Group]]]:
    """Every mask of several groups of parts, the largest group first."""
    instances = labelled.instances
    pieces, owner = parts_of(instances.masks)
    real = np.flatnonzero((pieces.area > settings.dust) & ~instances.crowd[owner])
    number = np.bincount(owner[real], minlength=len(instances))
    real = real[number[owner[real]] > 1]
    if not len(real):
        return
    part, other, gap, hidden = _links(pieces, owner, real, instances.masks.union())
    height, width = pieces.size
    box = pieces.boxes
    edge = (box[:, :2] == 0).any(1) | (box[:, 2] == width) | (box[:, 3] == height)
    # what leaves the image may hang together outside, but a slit is a slit there too
    joined = hidden | (edge[part] & edge[other] & (gap > SLIT) & (gap <= _diameter(pieces.area[other])))
    begins = np.flatnonzero(np.diff(owner[part], prepend=-1))
    for a, b in zip(begins.tolist(), [*begins[1:].tolist(), len(part)], strict=True):
        groups = _gather(pieces.area, part[a:b], other[a:b], gap[a:b], joined[a:b])
        if len(groups) > 1:
            yield int(owner[part[a]]), groups


def _links(pieces: Masks, owner: Int, real: Int, cover: Masks) -> tuple[Int, Int, Float, Bool]:
    """Each part but its mask's largest, the larger part nearest to it, its distance, and whether others lie between."""
    part, other, lines = [], [], []
    order = real[np.lexsort((-pieces.area[real], owner[real]))]
    begins = np.flatnonzero(np.diff(owner[order], prepend=-1))
    for a, b in zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True):
        chosen = order[a : min(b, a + MOST)].tolist()
        runs = [np.arange(pieces.offsets[p], pieces.offsets[p + 1]) for p in chosen]
        for k in range(1, len(chosen)):
            begin, end, run = crossings(pieces, runs[k], np.concatenate(runs[:k]))
            least = int(((end - begin) ** 2).sum(1).argmin())
            part.append(chosen[k])
            other.append(int(np.searchsorted(pieces.offsets, run[least], "right")) - 1)
            nearest = np.concatenate([begin[least], end[least]])[None]
            lines.append(np.concatenate([nearest, _across(pieces, runs[k], np.concatenate(runs[:k]))]))
    flat = np.concatenate(lines)
    between, bare = bare_on_lines(cover, flat[:, :2], flat[:, 2:])
    first = np.cumsum([0, *(len(some) for some in lines[:-1])])
    gap = np.hypot(*(flat[first, 2:] - flat[first, :2]).T)
    # labels leave a pixel free on either side of what lies over an object at times
    over = (bare[first] <= 2) & (between[first] - bare[first] > bare[first])
    closed = np.add.reduceat((bare == 0).astype(np.float64), first)
    hidden = (bare[first] == 0) | over | (closed >= CLOSED * np.array([len(some) for some in lines]))
    return np.array(part, np.int64), np.array(other, np.int64), gap, hidden


def _across(pieces: Masks, small: Int, large: Int) -> Int:
    """Lines from places all over one part to places all over others: pixels x, y at both ends."""
    few, many = (runs[np.linspace(0, len(runs) - 1, min(len(runs), n)).astype(np.int64)] for runs, n in (
        (small, LINES[0]), (large, LINES[1])
    ))  # fmt: skip
    ends = [np.stack([pieces.x[r], (pieces.y0[r] + pieces.y1[r]) // 2], 1) for r in (few, many)]
    return np.concatenate([np.repeat(ends[0], len(many), 0), np.tile(ends[1], (len(few), 1))], 1).astype(np.int64)


def _gather(area: Int, part: Int, other: Int, gap: Float, joined: Bool) -> list[_Group]:
    """The groups that are left when joined parts are one; a part's link leads to a larger one, seen before it."""
    root = {int(other[0]): int(other[0])}
    total = Counter({int(other[0]): int(area[other[0]])})
    apart = {int(other[0]): 0.0}
    for p, o, g, j in zip(part.tolist(), other.tolist(), gap.tolist(), joined.tolist(), strict=True):
        root[p] = root[o] if j else p
        total[root[p]] += int(area[p])
        if not j:
            apart[p] = g - 1
    main, *rest = total.most_common()
    return [_Group(main[1], 0.0), *(_Group(n, apart[p] or apart[main[0]]) for p, n in rest)]


def _judge(labelled: Labelled, i: int, groups: Sequence[_Group], name: str) -> Iterator[Finding]:
    main, *rest = groups
    far = [g for g in rest if g.area >= WORTHY * main.area and g.gap >= FAR * _diameter(g.area)]
    if far:
        ratio = max(g.gap / float(_diameter(g.area)) for g in far)
        sizes = " and ".join(f"{g.area:,}" for g in (main, *far[:3]))
        yield Finding(
            "far_parts",
            f"{name}: parts of {sizes} pixels lie {max(g.gap for g in far):.0f} pixels apart under one id",
            ratio / (0.5 + ratio),
            labelled.place(i),
        )
    loose = [g for g in rest if g not in far]
    if loose:
        largest = max(g.area for g in loose)
        parts = f"{len(loose)} parts" if len(loose) > 1 else "a part"
        yield Finding(
            "fragment",
            f"{name}: {parts} of {largest:,} pixels, {largest / main.area:.1%} of the main one, "
            f"{'lie' if len(loose) > 1 else 'lies'} {min(g.gap for g in loose):.0f} pixels off it",
            0.9 - 0.4 * min(1.0, largest / main.area),
            labelled.place(i),
        )


def _diameter(area: Int | int) -> Float:
    """Of the disc of the same area."""
    return np.sqrt(np.asarray(area) * (4 / np.pi))


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    total = np.sum([k.counts for k in kept], axis=0) if kept else np.zeros(0)
    found = [f for k in kept for f in k.found]
    number = Counter((label, f.kind) for label, f in found)
    for label, finding in found:
        share = number[label, finding.kind] / max(int(total[label]), settings.few)
        if share < ORDINARY:
            yield replace(finding, sure=finding.sure * (1 - share / ORDINARY / 2))
    for (label, kind), count in number.items():
        if count < ORDINARY * max(int(total[label]), settings.few):
            continue
        first = next(f for at, f in found if (at, f.kind) == (label, kind))
        message = f"{facts.classes[label]}: {count:,} of {int(total[label]):,} masks have parts apart, as this one has"
        yield replace(first, message=message, sure=0.1)


# ---------------------------------------------------------------- dust, and pieces of a neighbour


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    yield from _dust(labelled, settings)
    yield from _pieces(labelled, settings)


def _dust(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    instances = labelled.instances
    area = instances.masks.area
    for i in np.flatnonzero((area > 0) & (area <= settings.dust) & ~instances.crowd).tolist():
        name = instances.classes[instances.labels[i]]
        size = "1 pixel" if area[i] == 1 else f"{area[i]} pixels"
        yield Finding("speck", f"{name}: the whole mask has {size}", 0.9, labelled.place(i), repair="drop")
    if not (instances.masks.parts[area > settings.dust] > 1).any():
        return
    pieces, owner = parts_of(instances.masks)
    small = (pieces.area <= settings.dust) & (area[owner] > settings.dust) & ~instances.crowd[owner]
    number = np.bincount(owner[small], minlength=len(instances))
    pixels = np.bincount(owner[small], weights=pieces.area[small], minlength=len(instances)).astype(np.int64)
    for i in np.flatnonzero((number > 0) & (number < np.bincount(owner, minlength=len(instances)))).tolist():
        name = instances.classes[instances.labels[i]]
        specks = "a loose speck" if number[i] == 1 else f"{number[i]} loose specks"
        size = "1 pixel" if pixels[i] == 1 else f"{pixels[i]} pixels"
        yield Finding(
            "dust",
            f"{name}: {specks} of {size} in all, beside {area[i] - pixels[i]:,}",
            0.7,
            labelled.place(i),
            repair="dust",
        )


def _pieces(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    """Small masks that sit on a larger one of their class as if they had been cut off it."""
    instances = labelled.instances
    masks, area = instances.masks, instances.masks.area
    small = np.flatnonzero((area > settings.dust) & (area <= PIECE * area.max(initial=0)) & ~instances.crowd)
    if not len(small):
        return
    wide = grown(masks[small])
    rim = wide.area - area[small]
    touched = (intersections(wide, masks) - intersections(masks[small], masks)).tocoo()
    a, b, share = touched.row, touched.col, touched.data / rim[touched.row]
    right = (share >= RIM) & (area[small[a]] <= PIECE * area[b]) & ~instances.crowd[b]
    right &= instances.labels[small[a]] == instances.labels[b]
    a, b, share = small[a[right]], b[right].astype(np.int64), share[right]
    if not len(a):
        return
    notch, sunk = _fit(masks, a, b)
    for k in np.flatnonzero((notch <= NOTCH) & (sunk <= SUNK)).tolist():
        name = instances.classes[instances.labels[a[k]]]
        yield Finding(
            "cut_off",
            f"{name}: a mask of {area[a[k]]:,} pixels sits on one of {area[b[k]]:,} with {share[k]:.0%} of its rim, "
            "and completes its outline",
            float(np.clip(share[k] + NOTCH - notch[k], 0.05, 0.9)),
            labelled.place(int(a[k]), int(b[k])),
        )


def _fit(masks: Masks, piece: Int, body: Int) -> tuple[Float, Float]:
    """How much hollow a piece adds to its body, and how much of it lies within the body's hull: shares of the piece."""
    count = len(piece)
    pairs = Masks.concatenate([masks[piece], masks[body]]).merge(np.tile(np.arange(count), 2), count)
    cover, area = masks.union(), masks.area[piece]
    alone = hulls(masks[body])
    added = bare_pixels(hulls(pairs), cover) - bare_pixels(alone, cover)
    sunk = intersections(masks[piece], alone).diagonal()
    return added / area, sunk / area


CHECK = Check(
    summary="Masks of several parts: two objects under one id, fragments, dust; pieces cut off a neighbour.",
    kinds=(
        Kind(
            "far_parts",
            "warning",
            "Parts far apart under one id, with open ground between them: two objects, merged.",
            "Give each part an id of its own, unless one object does lie in pieces.",
        ),
        Kind(
            "fragment",
            "warning",
            "Parts off the main one, small or near it, with open ground between: a slip of the brush, or a torn mask.",
            "Erase what is loose, or close the gap.",
        ),
        Kind(
            "cut_off",
            "warning",
            "A small mask that sits on a larger one of its class and completes its outline: one object in two pieces.",
            "Join the two, unless they are two objects.",
        ),
        Kind(
            "speck",
            "warning",
            "A whole mask of at most dust pixels.",
            "Delete it.",
        ),
        Kind(
            "dust",
            "note",
            "Loose parts of at most dust pixels.",
            "Erase them.",
        ),
    ),
    look=_look,
    remember=_remember,
    conclude=_conclude,
)
