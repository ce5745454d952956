"""What there is of each class, in which split, and on which images there is nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings

__all__ = ["CHECK"]

IMBALANCE = 50  # instances of the commonest class for each of a class that is outnumbered: a rule of thumb

_Seen = tuple[Place, Int, Int, bool]


def _remember(labelled: Labelled, settings: Settings) -> _Seen:
    """Keep the image, the classes on it, how often each occurs, and whether there is any instance."""
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
    yield from _unlabelled([(place, some) for place, *_, some in remembered])


def _few(total: Int, classes: Sequence[str], splits: Sequence[str], few: int) -> Iterator[Finding]:
    for k in np.flatnonzero(total < few).tolist():
        have = f"{total[k]} instances" if total[k] != 1 else "1 instance"
        sure = 1 - float(total[k]) / few
        yield Finding("few_instances", f"{classes[k]}: {have} in the whole set", sure, Place(splits[0]))


def _outnumbered(total: Int, classes: Sequence[str], splits: Sequence[str]) -> Iterator[Finding]:
    """Report all classes that are outnumbered in one finding, the rarest first."""
    most = int(total.max(initial=0))
    rare = np.flatnonzero((total > 0) & (total * IMBALANCE < most))
    if not len(rare):
        return
    rare = rare[np.argsort(total[rare], kind="stable")]
    least = float(total[rare[0]])
    named = ", ".join(f"{classes[k]} {total[k]:,}" for k in rare[:5].tolist())
    more = f" and {len(rare) - 5} more" if len(rare) > 5 else ""
    message = f"{classes[int(total.argmax())]} has {most:,} instances, {most / least:,.0f} times as many as the rarest"
    yield Finding("imbalance", f"{message}: {named}{more}", 1 - least * IMBALANCE / most, Place(splits[0]))


def _one_split(counts: Int, classes: Sequence[str], splits: Sequence[str]) -> Iterator[Finding]:
    share = counts.sum(axis=1) / max(int(counts.sum()), 1)
    held = counts > 0
    for k in np.flatnonzero(held.sum(axis=0) == 1).tolist():
        here = int(held[:, k].argmax())
        n, split = int(counts[here, k]), splits[here]
        others = " or ".join(s for s in splits if s != split)
        # how unlikely it is that all lie here, if instances had been dealt out at random
        sure = 1 - float(share[here]) ** n
        means = "a model can learn it, but not be judged on it" if split == "train" else "a model never learns it"
        message = f"{classes[k]}: all {n:,} instances are in {split}, none in {others}; {means}"
        yield Finding("one_split", message, sure, Place(split))


def _unlabelled(images: Sequence[tuple[Place, bool]]) -> Iterator[Finding]:
    total = Counter(place.split for place, _ in images)
    empty = Counter(place.split for place, some in images if not some)
    for place, some in images:
        if not some:
            n, of = empty[place.split], total[place.split]
            message = f"no instance on it, like {n:,} of {of:,} images in {place.split}"
            # where many images are empty, that is what they are for
            yield Finding("unlabelled_image", message, 1 - n / of, place)


CHECK = Check(
    "Classes with too few instances, in one split only or outnumbered; images without labels.",
    (
        Kind(
            "few_instances",
            "warning",
            "A class with fewer than `--few` instances (default 10) in all splits together, without crowds.",
            "Label more of it, join it to another class, or take it off the list of classes.",
        ),
        Kind(
            "one_split",
            "warning",
            "A class whose instances are all in one split.",
            "Split again, in even shares of every class: `apiece split`.",
        ),
        Kind(
            "unlabelled_image",
            "warning",
            "An image without an instance; the fewer such images, the surer it is that somebody forgot to label it.",
            "Label it, or keep it if there is nothing on it.",
        ),
        Kind(
            "imbalance",
            "note",
            f"Classes that the commonest class outnumbers {IMBALANCE} to 1.",
            "Label more of the rare ones, or train with `balance=both`.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
