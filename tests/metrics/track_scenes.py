"""Random videos that are hard on tracking metrics: switches, swaps, gaps, strays, overlaps, empty frames.

Sequences are written as TrackEval takes them: ids from 0 without gaps, and one dense matrix of similarity per frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics._kit.batch import VideoFrame
from apiece.metrics._kit.overlaps import Pairs
from apiece.metrics._kit.tracks import Rows, Tracks

CLASSES = ("car", "pedestrian")
Data = dict[str, Any]


def sequence(seed: int, frames: int = 30, objects: int = 7, rivals: float = 0.3) -> Data:
    """A sequence of one class; ``rivals`` is how often two that do not belong together overlap."""
    rng = np.random.default_rng(seed)
    followed = rng.permutation(objects)
    fresh = objects
    truth, found, similarity = [], [], []
    for _ in range(frames):
        if rng.random() < 0.2:  # two tracks swap
            a, b = rng.integers(0, objects, 2)
            followed[[a, b]] = followed[[b, a]]
        if rng.random() < 0.2:  # one gets a new id
            followed[rng.integers(objects)], fresh = fresh, fresh + 1
        here = np.flatnonzero(rng.random(objects) < (0.0 if rng.random() < 0.1 else 0.75))
        seen = np.flatnonzero(rng.random(objects) < (0.0 if rng.random() < 0.1 else 0.75))
        strays = rng.integers(0, 3)
        own = np.append(followed[seen], fresh + np.arange(strays))
        fresh += strays
        iou = rng.uniform(0, 0.8, (len(here), len(own))) * (rng.random((len(here), len(own))) < rivals)
        for i, j in np.argwhere(here[:, None] == seen):
            iou[i, j] = rng.uniform(0.2, 1)
        truth.append(here)
        found.append(own)
        similarity.append(iou)
    return data(truth, found, similarity)


def data(truth: list[np.ndarray], found: list[np.ndarray], similarity: list[np.ndarray]) -> Data:
    """As TrackEval takes it."""
    made: Data = {"num_timesteps": len(truth), "similarity_scores": similarity}
    for side, ids in (("gt", truth), ("tracker", found)):
        names = np.unique(np.concatenate(ids))
        made[f"{side}_ids"] = [np.searchsorted(names, own) for own in ids]
        made[f"num_{side}_ids"], made[f"num_{side}_dets"] = len(names), sum(map(len, ids))
    return made


def tracks(*sequences: Data) -> Tracks:
    """The same sequences, as apiece's functions take them, each a group of its own."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in ("truth", "predicted", "t", "p", "iou")}
    rows = {"truth": 0, "predicted": 0}
    for group, made in enumerate(sequences):
        for frame, iou in enumerate(made["similarity_scores"]):
            t, p = np.nonzero(iou)
            columns["t"].append(t + rows["truth"])
            columns["p"].append(p + rows["predicted"])
            columns["iou"].append(iou[t, p])
            for side, key in (("truth", "gt_ids"), ("predicted", "tracker_ids")):
                own = made[key][frame]
                columns[side].append(np.stack([np.full(len(own), group * 1000 + frame), own, np.full(len(own), group)]))
                rows[side] += len(own)
    truth, predicted = (Rows.of(*np.concatenate(columns[side], 1).astype(np.int64)) for side in ("truth", "predicted"))
    t, p, iou = (np.concatenate(columns[name]) for name in ("t", "p", "iou"))
    order = np.lexsort((t, p))
    groups = np.arange(len(sequences))
    return Tracks(truth, predicted, Pairs(p[order], t[order], iou[order]), groups, np.zeros_like(groups))


