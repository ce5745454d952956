"""Cells that divide, with detections spoilt in four ways: linked frame by frame, and all frames at once.

    python benchmarks/cells.py [--colonies 8] [--frames 60]

Prints how well ids last (IDF1), how many of the cells that came up have their right mother, how many were given one
falsely, and the milliseconds a frame. A mother is right if the track that ends as her was hers by most of its frames.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from apiece import Instances, Masks
from apiece.metrics import evaluate
from apiece.ops import iou
from apiece.track import linker, start

SIZE = (360, 480)
SPOILT = {
    "all cells are seen": {},
    "8% are missed": {"missed": 0.08},
    "4% are one mask with the nearest cell": {"joined": 0.04},
    "3% are cut in two": {"cut": 0.03},
    "5%, 3%, 2%, and 2% false": {"missed": 0.05, "joined": 0.03, "cut": 0.02, "false": 0.02},
}


def discs(centre: np.ndarray, radius: np.ndarray) -> Masks:
    """Masks of discs; centres (N, 2) as x, y."""
    side = int(2 * radius.max(initial=1)) + 3
    corner = np.floor(centre - side / 2).astype(int)
    steps = np.arange(side) + 0.5
    x, y = (corner[:, k, None] + steps - centre[:, k, None] for k in range(2))
    drawn = np.hypot(x[:, None, :], y[:, :, None]) < radius[:, None, None]
    return Masks.from_crops(list(drawn), corner, SIZE)


def colony(seed: int, frames: int) -> list[Instances]:
    """Return cells that wander, push each other, grow and divide, with true ids and parents."""
    rng = np.random.default_rng(seed)
    centre, radius = rng.uniform(0.3, 0.7, (12, 2)) * SIZE[::-1], rng.uniform(7, 9.5, 12)
    ids, parent, fresh, out = np.arange(1, 13), np.zeros(12, int), 13, []
    for _ in range(frames):
        for _ in range(30):  # apart, up to a tenth of their radii
            way = centre[:, None] - centre
            away = np.hypot(*way.transpose(2, 0, 1)) + 1e9 * np.eye(len(ids))
            push = np.clip(0.95 * (radius[:, None] + radius) - away, 0, None)
            centre = centre + 0.3 * (way / away[..., None] * push[..., None]).sum(1)
        found = Instances(discs(centre, radius), ids=ids, attributes={"parent": parent})
        out.append(found[found.masks.area > 30])
        divides = np.flatnonzero((radius > 10) & (rng.random(len(ids)) < 0.3))
        turn = rng.uniform(0, 2 * np.pi, len(divides))
        aside = 0.72 * radius[divides, None] * np.stack([np.cos(turn), np.sin(turn)], 1)
        kept = np.delete(np.arange(len(ids)), divides)
        born = np.arange(fresh, fresh + 2 * len(divides))
        fresh += len(born)
        parent = np.concatenate([parent[kept], np.tile(ids[divides], 2)])
        ids = np.concatenate([ids[kept], born])
        centre = np.concatenate([centre[kept], centre[divides] + aside, centre[divides] - aside])
        radius = np.concatenate([radius[kept], np.tile(radius[divides] * 0.71, 2)])
        centre = centre + rng.normal(0, 0.8, centre.shape)
        radius = radius * rng.normal(1.012, 0.01, len(radius))
    return out


def spoil(truth: Instances, rng: np.random.Generator, **chances: float) -> Instances:
    """Return detections: some cells missed, some one mask with the nearest, some cut in two, some that are none."""
    count, centre = len(truth), truth.masks.centroids
    chance, limits = rng.random(count), np.cumsum([chances.get(name, 0) for name in ("missed", "joined", "cut")])
    kind = np.searchsorted(limits, chance, side="right")  # 0 missed, 1 joined, 2 cut, 3 seen
    group = np.arange(count)
    away = np.hypot(*(centre[:, None] - centre).transpose(2, 0, 1)) + 1e9 * np.eye(count)
    for k in np.flatnonzero(kind == 1).tolist():
        near = int(away[k].argmin())
        if away[k, near] < 26 and kind[near] == 3:
            group[near], kind[k] = k, 3
            kind[near] = 4  # seen in the other
    some = np.flatnonzero((kind == 1) | (kind >= 3))
    values, owner = np.unique(group[some], return_inverse=True)
    seen = [truth.masks[some].merge(owner, len(values))]
    for k in np.flatnonzero(kind == 2).tolist():
        dense, turn = truth.masks[[k]].to_dense()[0], rng.uniform(0, 2 * np.pi)
        y, x = np.nonzero(dense)
        side = (x - centre[k, 0]) * np.cos(turn) + (y - centre[k, 1]) * np.sin(turn) > 0
        halves = np.zeros((2, *SIZE), bool)
        halves[side.astype(int), y, x] = True
        seen.append(Masks.from_dense(halves))
    more = rng.binomial(count, chances.get("false", 0))
    seen.append(discs(rng.uniform(0, SIZE[::-1], (more, 2)), rng.uniform(5, 9, more)))
    masks = Masks.concatenate(seen)
    return Instances(masks[masks.area > 0])


def mothers(truth: Sequence[Instances], found: Sequence[Instances]) -> tuple[float, float]:
    """Return the share of born cells whose mother is right, and of given mothers those that are wrong."""
    votes: dict[int, dict[int, int]] = {}
    given: dict[int, int] = {}
    for true, seen in zip(truth, found, strict=True):
        pairs = iou(seen, true).tocoo()
        good = pairs.data > 0.5
        for i, j in zip(seen.ids[pairs.row[good]].tolist(), true.ids[pairs.col[good]].tolist(), strict=True):
            votes.setdefault(i, {})[j] = votes.get(i, {}).get(j, 0) + 1
        given |= dict(zip(seen.ids.tolist(), seen.attributes["parent"].tolist(), strict=True))
    whose = {track: max(counts, key=counts.__getitem__) for track, counts in votes.items()}
    true_parent = {
        i: p for one in truth for i, p in zip(one.ids.tolist(), one.attributes["parent"].tolist(), strict=True)
    }
    right = {whose[i] for i, p in given.items() if p and i in whose and true_parent[whose[i]] == whose.get(p)}
    born, told = sum(p > 0 for p in true_parent.values()), [i for i, p in given.items() if p]
    wrong = sum(i not in whose or true_parent[whose[i]] != whose.get(given[i]) for i in told)
    return len(right) / max(born, 1), wrong / max(len(told), 1)


def frame_by_frame(seen: Sequence[Instances]) -> list[Instances]:
    tracker = start("cells")
    return [tracker.update(one) for one in seen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--colonies", type=int, default=8)
    parser.add_argument("--frames", type=int, default=60)
    options = parser.parse_args()
    ways: dict[str, Callable[[Sequence[Instances]], list[Instances]]] = {
        "frame by frame": frame_by_frame, "all frames at once": linker(),
    }  # fmt: skip
    print(f"{'':40}{'':20}{'IDF1':>8}{'mothers':>9}{'false':>8}{'ms a frame':>12}")
    for name, chances in SPOILT.items():
        rows: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
        for seed in range(options.colonies):
            truth, rng = colony(seed, options.frames), np.random.default_rng(seed)
            seen = [spoil(one, rng, **chances) for one in truth]
            for way, link in ways.items():
                begin = time.process_time()
                found = link(seen)
                spent = (time.process_time() - begin) / len(seen) * 1e3
                idf1 = float(evaluate(zip(truth, found, strict=True), metrics=["identity"])["idf1"])
                rows[way].append((idf1, *mothers(truth, found), spent))
        for way, numbers in rows.items():
            idf1, right, wrong, spent = np.mean(numbers, axis=0)
            print(f"{name:40}{way:20}{idf1:>8.3f}{right:>9.3f}{wrong:>8.3f}{spent:>12.1f}", flush=True)


if __name__ == "__main__":
    main()
