"""Masks of several parts: two objects under one id, loose fragments, dust; and pieces cut off a neighbour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apiece._arrays import Float, Int
from apiece.check._kit.shapes import AT_ONCE, bare_pixels, dilated, hulls
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check.parts._links import Links, diameter, linked
from apiece.check.parts._span import Limit, Spans, limits, sample, together
from apiece.core.masks import Masks
from apiece.core.run_overlap import shared
from apiece.core.runs import chunks
from apiece.core.set_operations import pairwise_union
from apiece.ops.overlap import intersections
from apiece.ops.parts import parts_of

__all__ = ["CHECK"]

FAR = 0.75  # gap in diameters of the smaller part from which two parts are far apart
WORTHY = 0.1  # share of the main part's pixels from which a part may be an object; a smaller part is a fragment
LONGER = 1.1  # factor on the length that objects of the class seldom exceed, from which parts behind others are two
HOLLOWER = 0.05  # the same as an excess over the hollow that objects of the class seldom exceed
ORDINARY = 0.25  # share of the masks of a class from which several parts are its nature, not a mistake
PIECE = 0.3  # largest piece, as a share of the pixels of the neighbour that it may have been cut off from
RIM = 0.25  # smallest share of a piece's rim that lies in that neighbour
SUNK = 0.25  # largest share of a piece within the neighbour's hull; a deeper one lies on top of the neighbour
NOTCH = 0.25  # largest hollow that a piece may add to the neighbour's, as a share of the piece's pixels


@dataclass(frozen=True)
class _Group:
    """Parts that belong together, ``gap`` pixels from the rest of the mask; 0 for the main group."""

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
    """Of one image: masks per class, findings with their class, parts behind others, and how far masks reach."""

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
    found = [(int(instances.labels[i]), f) for i, groups in _groups(links) for f in _judge(labelled, i, groups)]
    far = {f.place.instances[0] for _, f in found if f.kind == "far_parts"}
    behind = tuple(b for b in _behind(labelled, links) if b.place.instances[0] not in far)
    return _Kept(counts, tuple(found), behind, spans)


def _groups(links: Links) -> Iterator[tuple[int, list[_Group]]]:
    """Yield every mask of several groups of parts, with its groups, the largest first."""
    of = links.owner[links.part]
    for rows in np.split(np.arange(len(of)), np.flatnonzero(np.diff(of)) + 1):
        groups = _gather(links, rows)
        if len(groups) > 1:
            yield int(of[rows[0]]), groups


def _gather(links: Links, own: Int) -> list[_Group]:
    """Return the groups of a mask; each link of it leads to a larger part, which comes before."""
    area, main_part = links.pieces.area, int(links.other[own[0]])
    root, apart, total = {main_part: main_part}, {main_part: 0.0}, Counter({main_part: int(area[main_part])})
    columns = (links.part, links.other, links.gap, links.joined)
    for part, other, gap, joined in zip(*(column[own].tolist() for column in columns), strict=True):
        root[part] = root[other] if joined else part
        total[root[part]] += int(area[part])
        if not joined:
            apart[part] = gap - 1
    main, *rest = total.most_common()
    return [_Group(main[1], 0.0), *(_Group(n, apart[p] or apart[main[0]]) for p, n in rest)]


def _judge(labelled: Labelled, i: int, groups: Sequence[_Group]) -> Iterator[Finding]:
    name, (main, *rest) = labelled.name(i), groups
    far = [g for g in rest if g.area >= WORTHY * main.area and g.gap >= FAR * diameter(g.area)]
    if far:
        ratio = max(g.gap / float(diameter(g.area)) for g in far)
        sizes = " and ".join(f"{g.area:,}" for g in (main, *far[:3]))
        gap = max(g.gap for g in far)
        message = f"{name}: parts of {sizes} pixels lie {gap:.0f} pixels apart under one id"
        yield Finding("far_parts", message, ratio / (0.5 + ratio), labelled.place(i))
    loose = [g for g in rest if g not in far]
    if loose:
        largest = max(g.area for g in loose)
        parts = f"{len(loose)} parts" if len(loose) > 1 else "a part"
        message = (
            f"{name}: {parts} of {largest:,} pixels, {largest / main.area:.1%} of the main part, "
            f"{'lie' if len(loose) > 1 else 'lies'} {min(g.gap for g in loose):.0f} pixels off it"
        )
        yield Finding("fragment", message, 0.9 - 0.4 * min(1.0, largest / main.area), labelled.place(i))


def _behind(labelled: Labelled, links: Links) -> Iterator[_Behind]:
    """Yield pairs of parts with others between them that lie as far apart as two objects do."""
    instances, area = labelled.instances, links.pieces.area
    small, large = area[links.part], area[links.other]
    apart = (links.gap - 1) / diameter(small)
    some = np.flatnonzero(links.hidden & (apart >= FAR) & (small >= WORTHY * large))
    if not len(some):
        return
    pairs = pairwise_union(links.pieces[links.part[some]], links.pieces[links.other[some]])
    owner = links.owner[links.part[some]]
    found = together(instances, owner, pairs)
    spans = zip(*(column.tolist() for column in (found.label, found.length, found.hollow)), strict=True)
    for k, i, (label, length, hollow) in zip(some.tolist(), owner.tolist(), spans, strict=True):
        gap = links.gap[k] - 1
        words = f"parts of {large[k]:,} and {small[k]:,} pixels lie {gap:.0f} pixels apart under one id"
        yield _Behind(label, length, hollow, words, labelled.place(i))


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
        message = f"{facts.classes[label]}: {count:,} of {int(total[label]):,} masks have parts apart, like this one"
        yield replace(first, message=message, sure=0.1)


def _reaching(
    behind: Sequence[_Behind], known: Mapping[int, Limit], classes: Sequence[str]
) -> Iterator[tuple[int, Finding]]:
    """Yield (class, finding) of parts behind others that reach further together than an object; one for each mask."""
    named = set()
    for one in behind:
        if one.label not in known or one.place in named:
            continue
        limit = known[one.label]
        longer, hollower = one.length / limit.length, one.hollow - limit.hollow
        if longer < LONGER and hollower < HOLLOWER:
            continue
        named.add(one.place)
        reach = f"hollow together by {one.hollow:.0%}, where {limit.hollow:.0%} is much"
        if longer >= LONGER:
            reach = f"{one.length:.0f} pixels long together, where {limit.length:.0f} is long"
        beyond = max(longer - 1, hollower)
        message = f"{classes[one.label]}: {one.words} behind others, {reach}"
        yield one.label, Finding("far_parts", message, beyond / (0.3 + beyond), one.place)


def _look(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    yield from _dust(labelled, settings)
    yield from _pieces(labelled, settings)


def _dust(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    masks, crowd = labelled.instances.masks, labelled.instances.crowd
    area = masks.area
    for i in np.flatnonzero((area > 0) & (area <= settings.dust) & ~crowd).tolist():
        message = f"{labelled.name(i)}: the whole mask has {_pixels(area[i])}"
        yield Finding("speck", message, 0.9, labelled.place(i), repair="drop")
    if not (masks.parts[area > settings.dust] > 1).any():
        return
    pieces, owner = parts_of(masks)
    small = (pieces.area <= settings.dust) & (area[owner] > settings.dust) & ~crowd[owner]
    number = np.bincount(owner[small], minlength=len(masks))
    pixels = np.bincount(owner[small], weights=pieces.area[small], minlength=len(masks)).astype(np.int64)
    for i in np.flatnonzero((number > 0) & (number < np.bincount(owner, minlength=len(masks)))).tolist():
        specks = "a loose speck" if number[i] == 1 else f"{number[i]} loose specks"
        message = f"{labelled.name(i)}: {specks} of {_pixels(pixels[i])} in all, beside {area[i] - pixels[i]:,}"
        yield Finding("dust", message, 0.7, labelled.place(i), repair="dust")


def _pixels(number: int) -> str:
    return "1 pixel" if number == 1 else f"{number} pixels"


def _pieces(labelled: Labelled, settings: Settings) -> Iterator[Finding]:
    """Find small masks on the rim of a larger one of their class, as if they had been cut off it."""
    instances = labelled.instances
    masks, area = instances.masks, instances.masks.area
    small = np.flatnonzero((area > settings.dust) & (area <= PIECE * area.max(initial=0)) & ~instances.crowd)
    if not len(small):
        return
    wide = dilated(masks[small])
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
        piece, body = int(a[k]), int(b[k])
        message = (
            f"{labelled.name(piece)}: a mask of {area[piece]:,} pixels sits on one of {area[body]:,} with "
            f"{share[k]:.0%} of its rim, and completes its outline"
        )
        sure = float(np.clip(share[k] + NOTCH - notch[k], 0.05, 0.9))
        yield Finding("cut_off", message, sure, labelled.place(piece, body))


def _fit(masks: Masks, piece: Int, body: Int) -> tuple[Float, Float]:
    """Return (hollow that a piece adds to its body, its part within the body's hull), as shares of the piece."""
    pairs = pairwise_union(masks[piece], masks[body])
    cover, area = masks.union(), masks.area[piece]
    added = bare_pixels(pairs, cover) - bare_pixels(masks[body], cover)
    sunk = np.zeros(len(piece), np.int64)
    for lo, hi in chunks(np.diff(masks.offsets)[body], AT_ONCE):
        each = np.arange(hi - lo)
        sunk[lo:hi] = shared(masks[piece[lo:hi]].runs, each, hulls(masks[body[lo:hi]]).runs, each)
    return added / area, sunk / area


CHECK = Check(
    "Masks of several parts: two objects under one id, fragments, dust; pieces cut off a neighbour.",
    (
        Kind(
            "far_parts",
            "warning",
            "Parts far apart under one id: with open ground between them, or behind others but reaching further than "
            "one object of the class does. Two objects, merged.",
            "Give each part an id of its own, unless one object does lie in pieces.",
        ),
        Kind(
            "fragment",
            "warning",
            "Parts off the main one, small or near it, with open ground between: a slip of the brush, or a torn mask.",
            "Erase the loose parts, or close the gap.",
        ),
        Kind(
            "cut_off",
            "warning",
            "A small mask that sits on a larger one of its class and completes its outline: one object in two pieces.",
            "Join the two, unless they are two objects.",
        ),
        Kind("speck", "warning", "A whole mask of at most `--dust` pixels (default 4).", "Delete it."),
        Kind("dust", "note", "Loose parts of at most `--dust` pixels (default 4).", "Erase them."),
    ),
    look=_look,
    remember=_remember,
    conclude=_conclude,
)
