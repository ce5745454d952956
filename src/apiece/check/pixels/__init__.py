"""Labels that lie on pixels unlike those of the rest of their class, or on transparent ground.

Each instance becomes a point: how bright, coloured, contrasted and textured the image is under its mask
(`features_of`). Distances are Mahalanobis's: their unit is how much instances of one class differ within an image,
estimated from the half of the instances that differs least, so that mistakes do not widen it. Two questions decide:

- Does the point lie far from its class, measured by how far from each other its nearest neighbours lie (local outlier
  factor, Breunig et al., SIGMOD 2000)? A class of several kinds (stained and fluorescent cells, cars of all colours) is
  dense in several places, and a rare kind is sparse throughout; neither stands out.
- Is the place of the point far more usual for another class? The distance to the k-th neighbour gives the densities of
  the two classes (Loftsgaarden and Quesenberry 1965).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial import KDTree
from scipy.stats import chi2

from apiece._arrays import Float, Int
from apiece.check.contract import Check, Finding, JoinedRows, Kind, Labelled, Place, Rows, SetFacts, Settings
from apiece.check.pixels._ground import TRANSPARENT, on_transparent_ground
from apiece.check.pixels._pixel_features import FEATURES, features_of

__all__ = ["CHECK"]

MANY = 100  # fewest instances of a class that say what is usual for it; smaller classes are not judged
NEIGHBOURS = 5  # neighbours compared; so many mistakes that are all alike pass for a kind of their own
FAR = (
    6.0  # robust standard deviations of the local outlier factor's logarithm from which an instance is unlike its class
)
APART = 3.0  # least distance to the neighbours of such an instance, in standard deviations within an image
LIKELIER = 1000.0  # how many times as dense another class must be at an instance that looks like that class
LEAST = 16  # fewest pixels of a mask that can be judged
_SMALL_GROUP = 5
_SAMPLE = 20_000


def _remember(labelled: Labelled, settings: Settings) -> Rows | None:
    instances = labelled.instances
    at = np.flatnonzero(~instances.crowd & (instances.masks.area >= LEAST))
    if labelled.image is None or not len(at):
        return None
    return labelled.rows(at, features=features_of(labelled.image, instances.masks)[at])


def _conclude(remembered: Sequence[Rows], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    if not remembered:
        return
    rows = JoinedRows(remembered)
    label, features = rows["label"], rows["features"].astype(np.float64)
    points, columns = _whitened(features, rows.image, label)
    if not len(columns):
        return
    judged = np.flatnonzero(np.bincount(label, minlength=len(facts.classes)) >= MANY)
    trees = {k: KDTree(points[label == k]) for k in judged.tolist()}
    for k, tree in trees.items():
        own = np.flatnonzero(label == k)
        distance, neighbour = tree.query(tree.data, NEIGHBOURS + 1)
        reach, near = np.maximum(distance[:, -1], 1e-9), neighbour[:, 1:]
        outlying = _robust(np.log(reach) - np.log(reach[near]).mean(axis=1))
        like, likelihood = _other_class(tree.data, reach, k, trees)
        swapped = likelihood >= LIKELIER
        for i in np.flatnonzero(swapped | ((outlying >= FAR) & (reach >= APART))).tolist():
            place = rows.place(int(own[i]))
            if swapped[i]:
                yield _like_other(place, facts.classes[k], facts.classes[like[i]], float(likelihood[i]))
            else:
                far = float(np.linalg.norm(tree.data[i] - tree.data[near[i]].mean(axis=0)))
                most = _most_different(features[own[i]], features[own[near[i]]], columns)
                yield _unlike(place, facts.classes[k], far, most, float(outlying[i]))


def _whitened(features: Float, image: Int, label: Int) -> tuple[Float, Int]:
    """Return (points whose distances are Mahalanobis's within images, the features they are made of)."""
    residual = _residuals(features, image, label)
    residual = residual[:: max(len(residual) // _SAMPLE, 1)]
    scale = 1.4826 * np.median(np.abs(residual), axis=0)
    columns = np.flatnonzero(scale > 1e-6)
    if len(residual) <= 2 * len(columns) or not len(columns):
        return features[:, :0], columns[:0]
    scatter = _scatter(residual[:, columns], scale[columns])
    # a little of the plain variances keeps features apart that depend on each other
    lower = np.linalg.cholesky(scatter + 1e-6 * np.diag(np.diag(scatter)))
    return np.linalg.solve(lower, features[:, columns].T).T, columns


def _residuals(features: Float, image: Int, label: Int) -> Float:
    """Return differences from the median of the same class in the same image, if that has enough instances."""
    _, group, count = np.unique(np.stack([image, label], 1), axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    enough = count[group] >= _SMALL_GROUP
    # where no image has several of a class, the class as a whole has to do
    rows, key = (np.flatnonzero(enough), group) if enough.sum() >= MANY else (np.arange(len(label)), label)
    order = rows[np.argsort(key[rows], kind="stable")]
    parts = np.split(order, np.flatnonzero(np.diff(key[order])) + 1)
    return np.concatenate([features[part] - np.median(features[part], axis=0) for part in parts])


def _scatter(residual: Float, scale: Float) -> Float:
    """Return the covariance of the half that lies nearest to the middle, found by concentration steps, made consistent.

    It is the minimum covariance determinant (Rousseeuw and Van Driessen 1999), started from the robust scales.
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
    """Return distances from the median in robust standard deviations."""
    off = values - np.median(values)
    return np.asarray(off / max(1.4826 * float(np.median(np.abs(off))), 1e-9))


def _other_class(points: Float, reach: Float, own: int, trees: dict[int, KDTree]) -> tuple[Int, Float]:
    """Return (the densest other class at each point, how many times as dense as the point's own class it is)."""
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
    """Return the feature in which an instance differs most from its neighbours, in units of how much these differ."""
    spread = near[:, columns].std(axis=0) + 0.01
    return FEATURES[int(columns[np.argmax(np.abs(own - near.mean(axis=0))[columns] / spread)])]


def _like_other(place: Place, own: str, other: str, likelihood: float) -> Finding:
    sure = likelihood / (likelihood + 100)  # as if one label in a hundred were wrong
    times = f"{likelihood:,.0f}" if likelihood < 1e6 else "over a million"
    return Finding("like_other_class", f"{own}: its pixels are {times} times as usual for {other}", sure * 0.9, place)


def _unlike(place: Place, own: str, far: float, most: str, score: float) -> Finding:
    message = f"{own}: its pixels lie {far:.1f} standard deviations from the nearest of its class, most in {most}"
    return Finding("unlike_class", message, 1 - FAR / score / 2, place)


CHECK = Check(
    "Labels that lie on pixels unlike those of their class (brightness, colour, contrast, texture), or on none.",
    (
        TRANSPARENT,
        Kind(
            "like_other_class",
            "warning",
            f"Pixels that are {LIKELIER:,.0f} times as usual for another class as for the instance's own.",
            "See whether it belongs to the other class.",
        ),
        Kind(
            "unlike_class",
            "note",
            "Pixels far from those of any other instance of the class, by brightness, colour, contrast and texture.",
            "See whether the mask lies on the object, and whether the class is right.",
        ),
    ),
    look=on_transparent_ground,
    remember=_remember,
    conclude=_conclude,
    needs="image",
)
