"""Kinds of errors, forms and costs the slow way: dense masks, loops, lists; written from the definitions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from apiece.core.instances import Instances

KINDS = ("class", "localisation", "both", "duplicate", "background", "missed", "boundary", "merge", "split")


@dataclass
class Guess:
    """One prediction and what becomes of it."""

    label: int
    score: float
    pixels: np.ndarray
    index: int
    right: bool = False
    ignored: bool = False
    kind: str = ""
    form: str = ""
    about: int = -1
    claim: int = -1
    gains: int = 0


@dataclass
class Picture:
    """One image."""

    guesses: list[Guess]
    labels: list[int]
    found: dict[int, Guess] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    missed: set[int] = field(default_factory=set)
    split: set[int] = field(default_factory=set)


def perimeter(mask: np.ndarray) -> int:
    wide = np.pad(mask, 1).astype(int)
    return int(np.abs(np.diff(wide, axis=0)).sum() + np.abs(np.diff(wide, axis=1)).sum())


def shared(a: np.ndarray, b: np.ndarray) -> int:
    return int((a & b).sum())


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    return shared(a, b) / max(int((a | b).sum()), 1)


def first_of_best(guesses: list[Guess]) -> Guess:
    return max(guesses, key=lambda g: g.score)  # of equal ones the first


def judge(truth: Instances, found: Instances, level: float, limit: int) -> Picture:
    order = sorted(range(len(found)), key=lambda i: (found.labels[i], -found.scores[i], i))
    dense = found.masks.to_dense()
    guesses = [Guess(int(found.labels[i]), float(found.scores[i]), dense[i], i) for i in order]
    guesses = [g for k, g in enumerate(guesses) if [h.label for h in guesses[:k]].count(g.label) < limit]
    real = truth.masks.to_dense()
    here = Picture(guesses, truth.labels.tolist())
    match(here, real, truth, level)
    here.lost = {t for t in range(len(truth)) if not truth.crowd[t] and t not in here.found}
    for g in guesses:
        if not (g.right or g.ignored):
            name_kind(g, real, truth, level)
    pointed: dict[int, list[Guess]] = {}
    for g in guesses:
        if g.kind in ("class", "localisation") and g.about in here.lost:
            pointed.setdefault(g.about, []).append(g)
    for t, several in pointed.items():
        first_of_best(several).claim = here.labels[t]
    here.missed = here.lost - set(pointed)
    name_merges(here, real, truth)
    name_splits(here, real, truth)
    name_boundaries(here, real)
    return here


def match(here: Picture, real: np.ndarray, truth: Instances, level: float) -> None:
    for g in here.guesses:
        best, value = -1, level
        for t in range(len(truth)):
            if truth.labels[t] == g.label and not truth.crowd[t] and t not in here.found:
                iou = overlap(g.pixels, real[t])
                if iou >= value:
                    best, value = t, iou
        if best >= 0:
            here.found[best], g.right, g.about = g, True, best
            continue
        for t in range(len(truth)):
            if truth.labels[t] == g.label and truth.crowd[t] and g.pixels.any():
                part = shared(g.pixels, real[t]) / g.pixels.sum()
                if part >= value:
                    g.ignored, g.about, value = True, t, part


def name_kind(g: Guess, real: np.ndarray, truth: Instances, level: float) -> None:
    own, other, own_iou, other_iou = -1, -1, 0.0, 0.0
    for t in range(len(truth)):
        iou = 0.0 if truth.crowd[t] else overlap(g.pixels, real[t])
        if truth.labels[t] == g.label and iou > own_iou:
            own, own_iou = t, iou
        if truth.labels[t] != g.label and iou > other_iou:
            other, other_iou = t, iou
    if 0.1 <= own_iou < level:
        g.kind, g.about = "localisation", own
    elif other_iou >= level:
        g.kind, g.about = "class", other
    elif own_iou >= level:
        g.kind, g.about = "duplicate", own
    elif max(own_iou, other_iou) <= 0.1:
        g.kind = "background"
    else:
        g.kind, g.about = "both", other


def name_merges(here: Picture, real: np.ndarray, truth: Instances) -> None:
    victims: dict[int, list[Guess]] = {}
    for g in here.guesses:
        covered = [
            t
            for t in range(len(truth))
            if truth.labels[t] == g.label and not truth.crowd[t] and 2 * shared(g.pixels, real[t]) > real[t].sum()
        ]
        if len(covered) < 2 or g.ignored:
            continue
        if not g.right or any(t in here.lost for t in covered):
            g.form = "merge"
        for t in covered:
            if t in here.lost:
                victims.setdefault(t, []).append(g)
    for several in victims.values():
        first_of_best(several).gains += 1


def name_splits(here: Picture, real: np.ndarray, truth: Instances) -> None:
    pieces: dict[int, list[Guess]] = {}
    for g in here.guesses:
        if g.right or g.ignored or g.kind == "duplicate" or g.form:
            continue
        home, most = -1, int(g.pixels.sum()) // 2
        for t in range(len(truth)):
            if truth.labels[t] == g.label and not truth.crowd[t] and shared(g.pixels, real[t]) > most:
                home, most = t, shared(g.pixels, real[t])
        if home >= 0:
            pieces.setdefault(home, []).append(g)
    for t, several in pieces.items():
        holder = here.found[t] if t in here.found else first_of_best(several)
        apart = [g for g in several if g is not holder and 2 * shared(g.pixels, holder.pixels) <= g.pixels.sum()]
        for g in apart:
            g.form = "split"
        if apart:
            here.split.add(t)
            if t in here.lost:
                holder.form, holder.gains = "split", 1


def name_boundaries(here: Picture, real: np.ndarray) -> None:
    pointed: dict[int, list[Guess]] = {}
    for g in here.guesses:
        if g.kind == "localisation" and not g.form:
            mean_length = (perimeter(g.pixels) + perimeter(real[g.about])) / 2
            if (g.pixels ^ real[g.about]).sum() / mean_length <= 2:
                g.form = "boundary"
                if g.about in here.lost:
                    pointed.setdefault(g.about, []).append(g)
    for several in pointed.values():
        first_of_best(several).gains = 1


def average(rows: list[tuple[int, float, bool]], label: int, positives: int) -> float:
    """COCO's average precision of one class; ``rows`` (label, score, right)."""
    chosen = sorted((r for r in rows if r[0] == label), key=lambda r: -r[1])
    if positives == 0:
        return float(not chosen)
    precision, recall, hits = [], [], 0
    for k, (_, _, right) in enumerate(chosen):
        hits += right
        precision.append(hits / (k + 1))
        recall.append(hits / positives)
    read = [
        max((p for p, r in zip(precision, recall, strict=True) if r >= wanted), default=0.0)
        for wanted in np.linspace(0, 1, 101)
    ]
    return float(np.mean(read))


