"""Labels that lie on pixels unlike those of the rest of their class.

Each instance becomes a point: how bright, coloured, contrasted and textured the image is under its mask
(`_features`). Distances are Mahalanobis's, in units of how much instances of one class differ within an image, which
is estimated from the half of them that differs least, so that mistakes do not widen it. Two questions are asked of a
point's nearest neighbours:

- Does it lie far from its class, measured by how far from each other its nearest neighbours lie (the local outlier
  factor, Breunig et al., SIGMOD 2000)? A class of several kinds (stained and fluorescent cells, cars of all colours) is
  dense in several places, and a rare kind is sparse throughout; neither stands out.
- Is the place where it lies far more usual for another class? Densities of the two classes are compared by the distance
  to the k-th neighbour (Loftsgaarden and Quesenberry 1965).

Classes of fewer than `MANY` instances are not judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import chi2

from apiece._arrays import Float, Float32, Int, Int32
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings
from apiece.check.pixels._pixel_features import FEATURES, features_of

__all__ = ["CHECK"]


MANY = 100
"""Fewest instances of a class that say what is usual for it."""
NEIGHBOURS = 5
"""Neighbours looked at; so many mistakes of one kind, all alike, pass for a kind of their own."""
FAR = 6.0
"""Robust standard deviations of the local outlier factor's logarithm from which an instance is unlike its class."""
APART = 3.0
"""Least distance to the neighbours, in standard deviations within an image, of an instance unlike its class."""
LIKELIER = 1000.0
"""How many times as dense another class must be at the place of an instance, from which it looks like that class."""
LEAST = 16
"""Fewest pixels of a mask that are enough to judge by."""
_SMALL_GROUP = 5
_SAMPLE = 20_000


@dataclass(frozen=True, eq=False)
class _Seen:
    """What is kept of an image: a row for each instance that can be judged."""

    place: Place
    row: Int32
    label: Int32
    boxes: Float32
    features: Float32


def _remember(labelled: Labelled, settings: Settings) -> _Seen | None:
    if labelled.image is None:
        return None
    instances = labelled.instances
    row = np.flatnonzero(~instances.crowd & (instances.masks.area >= LEAST)).astype(np.int32)
    if not len(row):
        return None
    chosen = instances[row]
    features = features_of(labelled.image, instances.masks)[row]
    return _Seen(labelled.place(), row, chosen.labels.astype(np.int32), chosen.boxes, features)


