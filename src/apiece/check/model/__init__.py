"""Labels that a model contradicts: missing, spurious, of another class, merged, split, loose.

What the model says is weighed by how it stands to the rest of the labels, class by class. Its scores mean what they
turn out to mean here: a prediction is confident from the score at which predictions and labels agree best (F1 at IoU
0.5), and the chance that it is right is how often predictions of its score agree with a label (isotonic regression).
So it does not matter whether a model is modest or boastful; that it errs in some places and labels in others does. Nor
is a class doubted because a model that mixes up just these two contradicts it. The predictions have to come from a
model that did not learn from these labels; see `apiece.training.folds`.

Northcutt, Jiang and Chuang 2021, *Confident Learning* (JAIR 70), do likewise for images with one label each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.check.contract import Check, Finding, Kind, Labelled, SetFacts, Settings
from apiece.check.model._coverage import Coverage, Whole, coverage_of, join
from apiece.check.model._score_meaning import ENOUGH, MATCH, Trust, best_of_each, trust_of

__all__ = ["CHECK"]


LIKELY = 0.5
"""Least chance of being right that is reported."""
LACKING = 0.4
"""The same for a missing label: predictions of objects that lack one count as wrong, so the true chance is higher."""
UNSEEN = 0.2
"""Most of a spurious label's pixels that predictions cover."""
MISTAKES = 0.05
"""Share of labels supposed to be spurious when an unseen one is weighed against the objects that the model misses."""
MISNAMED = 0.15
"""Share of labels supposed to have a wrong class where a contradiction is weighed against the model's confusions."""
INSIDE = 0.6
"""Share of a part's pixels inside the whole, where one mask covers several of the other side."""
PART = (0.1, 0.85)
"""Share of the whole that a part has."""
FILLED = 0.6
"""Share of the whole that its parts cover together."""
FITTING = (0.25, 0.8)
"""IoU, and share of the smaller in the larger, from which outlines of a label and a prediction that match nothing else
are compared: a loose outline around a small or thin object is not within `MATCH`."""
ELSEWHERE = 0.15
"""Most of a prediction under other labels, where its outline is compared with one of them."""
STRAY = (1.0, 4.0)
"""Pixels that an outline lies off on average, and robust standard deviations above what is usual for its size, from
which it is loose."""
EXACT = 0.25
"""Least standard deviation of outlines, in pixels, that is taken as usual."""
_WINDOW = 50
"""Labels on either side, ordered by area, that are called alike in size."""


def _remember(labelled: Labelled, settings: Settings) -> Coverage | None:
    return coverage_of(labelled)


