"""Labels that a model contradicts: missing, spurious, of another class, merged, split, loose.

A prediction is weighed by how the model agrees with the rest of the labels, class by class. Scores mean what they turn
out to mean here: a prediction is confident from the score at which predictions and labels agree best (F1 at IoU 0.5),
and the chance that it is right is how often predictions of its score agree with a label (isotonic regression). So it
does not matter whether a model is modest or boastful. Nor is a class doubted if the model often mixes up just these two
classes. A model that knows no classes, as the default one, judges all labels as one class. The predictions have to come
from a model that did not learn from these labels; see `apiece.training.folds`.

Northcutt, Jiang and Chuang 2021, *Confident Learning* (JAIR 70), do likewise for images with one label each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.check.contract import Check, Finding, Kind, SetFacts, Settings
from apiece.check.model._coverage import Coverage, Whole, coverage_of, join
from apiece.check.model._score_meaning import ENOUGH, MATCH, Trust, best_of_each, trust_of
from apiece.core.runs import sums

__all__ = ["CHECK"]

LIKELY = 0.5  # least chance of being right that is reported
LACKING = 0.4  # the same for a missing label: predictions of unlabelled objects count as wrong, so the chance is higher
UNSEEN = 0.2  # largest share of a spurious label's pixels that predictions cover
MISTAKES = 0.05  # supposed share of spurious labels, against which the objects that the model misses are weighed
MISNAMED = 0.15  # supposed share of labels with a wrong class, against which the model's confusions are weighed
INSIDE = 0.6  # share of a part's pixels inside the whole, where one mask covers several of the other side
PART = (0.1, 0.85)  # share of the whole that a part has
FILLED = 0.6  # share of the whole that its parts cover together
# least IoU, and share of the smaller in the larger, of a label and a prediction that match nothing else and whose
# outlines are compared: a loose outline around a small or thin object does not reach `MATCH`
FITTING = (0.25, 0.8)
ELSEWHERE = 0.15  # largest share of a prediction under other labels, if its outline is compared with one of them
# pixels that an outline is off on average, and robust standard deviations above the usual for its size, if it is loose
STRAY = (1.0, 4.0)
EXACT = 0.25  # least standard deviation of outlines, in pixels, that counts as usual
_WINDOW = 50  # labels on either side, ordered by area, that count as alike in size


def _conclude(remembered: Sequence[Coverage], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not remembered:
        return
    whole, classes = join(remembered), remembered[0].classes
    trust = trust_of(whole, len(classes))
    yield from _missing(whole, trust, classes)
    yield from _spurious(whole, classes)
    yield from _swapped(whole, trust, classes)
    explained: set[int] = set()
    yield from _merged(whole, trust, classes, explained)
    yield from _split(whole, trust, classes, explained)
    yield from _loose(whole, trust, classes, explained)


def _missing(whole: Whole, trust: Trust, classes: Sequence[str]) -> Iterator[Finding]:
    found = whole.predictions
    for p in np.flatnonzero(found["apart"] & trust.confident & (trust.chance >= LACKING)).tolist():
        name, score, chance = classes[found["label"][p]], found["score"][p], float(trust.chance[p])
        message = f"{name}: found with score {score:.2f} ({_in_words(chance)}) where no label is"
        place = replace(found.place(p), instances=())
        yield Finding("missing_label", message, chance, place, predicted=whole.rows([p]))


def _spurious(whole: Whole, classes: Sequence[str]) -> Iterator[Finding]:
    labels = whole.labels
    seen = labels["seen"] > UNSEEN
    usual = _seen_alike(labels["label"], labels["area"], seen)
    there, count = np.bincount(labels.image, seen), np.bincount(labels.image)
    # on an image where the model sees little, its silence about one label says nothing
    here = ((there + 1) / (count + 1))[labels.image]
    for i in np.flatnonzero(~seen & (np.minimum(usual, here) >= LIKELY)).tolist():
        message = (
            f"{classes[labels['label'][i]]} of {labels['area'][i]:,.0f} pixels: no prediction of any score covers it, "
            f"but predictions cover {usual[i]:.0%} of the labels of its size"
        )
        # a model that sees all but one in a hundred has seldom missed this one
        sure = float(here[i] * MISTAKES / (MISTAKES + 1 - usual[i]))
        yield Finding("spurious_label", message, sure, whole.place([i]))


def _seen_alike(label: Int, area: Float, seen: Bool) -> Float:
    """Return the share of seen labels among those of the same class that are alike in size."""
    order = np.lexsort((area, label))
    begin, end = (np.searchsorted(label[order], label[order], side) for side in ("left", "right"))
    place = np.arange(len(order))
    low, high = np.maximum(place - _WINDOW, begin), np.minimum(place + _WINDOW + 1, end)
    running = sums(seen[order])
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
        label, name = whole.labels["label"][i], classes[found["label"][p]]
        mixed = float(trust.mixed[label, found["label"][p]] * (1 - trust.named[p]))
        # all classes of labels are wrong equally often; a model that seldom mixes up these two is not wrong here
        sure = min(1.0, MISNAMED / (len(classes) - 1) * trust.named[p] / mixed) * float(1 - own[i])
        if sure >= LIKELY:
            message = (
                f"{classes[label]}: found as {name} with score {found['score'][p]:.2f} and IoU {whole.iou[k]:.2f}; "
                f"under such a prediction the label is {classes[label]} in {mixed:.1%} of all cases"
            )
            yield Finding("swapped_class", message, sure, whole.place([i]), predicted=whole.rows([p]))


def _groups(whole: Whole, trust: Trust, owner: Int, owner_area: Float, part_area: Float) -> Iterator[tuple[int, Int]]:
    """Yield each owner, a label or a prediction, that two or more parts of the other side fill, and their pairs.

    ``owner``, ``owner_area`` and ``part_area`` give for each pair of ``whole`` the owner and the two areas.
    """
    share, inside = whole.shared / owner_area, whole.shared / part_area >= INSIDE
    usable = (whole.predictions["alone"] & trust.confident)[whole.predicted]
    rows = np.flatnonzero(whole.same & usable & inside & (share >= PART[0]) & (share <= PART[1]))
    rows = rows[np.argsort(owner[rows], kind="stable")]
    for group in np.split(rows, np.flatnonzero(np.diff(owner[rows])) + 1):
        if len(group) > 1 and share[group].sum() >= FILLED:
            yield int(owner[group[0]]), group


def _merged(whole: Whole, trust: Trust, classes: Sequence[str], explained: set[int]) -> Iterator[Finding]:
    """Find labels that hold several confident predictions of their class, with no better one of the whole."""
    found, labels = whole.predictions, whole.labels
    areas = labels["area"][whole.label], found["area"][whole.predicted]
    for i, pairs in _groups(whole, trust, whole.label, *areas):
        parts = whole.predicted[pairs].tolist()
        sure = float(np.sort(trust.chance[parts])[-2])
        if sure >= LIKELY:
            explained.add(i)
            scores = ", ".join(f"{s:.2f}" for s in sorted(found["score"][parts].tolist(), reverse=True)[:4])
            message = f"{classes[labels['label'][i]]}: found as {len(parts)} objects (scores {scores})"
            yield Finding("merged_label", message, sure, whole.place([i]), predicted=whole.rows(parts))


def _split(whole: Whole, trust: Trust, classes: Sequence[str], explained: set[int]) -> Iterator[Finding]:
    """Find several labels under one confident prediction of their class that the model does not find one by one."""
    found, labels = whole.predictions, whole.labels
    areas = found["area"][whole.predicted], labels["area"][whole.label]
    good = np.flatnonzero(whole.same & (whole.iou >= MATCH))
    for p, pairs in _groups(whole, trust, whole.predicted, *areas):
        parts = whole.label[pairs].tolist()
        # pairs are ordered by label, so the pairs of one label are neighbours
        begin, end = (np.searchsorted(whole.label[good], parts, side) for side in ("left", "right"))
        single = [whole.predicted[good[a:b]] for a, b in zip(begin, end, strict=True)]
        alone = min(float(trust.chance[q[q != p]].max(initial=0)) for q in single)
        sure = float(trust.chance[p]) * (1 - alone)
        if sure >= LIKELY:
            explained.update(parts)
            message = (
                f"{classes[found['label'][p]]}: {len(parts)} labels lie on what the model found as one object with "
                f"score {found['score'][p]:.2f} ({_in_words(trust.chance[p])})"
            )
            yield Finding("split_label", message, sure, whole.place(parts), predicted=whole.rows([p]))


def _fitting(whole: Whole, trust: Trust) -> Int:
    """Return pairs of a label and a confident prediction that (nearly) match, each the best partner of the other."""
    found = whole.predictions["area"][whole.predicted]
    smaller = np.minimum(whole.labels["area"][whole.label], found)
    nearly = (whole.iou >= FITTING[0]) & (whole.shared >= FITTING[1] * smaller)
    # a prediction that reaches over other labels covers several objects
    elsewhere = whole.predictions["seen"][whole.predicted] * found - whole.shared
    near = ((whole.iou >= MATCH) | nearly) & (elsewhere <= ELSEWHERE * found)
    rows = np.flatnonzero(near & whole.same & trust.confident[whole.predicted])
    rows = best_of_each(whole.label[rows], whole.iou[rows], rows)
    return best_of_each(whole.predicted[rows], whole.iou[rows], rows)


def _loose(whole: Whole, trust: Trust, classes: Sequence[str], explained: set[int]) -> Iterator[Finding]:
    """Find outlines further from those of their predictions than is usual for masks of their size.

    Another finding has ``explained`` already why the outlines of some labels differ.
    """
    found, labels = whole.predictions, whole.labels
    pairs = _fitting(whole, trust)
    if len(pairs) < ENOUGH:
        return
    i, p = whole.label[pairs], whole.predicted[pairs]
    around = np.maximum((labels["perimeter"][i] + found["perimeter"][p]) / 2, 1)
    # the area between two outlines over their length is how far apart they lie on average
    stray = (labels["area"][i] + found["area"][p] - 2 * whole.shared[pairs]) / around
    beyond = (labels["area"][i] - found["area"][p]) / around
    unusual = _unusual(stray, labels["label"][i], labels["area"][i])
    for k in np.flatnonzero((stray >= STRAY[0]) & (unusual >= STRAY[1])).tolist():
        if int(i[k]) in explained:
            continue
        way = "beside it" if abs(beyond[k]) < stray[k] / 2 else "outside it" if beyond[k] > 0 else "inside it"
        message = (
            f"{classes[labels['label'][i[k]]]}: the outline lies {stray[k]:.1f} pixels off that of the prediction "
            f"(score {found['score'][p[k]]:.2f}, IoU {whole.iou[pairs[k]]:.2f}), {way}"
        )
        sure = float(trust.chance[p[k]] * (1 - STRAY[1] / unusual[k] / 2))
        place, rows = whole.place([int(i[k])]), whole.rows([int(p[k])])
        yield Finding("loose_outline", message, sure, place, predicted=rows)


def _unusual(values: Float, label: Int, area: Float) -> Float:
    """Return robust standard deviations above the median of the same class and of like size."""
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
    "Labels that a model contradicts: missing, spurious, swapped class, merged, split, loose outline.",
    (
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
            "others of its class and size.",
            "Delete it, unless there is an object.",
        ),
        Kind(
            "swapped_class",
            "warning",
            f"A label that a confident prediction of another class matches (IoU {MATCH:g}), and none of its own class, "
            "where the model seldom mixes up the two.",
            "Decide which class it is.",
        ),
        Kind(
            "merged_label",
            "warning",
            "A label that several confident predictions of its class divide among themselves.",
            "Give each object a mask of its own.",
        ),
        Kind(
            "split_label",
            "warning",
            "Labels of one class that one confident prediction covers together.",
            "Unite them, unless they are several objects.",
        ),
        Kind(
            "loose_outline",
            "note",
            "A mask that matches a prediction, but its outline is further off than is usual for its size.",
            "Draw the outline again.",
        ),
    ),
    remember=coverage_of,
    conclude=_conclude,
    needs="predicted",
)
