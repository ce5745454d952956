"""Masks of several parts: two objects under one id, loose fragments, dust; and pieces cut off a neighbour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apiece._arrays import Float, Int
from apiece.check._kit.shapes import bare_pixels, grown, hulls
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check.parts._links import Links, diameter, linked
from apiece.check.parts._span import Limit, Spans, limits, sample, together
from apiece.core.masks import Masks
from apiece.ops.overlap import intersections
from apiece.ops.parts import parts_of

__all__ = ["CHECK"]

FAR = 0.75
"""Gap in diameters of the smaller part from which two parts are far apart."""
WORTHY = 0.1
"""Share of the main part's pixels from which a part may be an object of its own; below it is a fragment."""
LONGER = 1.1
"""Times the length that objects of the class seldom pass, from which parts behind others are of two."""
HOLLOWER = 0.05
"""Excess over the hollow that objects of the class seldom pass, from which they are."""
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


# ---------------------------------------------------------------- several parts


@dataclass(frozen=True)
class _Group:
    """Parts that hang together: `gap` pixels from the rest of the mask, 0 for the main one."""

    area: int
    gap: float


@dataclass(frozen=True)
class _Behind:
    """Two parts of a mask, far apart, that may be one object behind others: how far they reach together."""

    label: int
    length: float
    hollow: float
    words: str
    place: Place


@dataclass(frozen=True)
class _Kept:
    """Of one image: masks per class, what was found with the class that it was found in, and how far masks reach."""

    counts: tuple[int, ...]
    found: tuple[tuple[int, Finding], ...]
    behind: tuple[_Behind, ...]
    spans: Spans | None


def _remember(labelled: Labelled, settings: Settings) -> _Kept | None:
    instances = labelled.instances
    single = ~instances.crowd
    if not single.any():
        return None
    counts = tuple(np.bincount(instances.labels[single], minlength=len(instances.classes)).tolist())
    spans = sample(instances, labelled.index, settings.dust)
    links = linked(instances, settings.dust)
    if links is None:
        return _Kept(counts, (), (), spans)
    found = []
    for i, groups in _groups(links):
        label = int(instances.labels[i])
        found += [(label, f) for f in _judge(labelled, i, groups, instances.classes[label])]
    far = {f.place.instances[0] for _, f in found if f.kind == "far_parts"}
    behind = tuple(b for b in _behind(labelled, links) if b.place.instances[0] not in far)
    return _Kept(counts, tuple(found), behind, spans)


def _groups(links: Links) -> Iterator[tuple[int, list[_Group]]]:
    """Every mask of several groups of parts, the largest group first."""
    of = links.owner[links.part]
    begins = np.flatnonzero(np.diff(of, prepend=-1))
    for a, b in zip(begins.tolist(), [*begins[1:].tolist(), len(of)], strict=True):
        groups = _gather(links, slice(a, b))
        if len(groups) > 1:
            yield int(of[a]), groups


def _behind(labelled: Labelled, links: Links) -> Iterator[_Behind]:
    """Parts with others between them that lie as far apart as two objects do."""
    instances, area = labelled.instances, links.pieces.area
    small, large = area[links.part], area[links.other]
    apart = (links.gap - 1) / diameter(small)
    some = np.flatnonzero(links.hidden & (apart >= FAR) & (small >= WORTHY * large))
    if not len(some):
        return
    pairs = links.pieces[np.concatenate([links.part[some], links.other[some]])]
    owner = links.owner[links.part[some]]
    found = together(instances, owner, pairs.merge(np.tile(np.arange(len(some)), 2), len(some)))
    for n, k in enumerate(some.tolist()):
        yield _Behind(
            int(found.label[n]),
            float(found.length[n]),
            float(found.hollow[n]),
            f"parts of {large[k]:,} and {small[k]:,} pixels lie {links.gap[k] - 1:.0f} pixels apart under one id",
            labelled.place(int(owner[n])),
        )


def _gather(links: Links, own: slice) -> list[_Group]:
    """The groups that are left of a mask when joined parts are one; its links lead to larger parts, seen before."""
    area, part, other = links.pieces.area, links.part[own], links.other[own]
    gap, joined = links.gap[own].tolist(), links.joined[own].tolist()
    root = {int(other[0]): int(other[0])}
    total = Counter({int(other[0]): int(area[other[0]])})
    apart = {int(other[0]): 0.0}
    for p, o, g, j in zip(part.tolist(), other.tolist(), gap, joined, strict=True):
        root[p] = root[o] if j else p
        total[root[p]] += int(area[p])
        if not j:
            apart[p] = g - 1
    main, *rest = total.most_common()
    return [_Group(main[1], 0.0), *(_Group(n, apart[p] or apart[main[0]]) for p, n in rest)]


def _judge(labelled: Labelled, i: int, groups: Sequence[_Group], name: str) -> Iterator[Finding]:
    main, *rest = groups
    far = [g for g in rest if g.area >= WORTHY * main.area and g.gap >= FAR * diameter(g.area)]
    if far:
        ratio = max(g.gap / float(diameter(g.area)) for g in far)
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


def _conclude(kept: Sequence[_Kept], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    total = np.sum([k.counts for k in kept], axis=0) if kept else np.zeros(0)
    known = limits([k.spans for k in kept if k.spans is not None], settings.few)
    found = [f for k in kept for f in (*k.found, *_reaching(k.behind, known, facts.classes))]
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


def _reaching(
    behind: Sequence[_Behind], known: Mapping[int, Limit], classes: Sequence[str]
) -> Iterator[tuple[int, Finding]]:
    """Parts behind others that reach further together than an object of their class; one finding for each mask."""
    named = set()
    for one in behind:
        if one.label not in known or one.place in named:
            continue
        limit = known[one.label]
        longer, hollower = one.length / limit.length, one.hollow - limit.hollow
        if longer < LONGER and hollower < HOLLOWER:
            continue
        named.add(one.place)
        reach = (
            f"{one.length:.0f} pixels long together, where {limit.length:.0f} is long"
            if longer >= LONGER
            else f"hollow together by {one.hollow:.0%}, where {limit.hollow:.0%} is much"
        )
        beyond = max(longer - 1, hollower)
        message = f"{classes[one.label]}: {one.words} behind others, {reach}"
        yield one.label, Finding("far_parts", message, beyond / (0.3 + beyond), one.place)


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
            "Parts far apart under one id, with open ground between, or behind others but reaching further than "
            "an object of the class does: two objects, merged.",
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