def _conclude(remembered: Sequence[_Seen], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not remembered:
        return
    image = np.repeat(np.arange(len(remembered)), [len(seen.row) for seen in remembered])
    begin = np.searchsorted(image, np.arange(len(remembered)))
    label = np.concatenate([seen.label for seen in remembered]).astype(np.int64)
    features = np.concatenate([seen.features for seen in remembered]).astype(np.float64)
    points, columns = _whitened(features, image, label)
    if not len(columns):
        return
    judged = np.flatnonzero(np.bincount(label, minlength=len(facts.classes)) >= MANY)
    trees = {k: KDTree(points[label == k]) for k in judged.tolist()}
    for k, tree in trees.items():
        rows = np.flatnonzero(label == k)
        distance, neighbour = tree.query(tree.data, NEIGHBOURS + 1)
        reach, near = np.maximum(distance[:, -1], 1e-9), neighbour[:, 1:]
        outlying = _robust(np.log(reach) - np.log(reach[near]).mean(axis=1))
        like, likelihood = _other_class(tree.data, reach, k, trees)
        swapped = likelihood >= LIKELIER
        for i in np.flatnonzero(swapped | ((outlying >= FAR) & (reach >= APART))).tolist():
            which = int(image[rows[i]])
            place = _place(remembered[which], int(rows[i] - begin[which]))
            if swapped[i]:
                yield _like_other(place, facts.classes[k], facts.classes[like[i]], float(likelihood[i]))
            else:
                far = float(np.linalg.norm(tree.data[i] - tree.data[near[i]].mean(axis=0)))
                most = _most_different(features[rows[i]], features[rows[near[i]]], columns)
                yield _unlike(place, facts.classes[k], far, most, float(outlying[i]))


def _whitened(features: Float, image: Int, label: Int) -> tuple[Float, Int]:
    """Points whose distances are Mahalanobis's within images, and the features that went into them."""
    residual = _residuals(features, image, label)
    residual = residual[:: max(len(residual) // _SAMPLE, 1)]
    scale = 1.4826 * np.median(np.abs(residual), axis=0)
    columns = np.flatnonzero(scale > 1e-6)
    if len(residual) <= 2 * len(columns) or not len(columns):
        return features[:, :0], columns[:0]
    scatter = _scatter(residual[:, columns], scale[columns])
    # a little of the plain variances, so that features that depend on each other can be told apart at all
    lower = np.linalg.cholesky(scatter + 1e-6 * np.diag(np.diag(scatter)))
    return np.linalg.solve(lower, features[:, columns].T).T, columns


def _residuals(features: Float, image: Int, label: Int) -> Float:
    """Differences from the median of the same class in the same image, where that has enough of it."""
    _, group, count = np.unique(np.stack([image, label], 1), axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    enough = count[group] >= _SMALL_GROUP
    # where no image has several of a class, the class as a whole has to do
    rows, key = (np.flatnonzero(enough), group) if enough.sum() >= MANY else (np.arange(len(label)), label)
    order = rows[np.argsort(key[rows], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    return np.concatenate([features[part] - np.median(features[part], axis=0) for part in parts])


def _scatter(residual: Float, scale: Float) -> Float:
    """Covariance of the half that lies nearest to the middle, found by concentration steps, made consistent.

    As the minimum covariance determinant (Rousseeuw and Van Driessen 1999), from the coordinates' own robust scales.
    """
    half = (len(residual) + 1) // 2
    distance = ((residual / scale) ** 2).sum(axis=1)
    scatter = np.diag(scale**2)
    for _ in range(10):
        inner = residual[np.argpartition(distance, half - 1)[:half]]
        middle = inner.mean(axis=0)
        scatter = np.cov(inner.T).reshape(len(scale), -1) + 1e-9 * np.diag(scale**2)
        distance = np.einsum("nd,nd->n", residual - middle, np.linalg.solve(scatter, (residual - middle).T).T)
    return np.asarray(scatter * (np.median(distance) / chi2.ppf(0.5, len(scale))))


def _robust(values: Float) -> Float:
    """Distances from the median in robust standard deviations."""
    off = values - np.median(values)
    return np.asarray(off / max(1.4826 * float(np.median(np.abs(off))), 1e-9))


def _other_class(points: Float, reach: Float, own: int, trees: dict[int, KDTree]) -> tuple[Int, Float]:
    """The class that is densest at each point beside its own, and how many times as dense as that it is."""
    best, like = np.full(len(points), -np.inf), np.full(len(points), own)
    for k, tree in trees.items():
        if k == own:
            continue
        far = np.maximum(tree.query(points, NEIGHBOURS)[0][:, -1], 1e-9)
        ratio = points.shape[1] * np.log(reach / far) + np.log(trees[own].n / tree.n)
        like = np.where(ratio > best, k, like)
        best = np.maximum(best, ratio)
    return like, np.exp(np.minimum(best, 50.0))


def _most_different(own: Float, near: Float, columns: Int) -> str:
    """The feature in which an instance differs most from its neighbours, by how much these differ."""
    spread = near[:, columns].std(axis=0) + 0.01
    return FEATURES[int(columns[np.argmax(np.abs(own - near.mean(axis=0))[columns] / spread)])]


def _place(seen: _Seen, at: int) -> Place:
    box = tuple(float(v) for v in seen.boxes[at])
    return Place(seen.place.split, seen.place.image, seen.place.index, (int(seen.row[at]),), box)


def _like_other(place: Place, own: str, other: str, likelihood: float) -> Finding:
    # as if one label in a hundred were wrong
    sure = likelihood / (likelihood + 100)
    times = f"{likelihood:,.0f}" if likelihood < 1e6 else "over a million"
    return Finding("like_other_class", f"{own}: its pixels are {times} times as usual for {other}", sure * 0.9, place)


def _unlike(place: Place, own: str, far: float, most: str, score: float) -> Finding:
    told = f"{own}: its pixels lie {far:.1f} standard deviations from the nearest of their class, most in {most}"
    return Finding("unlike_class", told, 1 - FAR / score / 2, place)


CHECK = Check(
    summary="Labels that lie on pixels unlike those of their class: brightness, colour, contrast, texture.",
    kinds=(
        Kind(
            "like_other_class",
            "warning",
            f"Pixels that are {LIKELIER:,.0f} times as usual for another class as for the instance's own.",
            "Look whether it is of the other class.",
        ),
        Kind(
            "unlike_class",
            "note",
            "Pixels far from those of any other instance of the class, by brightness, colour, contrast and texture.",
            "Look whether the mask lies on the object, and whether the class is right.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
    needs="image",
)
