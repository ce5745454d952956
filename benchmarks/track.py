"""Trackers on synthetic videos with exact ids: HOTA, switches, milliseconds a frame, beside Roboflow's `trackers`.

    python benchmarks/track.py [--objects 50] [--frames 200] [--peers]

The videos: ellipses that cross, hide each other by depth, enter and leave, while the camera stands, pans or shakes, or
the objects grow. Detections: what is visible of each object, moved by a jitter of a fortieth of its size, 10% missed,
5% false. The peers track boxes: a mask gets the id of its box. They are ``trackers`` (SORT and ByteTrack), and their
numbers are measured in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate
from apiece.track import follow, start

SIZE = (1080, 1920)
CASES = ("crossing", "panning", "shaking", "growing")
Video = list[tuple[Instances, Instances]]


def video(case: str, objects: int, frames: int, seed: int = 0, size: tuple[int, int] = SIZE) -> Video:
    """Return (truth, detections) of each frame."""
    rng = np.random.default_rng(seed)
    extent = np.array(size[::-1], float)
    radius = (
        rng.uniform(0.6, 1.4, (objects, 1))
        * rng.uniform(0.7, 1.3, (objects, 2))
        * np.sqrt(extent.prod() / objects)
        * 0.16
    )
    place, speed = rng.uniform(0, extent, (objects, 2)), rng.normal(0, 0.12, (objects, 2)) * radius
    depth, turn, camera = rng.permutation(objects), rng.uniform(0, np.pi, objects), np.zeros(2)
    ids, fresh, grow = np.arange(objects), objects, rng.uniform(0.997, 1.004, objects) if case == "growing" else 1.0
    out = []
    for frame in range(frames):
        speed += rng.normal(0, 0.006, speed.shape) * radius
        place += speed
        radius = radius * np.reshape(grow, (-1, 1) if np.ndim(grow) else ())
        if case == "panning":
            camera = camera + np.array([14.0, 5.0]) * np.sin(frame / 25)
        if case == "shaking":
            camera = rng.normal(0, 12, 2)
        gone = (place - camera < -2 * radius).any(1) | (place - camera > extent + 2 * radius).any(1)
        count = int(gone.sum())
        if count:  # others come in at an edge
            side = rng.integers(0, 4, count)
            along = rng.uniform(0, 1, (count, 2)) * extent
            axis = side % 2
            along[np.arange(count), axis] = np.where(side < 2, -radius[gone, axis], extent[axis] + radius[gone, axis])
            place[gone] = along + camera
            speed[gone] = (extent / 2 - along) / 400 * rng.uniform(0.5, 2, (count, 1)) + rng.normal(0, 1, (count, 2))
            ids[gone] = np.arange(fresh, fresh + count)
            fresh += count
        shown, whole = visible(place - camera, radius, turn, depth, size)
        truth = Instances(shown, ids=ids)
        truth = truth[truth.masks.area > 0.15 * np.maximum(whole, 1)]
        out.append((truth, detected(rng, truth, size)))
    return out


def ellipses(centre: np.ndarray, radius: np.ndarray, turn: np.ndarray, size: tuple[int, int]) -> Masks:
    angle = np.arange(40) / 40 * 2 * np.pi
    x, y = np.cos(angle) * radius[:, :1], np.sin(angle) * radius[:, 1:]
    cos, sin = np.cos(turn)[:, None], np.sin(turn)[:, None]
    points = np.stack([x * cos - y * sin + centre[:, :1], x * sin + y * cos + centre[:, 1:]], -1)
    return Masks.from_polygons([[one.ravel().tolist()] for one in points], size)


def visible(
    centre: np.ndarray, radius: np.ndarray, turn: np.ndarray, depth: np.ndarray, size: tuple[int, int]
) -> tuple[Masks, np.ndarray]:
    """Return what is seen of each object, and the pixels that all of it has."""
    whole = ellipses(centre, radius, turn, size)
    order = np.argsort(depth)
    painted = whole[order].to_label_map(order + 1, overlap="last")
    shown = Masks.from_label_map(painted)
    there = np.unique(painted)[1:].astype(np.int64) - 1
    place = np.full(len(whole), len(there))
    place[there] = np.arange(len(there))
    return Masks.concatenate([shown, Masks.empty(size, 1)])[place], whole.area


def detected(rng: np.random.Generator, truth: Instances, size: tuple[int, int]) -> Instances:
    """Return detections: 10% missed, 5% false, jittered."""
    seen = truth.masks[rng.random(len(truth)) > 0.1]
    jitter = np.rint(rng.normal(0, 1 / 40, (len(seen), 2)) * np.sqrt(seen.area)[:, None]).astype(int)
    moved = [mask.shift(*step) for mask, step in zip(seen, jitter.tolist(), strict=True)]
    false = rng.binomial(len(truth), 0.05)
    radius = rng.uniform(0.05, 0.2, (false, 2)) * np.sqrt(np.prod(size) / max(len(truth), 1))
    stray = ellipses(rng.uniform(0, 1, (false, 2)) * size[::-1], radius, rng.uniform(0, 3, false), size)
    masks = Masks.concatenate([Masks.empty(size), *moved, stray])
    scores = np.concatenate([rng.uniform(0.6, 1, len(seen)), rng.uniform(0.5, 0.8, false)])
    order = rng.permutation(len(masks))
    found = Instances(masks[order], scores=scores[order])
    return found[found.masks.area > 0]


def ours(name: str, fill: int = 5) -> Callable[[Video], Iterator[Instances]]:
    def run(frames: Video) -> Iterator[Instances]:
        tracker = start(name)
        return (found for _, found in follow(((k, seen) for k, (_, seen) in enumerate(frames)), tracker, fill=fill))

    return run


def peer(name: str) -> Callable[[Video], Iterator[Instances]]:
    def run(frames: Video) -> Iterator[Instances]:
        import supervision
        import trackers

        tracker = {"SORT": trackers.SORTTracker, "ByteTrack": trackers.ByteTrackTracker}[name]()
        for _, seen in frames:
            # the place of each detection travels along: rows come back in another order
            given = supervision.Detections(
                seen.boxes.astype(np.float32), confidence=seen.scores.astype(np.float32),
                class_id=np.zeros(len(seen), int), data={"place": np.arange(len(seen))},
            )  # fmt: skip
            back = tracker.update(given)
            tracked = back.tracker_id >= 0
            yield seen[back.data["place"][tracked]].replace(ids=back.tracker_id[tracked].astype(np.int64) + 1)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--peers", action="store_true")
    args = parser.parse_args()
    sides = {"masks": ours("masks"), "masks, no fill": ours("masks", 0), "iou": ours("iou", 0)}
    if args.peers:
        sides |= {"SORT": peer("SORT"), "ByteTrack": peer("ByteTrack")}
    print(f"{args.objects} objects, {args.frames} frames of {SIZE[1]} x {SIZE[0]}")
    print(f"{'':10}{'':16}{'HOTA':>8}{'DetA':>8}{'AssA':>8}{'IDF1':>8}{'switches':>10}{'ms a frame':>12}")
    for case in args.cases:
        frames = video(case, args.objects, args.frames)
        for name, run in sides.items():
            begin = time.process_time()
            found = list(run(frames))
            spent = (time.process_time() - begin) / len(frames) * 1000
            pairs = ((truth, one.replace(attributes={})) for (truth, _), one in zip(frames, found, strict=True))
            numbers = evaluate(pairs, ("object",), metrics=["hota", "identity", "mots"])
            row = "".join(f"{float(numbers[key]):8.3f}" for key in ("hota", "deta", "assa", "idf1"))
            print(f"{case:10}{name:16}{row}{int(numbers['id_switches']):10d}{spent:12.2f}", flush=True)


if __name__ == "__main__":
    main()
