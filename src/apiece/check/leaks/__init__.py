"""Images that are in the set more than once: across splits, where they spoil every number, and within one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from apiece._arrays import Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check.leaks._series import Series, judged
from apiece.core.image import Image
from apiece.errors import ImageError
from apiece.images import read_image
from apiece.ops.image_hash import TURNS, Pairs, Print, near_pairs, print_of

__all__ = ["CHECK", "copies"]

_Seen = tuple[Place, Print]


def _remember(labelled: Labelled, settings: Settings) -> _Seen | None:
    blank = labelled.data is not None and not labelled.data.any()  # transparent everywhere, as many others may be
    return None if labelled.image is None or blank else (labelled.place(), print_of(labelled.image))


@dataclass(frozen=True, eq=False)
class _Groups:
    """Images of the same pixels as one group, and which groups look alike."""

    places: Sequence[Place]  # every image, in order
    group: Int  # (images,) group of each
    split: Int  # (images,) split of each, in the order in which splits first occur
    first: Int  # (groups, splits) the first image of each group in each split, or -1
    pairs: Pairs  # groups that are copies of each other
    series: Sequence[Series]  # groups that look alike as photos of one part do


def _conclude(remembered: Sequence[_Seen], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if len(remembered) < 2:
        return
    groups = _group(remembered, facts, settings.near)
    yield from _across(groups)
    yield from _within(groups)
    yield from _alike(groups)


def _group(remembered: Sequence[_Seen], facts: SetFacts, near: int) -> _Groups:
    places, prints = zip(*remembered, strict=True)
    head, group, pairs, series = copies(prints, near, lambda k: _read(places[k], facts))
    order = {name: k for k, name in enumerate(dict.fromkeys([*facts.refs, *(p.split for p in places)]))}
    split = np.array([order[p.split] for p in places], np.int64)
    first = np.full((len(head), len(order)), -1, np.int64)
    # where an index occurs twice the last value stays: reversed, the first image
    back = np.arange(len(places))[::-1]
    first[group[back], split[back]] = back
    return _Groups(places, group, split, first, pairs, series)


def copies(
    prints: Sequence[Print], near: int, read: Callable[[int], Image | None]
) -> tuple[Int, Int, Pairs, Sequence[Series]]:
    """Find images that are copies of each other; images of a series that only look alike are none.

    Parameters
    ----------
    prints : one of each image.
    near : most bits in which the hashes of two near-duplicates differ.
    read : reads an image once more, by its position among the prints; None if it cannot.

    Returns
    -------
    The first image of each group of the same pixels; the group of each image; groups that are copies of each other;
    groups that look alike as photos of one part do.
    """
    _, head, group = np.unique([p.digest.hex() for p in prints], return_index=True, return_inverse=True)
    own = [prints[k] for k in head]
    pairs, series = judged(own, near_pairs(own, near), lambda k: read(int(head[k])))
    return head, group, pairs, series


def _read(place: Place, facts: SetFacts) -> Image | None:
    refs = facts.refs[place.split]
    try:
        return read_image(refs[place.index].path, page=refs[place.index].page) if place.index is not None else None
    except (ImageError, IndexError):  # pixels that are not from a file
        return None


def _across(groups: _Groups) -> Iterator[Finding]:
    """Yield a finding for each image outside the first split that an earlier split has too."""
    pairs = groups.pairs
    both = np.concatenate([pairs.first, pairs.second]), np.concatenate([pairs.second, pairs.first])
    order = np.lexsort((-np.tile(pairs.likeness, 2), both[0]))
    mine, other = both[0][order], both[1][order]
    which = np.tile(np.arange(len(pairs.first)), 2)[order]
    begin, end = (np.searchsorted(mine, groups.group, side) for side in ("left", "right"))
    earlier = [(groups.first[:, :k] >= 0).any(axis=1) for k in range(groups.first.shape[1])]
    for i, (g, k) in enumerate(zip(groups.group.tolist(), groups.split.tolist(), strict=True)):
        near = slice(begin[i], end[i])
        leaking = earlier[k][other[near]]
        same = bool(earlier[k][g])
        if not same and not leaking.any():
            continue
        alike = np.concatenate([[g] if same else [], other[near][leaking]]).astype(np.int64)
        found = groups.first[alike, :k]
        others = tuple(groups.places[j] for j in found[found >= 0].tolist())
        likeness, how = (1.0, "the same pixels") if same else _how(pairs, int(which[near][leaking][0]))
        place, twin = groups.places[i], others[0]
        also = f" and of {len(others) - 1} more" if len(others) > 1 else ""
        message = f"{place.split} image {place.image} is a copy of {twin.split} image {twin.image}{also}: {how}"
        yield Finding("leak", message, likeness, place, others)


def _how(pairs: Pairs, k: int) -> tuple[float, str]:
    likeness, turn = float(pairs.likeness[k]), TURNS[int(pairs.turn[k])][1]
    return likeness, ", ".join([*([turn] if turn else []), f"thumbnails correlate to {likeness:.3f}"])


def _within(groups: _Groups) -> Iterator[Finding]:
    """Yield a finding for all images of a split that are connected by likeness."""
    pairs = groups.pairs
    for k in range(groups.first.shape[1]):
        here = groups.first[:, k] >= 0
        both = here[pairs.first] & here[pairs.second]
        edges = (np.ones(int(both.sum()), np.int8), (pairs.first[both], pairs.second[both]))
        _, part = connected_components(sp.coo_array(edges, shape=(len(here), len(here))), directed=False)
        images = np.flatnonzero(groups.split == k)
        images = images[np.argsort(part[groups.group[images]], kind="stable")]
        cluster = part[groups.group[images]]
        weakest = np.ones(len(here))
        np.minimum.at(weakest, part[pairs.first[both]], pairs.likeness[both])
        for members in np.split(images, np.flatnonzero(np.diff(cluster)) + 1):
            if len(members) > 1:
                first, *others = (groups.places[i] for i in members.tolist())
                how = "the same pixels" if len(np.unique(groups.group[members])) == 1 else "near-duplicates"
                message = f"{first.image} is in {first.split} {len(members)} times ({how}), also as {_names(others)}"
                sure = float(weakest[part[groups.group[members[0]]]])
                yield Finding("repeated_image", message, sure, first, tuple(others))


def _alike(groups: _Groups) -> Iterator[Finding]:
    """Yield a finding for each series."""
    splits = np.arange(groups.first.shape[1])
    for one in groups.series:
        images = np.flatnonzero(np.isin(groups.group, one.members))
        first, *others = (groups.places[i] for i in images.tolist())
        counts = np.bincount(groups.split[images], minlength=len(splits))
        names = {k: groups.places[int(np.flatnonzero(groups.split == k)[0])].split for k in splits[counts > 0].tolist()}
        where = " and ".join(f"{counts[k]:,} of {name}" for k, name in names.items())
        message = (
            f"{len(images):,} images ({where}) look alike, as photos of one part or frames of one camera do: their "
            f"thumbnails correlate to {one.likeness:.3f}; copies among them are findings of their own"
        )
        yield Finding("series", message, 0.9 if len(names) > 1 else 0.3, first, tuple(others))


def _names(places: Sequence[Place]) -> str:
    names = [str(p.image) for p in places]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


CHECK = Check(
    "Images that are in the set more than once, across splits or within one.",
    (
        Kind(
            "leak",
            "error",
            "A validation or test image that an earlier split has too: the same pixels, or a near-duplicate (64-bit "
            "hashes that differ in at most `--near` bits, default 6, and like thumbnails; also mirrored and turned).",
            "Remove it from one of the two splits; what is measured on it says nothing.",
        ),
        Kind(
            "repeated_image",
            "warning",
            "Images of one split that are the same, or near-duplicates.",
            "Keep one, and see that its labels are the right ones.",
        ),
        Kind(
            "series",
            "warning",
            "More images that look alike than can be copies of one: photos of one part, frames of one camera. Copies "
            "among them are found by what differs within the series.",
            "Split by position or time (`apiece split --group`), or numbers are of objects that the model has seen.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
    needs="image",
)
