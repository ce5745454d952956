"""What there is of each class, in which split, and on which images there is nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings

__all__ = ["CHECK"]


IMBALANCE = 50
"""How many times as many instances the commonest class has before a class is called outnumbered: a rule of thumb."""

_Seen = tuple[Place, Int, Int, bool]


def _remember(labelled: Labelled, settings: Settings) -> _Seen:
    """The image, the classes on it and how often; whether there is anything at all."""
    instances = labelled.instances
    classes, count = np.unique(instances.labels[~instances.crowd], return_counts=True)
    return labelled.place(), classes, count, len(instances) > 0


def _conclude(remembered: Sequence[_Seen], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not remembered:
        return
    splits = list(dict.fromkeys([*facts.refs, *(place.split for place, *_ in remembered)]))
    counts = np.zeros((len(splits), len(facts.classes)), np.int64)
    for place, classes, count, _ in remembered:
        counts[splits.index(place.split), classes] += count
    yield from _few(counts.sum(axis=0), facts.classes, splits, settings.few)
    yield from _outnumbered(counts.sum(axis=0), facts.classes, splits)
    if len(splits) > 1:
        yield from _one_split(counts, facts.classes, splits)
    yield from _unlabelled(remembered, splits)


def _few(total: Int, classes: Sequence[str], splits: Sequence[str], few: int) -> Iterator[Finding]:
    for k in np.flatnonzero(total < few).tolist():
        have = f"{total[k]} instances" if total[k] != 1 else "1 instance"
        sure = 1 - float(total[k]) / few
        yield Finding("few_instances", f"{classes[k]}: {have} in the whole set", sure, Place(splits[0]))


def _outnumbered(total: Int, classes: Sequence[str], splits: Sequence[str]) -> Iterator[Finding]:
    """One finding for all classes that are outnumbered, the rarest first."""
    most = int(total.max(initial=0))
    rare = np.flatnonzero((total > 0) & (total * IMBALANCE < most))
    if not len(rare):
        return
    rare = rare[np.argsort(total[rare], kind="stable")]
    told = ", ".join(f"{classes[k]} {total[k]:,}" for k in rare[:5].tolist())
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    common = int(total.argmax())
    yield Finding(
        "imbalance",
        f"{classes[common]} has {most:,} instances, {most / total[rare[0]]:,.0f} times as many as the rarest: "
        f"{told}{more}",
        1 - float(total[rare[0]]) * IMBALANCE / most,
        Place(splits[0]),
    )


def _one_split(counts: Int, classes: Sequence[str], splits: Sequence[str]) -> Iterator[Finding]:
    share = counts.sum(axis=1) / max(int(counts.sum()), 1)
    held = counts > 0
    for k in np.flatnonzero(held.sum(axis=0) == 1).tolist():
        here = int(held[:, k].argmax())
        n = int(counts[here, k])
        others = [s for s in range(len(splits)) if s != here]
        # how unlikely it is that all came to lie here, had instances been dealt out at random
        sure = 1 - float(share[here]) ** n
        meaning = "it can be learned, not judged" if splits[here] == "train" else "it is judged, and was never learned"
        yield Finding(
            "one_split",
            f"{classes[k]}: all {n:,} instances are in {splits[here]}, none in "
            f"{' or '.join(splits[s] for s in others)}; {meaning}",
            sure,
            Place(splits[here]),
        )


def _unlabelled(remembered: Sequence[_Seen], splits: Sequence[str]) -> Iterator[Finding]:
    images = dict.fromkeys(splits, 0)
    bare = dict.fromkeys(splits, 0)
    for place, _, _, some in remembered:
        images[place.split] += 1
        bare[place.split] += not some
    for place, _, _, some in remembered:
        if not some:
            n, of = bare[place.split], images[place.split]
            # where many images have nothing on them, that is what they are for
            yield Finding(
                "unlabelled_image",
                f"no instance on it, as on {n:,} of {of:,} images in {place.split}",
                1 - n / of,
                place,
            )


CHECK = Check(
    summary="Classes with too few instances, in one split only or outnumbered; images without labels.",
    kinds=(
        Kind(
            "few_instances",
            "warning",
            "A class with fewer than few instances in all splits together, crowds not counted.",
            "Label more of it, join it to another class, or take it off the list of classes.",
        ),
        Kind(
            "one_split",
            "warning",
            "A class all of whose instances are in one split.",
            "Split again, in even shares of every class: apiece split.",
        ),
        Kind(
            "unlabelled_image",
            "warning",
            "An image without an instance; the fewer there are of them, the surer that it was forgotten.",
            "Label it, or keep it if there is nothing on it.",
        ),
        Kind(
            "imbalance",
            "note",
            f"Classes that the commonest outnumbers {IMBALANCE} to 1.",
            "Label more of the rare ones, or train with balance=both.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