def _conclude(remembered: Sequence[Coverage], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not remembered:
        return
    whole = join(remembered)
    trust = trust_of(whole, len(facts.classes))
    yield from _missing(whole, trust, facts.classes)
    yield from _spurious(whole, facts.classes)
    yield from _swapped(whole, trust, facts.classes)
    told: set[int] = set()
    yield from _merged(whole, trust, facts.classes, told)
    yield from _split(whole, trust, facts.classes, told)
    yield from _loose(whole, trust, facts.classes, told)


def _missing(whole: Whole, trust: Trust, classes: Sequence[str]) -> Iterator[Finding]:
    found = whole.predictions
    for p in np.flatnonzero(found.apart & trust.confident & (trust.chance >= LACKING)).tolist():
        name = classes[found.label[p]]
        yield Finding(
            "missing_label",
            f"{name}: found with score {found.score[p]:.2f} ({_in_words(trust.chance[p])}) where no label is",
            float(trust.chance[p]),
            whole.place([], found.box[p], int(whole.predicted_image[p])),
            predicted=whole.rows([p]),
        )


def _spurious(whole: Whole, classes: Sequence[str]) -> Iterator[Finding]:
    labels = whole.labels
    seen = labels.seen > UNSEEN
    usual = _seen_alike(labels.label, labels.area, seen)
    there = np.bincount(whole.label_image, seen, len(whole.images))
    count = np.bincount(whole.label_image, minlength=len(whole.images))
    # on an image that the model makes nothing of, it says nothing of a single label
    here = ((there + 1) / (count + 1))[whole.label_image]
    for i in np.flatnonzero(~seen & (np.minimum(usual, here) >= LIKELY)).tolist():
        yield Finding(
            "spurious_label",
            f"{classes[labels.label[i]]} of {labels.area[i]:,.0f} pixels: no prediction of any score covers it, and "
            f"{usual[i]:.0%} of those of its size are covered",
            # a model that sees all but one in a hundred has seldom missed this one
            float(here[i] * MISTAKES / (MISTAKES + 1 - usual[i])),
            whole.place([i]),
        )


def _seen_alike(label: Int, area: Float, seen: Bool) -> Float:
    """Share of seen labels among those of the same class that are alike in size."""
    order = np.lexsort((area, label))
    begin, end = (np.searchsorted(label[order], label[order], side) for side in ("left", "right"))
    place = np.arange(len(order))
    low, high = np.maximum(place - _WINDOW, begin), np.minimum(place + _WINDOW + 1, end)
    running = np.concatenate([[0], np.cumsum(seen[order])])
    share = np.empty(len(order))
    share[order] = (running[high] - running[low]) / (high - low)
    return share


def _swapped(whole: Whole, trust: Trust, classes: Sequence[str]) -> Iterator[Finding]:
    good = whole.iou >= MATCH
    own = np.zeros(len(whole.labels))
    mine = good & whole.same
    np.maximum.at(own, whole.label[mine], trust.chance[whole.predicted[mine]])
    other = np.flatnonzero(good & ~whole.same & trust.confident[whole.predicted])
    other = best_of_each(whole.label[other], trust.chance[whole.predicted[other]], other)
    found = whole.predictions
    for k in other.tolist():
        i, p = int(whole.label[k]), int(whole.predicted[k])
        labelled, name = whole.labels.label[i], classes[found.label[p]]
        mixed = float(trust.mixed[labelled, found.label[p]] * (1 - trust.named[p]))
        # labels are wrong as often in any way; a model that seldom mixes up these two is not wrong here
        sure = min(1.0, MISNAMED / (len(classes) - 1) * trust.named[p] / mixed) * float(1 - own[i])
        if sure >= LIKELY:
            yield Finding(
                "swapped_class",
                f"{classes[labelled]}: found as {name} with score {found.score[p]:.2f} and IoU {whole.iou[k]:.2f}; the "
                f"label under such a prediction is {classes[labelled]} in {mixed:.1%} of all cases",
                sure,
                whole.place([i]),
                predicted=whole.rows([p]),
            )


def _groups(owner: Int, rows: Int, share: Float) -> Iterator[tuple[int, Int]]:
    """Each owner of two rows or more that fill it, and these rows."""
    order = np.argsort(owner, kind="stable")
    owner, rows, share = owner[order], rows[order], share[order]
    heads = np.flatnonzero(np.append(True, np.diff(owner) != 0)[: len(owner)])
    count = np.diff(np.append(heads, len(owner)))
    filled = np.add.reduceat(share, heads) if len(heads) else share
    for head, n in zip(heads[(count > 1) & (filled >= FILLED)], count[(count > 1) & (filled >= FILLED)], strict=True):
        yield int(owner[head]), rows[head : head + n]


def _merged(whole: Whole, trust: Trust, classes: Sequence[str], told: set[int]) -> Iterator[Finding]:
    """Labels that hold several confident predictions of their class, with no better one of the whole."""
    found, labels = whole.predictions, whole.labels
    share = whole.shared / labels.area[whole.label]
    inside = whole.shared / found.area[whole.predicted] >= INSIDE
    usable = (found.alone & trust.confident)[whole.predicted]
    rows = np.flatnonzero(whole.same & usable & inside & (share >= PART[0]) & (share <= PART[1]))
    for i, pairs in _groups(whole.label[rows], rows, share[rows]):
        parts = whole.predicted[pairs].tolist()
        sure = float(np.sort(trust.chance[parts])[-2])
        if sure >= LIKELY:
            told.add(i)
            scores = ", ".join(f"{s:.2f}" for s in sorted(found.score[parts].tolist(), reverse=True)[:4])
            yield Finding(
                "merged_label",
                f"{classes[labels.label[i]]}: found as {len(parts)} objects (scores {scores})",
                sure,
                whole.place([i]),
                predicted=whole.rows(parts),
            )


def _split(whole: Whole, trust: Trust, classes: Sequence[str], told: set[int]) -> Iterator[Finding]:
    """Several labels under one confident prediction of their class, that are not found one by one."""
    found, labels = whole.predictions, whole.labels
    share = whole.shared / found.area[whole.predicted]
    inside = whole.shared / labels.area[whole.label] >= INSIDE
    usable = (found.alone & trust.confident)[whole.predicted]
    rows = np.flatnonzero(whole.same & usable & inside & (share >= PART[0]) & (share <= PART[1]))
    good = np.flatnonzero(whole.same & (whole.iou >= MATCH))
    for p, pairs in _groups(whole.predicted[rows], rows, share[rows]):
        parts = whole.label[pairs].tolist()
        # pairs are ordered by label: those of one label lie between two places
        begin, end = (np.searchsorted(whole.label[good], parts, side) for side in ("left", "right"))
        single = [whole.predicted[good[a:b]] for a, b in zip(begin, end, strict=True)]
        alone = min(float(trust.chance[q[q != p]].max(initial=0)) for q in single)
        sure = float(trust.chance[p]) * (1 - alone)
        if sure >= LIKELY:
            told.update(parts)
            yield Finding(
                "split_label",
                f"{classes[found.label[p]]}: {len(parts)} labels lie on what was found as one object with score "
                f"{found.score[p]:.2f} ({_in_words(trust.chance[p])})",
                sure,
                whole.place(parts),
                predicted=whole.rows([p]),
            )


def _fitting(whole: Whole, trust: Trust) -> Int:
    """Pairs of a label and a confident prediction of the same object, matched or nearly so, each the other's best."""
    found = whole.predictions.area[whole.predicted]
    nearly = (whole.iou >= FITTING[0]) & (
        whole.shared >= FITTING[1] * np.minimum(whole.labels.area[whole.label], found)
    )
    # a prediction that reaches over other labels is of several objects
    elsewhere = whole.predictions.seen[whole.predicted] * found - whole.shared
    near = ((whole.iou >= MATCH) | nearly) & (elsewhere <= ELSEWHERE * found)
    rows = np.flatnonzero(near & whole.same & trust.confident[whole.predicted])
    rows = best_of_each(whole.label[rows], whole.iou[rows], rows)
    return best_of_each(whole.predicted[rows], whole.iou[rows], rows)


def _loose(whole: Whole, trust: Trust, classes: Sequence[str], told: set[int]) -> Iterator[Finding]:
    """Outlines that lie further from their prediction's than is usual for masks of their size.

    ``told`` are labels whose outline differs for a reason that was found already.
    """
    found, labels = whole.predictions, whole.labels
    pairs = _fitting(whole, trust)
    if len(pairs) < ENOUGH:
        return
    i, p = whole.label[pairs], whole.predicted[pairs]
    around = np.maximum((labels.perimeter[i] + found.perimeter[p]) / 2, 1)
    # the area between two outlines over their length is how far apart they lie on average
    stray = (labels.area[i] + found.area[p] - 2 * whole.shared[pairs]) / around
    beyond = (labels.area[i] - found.area[p]) / around
    unusual = _unusual(stray, labels.label[i], labels.area[i])
    for k in np.flatnonzero((stray >= STRAY[0]) & (unusual >= STRAY[1])).tolist():
        if int(i[k]) in told:
            continue
        way = "beside it" if abs(beyond[k]) < stray[k] / 2 else "outside it" if beyond[k] > 0 else "inside it"
        yield Finding(
            "loose_outline",
            f"{classes[labels.label[i[k]]]}: the outline lies {stray[k]:.1f} pixels off the one found (score "
            f"{found.score[p[k]]:.2f}, IoU {whole.iou[pairs[k]]:.2f}), {way}",
            float(trust.chance[p[k]] * (1 - STRAY[1] / unusual[k] / 2)),
            whole.place([int(i[k])]),
            predicted=whole.rows([int(p[k])]),
        )


def _unusual(values: Float, label: Int, area: Float) -> Float:
    """Robust standard deviations above the median of those of the same class that are alike in size."""
    order = np.lexsort((area, label))
    out = np.empty(len(values))
    for own in np.split(order, np.flatnonzero(np.diff(label[order])) + 1):
        for part in np.array_split(own, max(len(own) // (2 * _WINDOW), 1)):
            off = values[part] - np.median(values[part])
            out[part] = off / max(1.4826 * float(np.median(np.abs(off))), EXACT)
    return out


def _in_words(chance: float) -> str:
    return f"right in {chance:.0%} of such cases"


CHECK = Check(
    summary="Labels that a model contradicts: missing, spurious, swapped class, merged, split, loose outline.",
    kinds=(
        Kind(
            "missing_label",
            "warning",
            "A confident prediction where no label is.",
            "Label the object, unless there is none.",
        ),
        Kind(
            "spurious_label",
            "warning",
            f"A label of which predictions of any score and class cover {UNSEEN:.0%} or less, although the model sees "
            "those of its class and size.",
            "Delete it, unless there is an object.",
        ),
        Kind(
            "swapped_class",
            "warning",
            f"A label that a confident prediction of another class matches (IoU {MATCH:g}), and none of its own, "
            "where the model seldom mixes up the two.",
            "Look which class it is.",
        ),
        Kind(
            "merged_label",
            "warning",
            "A label that confident predictions of its class divide among themselves.",
            "Give each object a mask of its own.",
        ),
        Kind(
            "split_label",
            "warning",
            "Labels of one class that a confident prediction takes together.",
            "Unite them, unless they are several objects.",
        ),
        Kind(
            "loose_outline",
            "note",
            "A mask of the object that was found, its outline further off than is usual for its size.",
            "Draw the outline anew.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
    needs="predicted",
)