def assigned(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of a frame of greatest total, of those above 0."""
    i, j = linear_sum_assignment(-score)
    return i[score[i, j] > 0], j[score[i, j] > 0]


def video(
    seed: int, frames: int = 10, objects: int = 5, *, apart: bool = True
) -> tuple[list[tuple[Instances, Instances]], list[VideoFrame]]:
    """Truth and predictions of rectangles that move through frames of 40 x 60, crowds and ignored regions among them.

    ``apart``: masks of one side do not overlap, as in KITTI MOTS.
    """
    rng = np.random.default_rng(seed)
    place = rng.uniform((0, 0), (30, 50), (objects, 2))
    speed, side = rng.normal(0, 1.5, (objects, 2)), rng.integers(5, 13, (objects, 2))
    label, name = rng.integers(0, 2, objects), rng.permutation(objects) * 17 - 30
    pairs, places = [], []
    for _ in range(frames):
        place += speed
        if rng.random() < 0.3:
            a, b = rng.integers(0, objects, 2)
            name[[a, b]] = name[[b, a]]
        here, seen = (np.flatnonzero(rng.random(objects) < 0.8) for _ in range(2))
        truth = _instances(rng, place[here], side[here], apart)
        jitter = rng.normal(0, 1.2, (len(seen), 2))
        found = _instances(rng, place[seen] + jitter, side[seen] + rng.integers(-1, 2, (len(seen), 2)), apart)
        wrong = rng.random(len(seen)) < 0.1
        crowd = rng.random(len(here)) < 0.15
        region = _instances(rng, rng.uniform((0, 0), (30, 50), (1, 2)), np.array([[20, 25]]), False)
        if apart and len(truth):  # an ignored region covers no truth
            free = region.to_dense()[0] & ~truth.to_dense().any(0)
            region = Masks.from_dense(free[None])
        pairs.append((
            Instances(truth, label[here], CLASSES, ids=here * 5 + 3, crowd=crowd),
            Instances(found, label[seen] ^ wrong, CLASSES, rng.uniform(0.3, 1, len(seen)), ids=name[seen]),
        ))  # fmt: skip
        places.append(VideoFrame("a", region if rng.random() < 0.5 else None))
    return pairs, places


def _instances(rng: np.random.Generator, corner: np.ndarray, side: np.ndarray, apart: bool) -> Masks:
    dense = np.zeros((len(corner), 40, 60), bool)
    taken = np.zeros((40, 60), bool)
    for mask, (y, x), (h, w) in zip(dense, corner.round().astype(int), side, strict=True):
        mask[max(y, 0) : max(y + h, 0), max(x, 0) : max(x + w, 0)] = True
        if apart:
            mask &= ~taken
            taken |= mask
    return Masks.from_dense(dense)


def sequences_of(pairs: list[tuple[Instances, Instances]], places: list[VideoFrame], conf: float = 0.0) -> list[Data]:
    """One sequence per class from dense masks, crowds and ignored regions dealt with as KITTI MOTS does."""
    out = []
    for k in range(len(CLASSES)):
        sides: tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]] = ([], [], [])
        for (truth, found), frame in zip(pairs, places, strict=True):
            wanted = truth[(truth.labels == k) & ~truth.crowd]
            given = found[(found.labels == k) & (found.scores >= conf)]
            regions = flat(truth[(truth.labels == k) & truth.crowd].masks)
            if frame.ignored is not None:
                regions = np.concatenate([regions, flat(frame.ignored)])
            a, b = flat(wanted.masks), flat(given.masks)
            shared = a @ b.T
            iou = shared / np.maximum(a.sum(1)[:, None] + b.sum(1) - shared, 1)
            _, matched = assigned(np.where(iou >= 0.5, 1e4 + iou, 0))
            inside = (b @ regions.T / np.maximum(b.sum(1)[:, None], 1) > 0.5).any(1)
            inside[matched] = False
            for column, value in zip(sides, (wanted.ids, given.ids[~inside], iou[:, ~inside]), strict=True):
                column.append(value)
        out.append(data(*sides))
    return out


def flat(masks: Masks) -> np.ndarray:
    """Dense masks as rows of zeros and ones."""
    return masks.to_dense().reshape(len(masks), masks.size[0] * masks.size[1]).astype(float)