def decomposed(pictures: list[Picture], classes: int, crowds: list[Instances]) -> dict[str, np.ndarray]:
    """Average precision per class as it is and with each kind mended, and the number of errors per class."""
    guesses = [g for p in pictures for g in p.guesses if not g.ignored]
    guesses = sorted(guesses, key=lambda g: (g.label, -g.score))

    def of_truth(name: str) -> np.ndarray:
        return np.bincount([p.labels[t] for p in pictures for t in getattr(p, name)], minlength=classes)

    positives = sum(np.bincount(t.labels[~t.crowd], minlength=classes) for t in crowds)

    def ap(change, truths: np.ndarray) -> np.ndarray:
        rows = [row for g in guesses for row in change(g)]
        found = [average(rows, k, int(n)) for k, n in enumerate(truths)]
        return np.where(positives > 0, found, np.nan)

    def as_is(g: Guess) -> list[tuple[int, float, bool]]:
        return [(g.label, g.score, g.right)]

    out = {"now": ap(as_is, positives)}
    for name in KINDS[:5]:
        out[name] = ap(
            lambda g, name=name: as_is(g) if g.kind != name else [(g.claim, g.score, True)] * (g.claim >= 0), positives
        )
    out["missed"] = ap(as_is, positives - of_truth("missed"))
    for name in KINDS[6:]:
        out[name] = ap(
            lambda g, name=name: as_is(g) if g.form != name else [(g.label, g.score, True)] * (g.gains + g.right),
            positives,
        )
    out["false_positive"] = ap(lambda g: as_is(g) * g.right, positives)
    out["false_negative"] = ap(as_is, positives - of_truth("lost"))
    counted = [[g.label for g in guesses if name in (g.kind, g.form)] for name in KINDS]
    out["count"] = np.stack([np.bincount(labels, minlength=classes) for labels in counted], 1)
    out["count"][:, KINDS.index("missed")] = of_truth("missed")
    out["count"][:, KINDS.index("split")] = of_truth("split")
    return out
