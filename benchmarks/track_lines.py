"""Counts on lines: 200 crossings with trembling and occlusion, beside supervision's LineZone.

    python benchmarks/track_lines.py [--seed 0]

Ten lanes a video, each with a line of its own, 20 videos. In each lane one object comes to the line, trembles on it and
goes: 8 of 10 cross (two of them hidden while they do, for 8 to 15 frames), one turns back on the line, one crosses and
comes back. Detections are jittered by a twentieth of the object's size, 5% are missed. ``apiece`` tracks them by
``masks`` and counts by masks; the peer gets the ids of its own ByteTrack (``trackers``) on the boxes of the same
detections and counts with LineZone, by all four corners (its default) and by the centre.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.track import Counter, Line, follow, start

SIZE = (720, 1280)
LANES, VIDEOS, MIDDLE = 10, 20, 360
FRAMES = 90
Truth = list[tuple[int, int]]  # crossings to the right and left of each lane


def video(seed: int) -> tuple[list[Instances], Truth]:
    """Return the detections of each frame, and what crosses in each lane."""
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(["cross"] * 6 + ["hidden"] * 2 + ["turn", "return"])
    radius = rng.uniform(22, 34, (LANES, 2))
    ways, truth = [], []
    for kind in kinds:
        down = rng.random() < 0.5
        way = path(rng, kind)
        ways.append(MIDDLE + way * (1 if down else -1))
        ahead, back = {"turn": (0, 0), "return": (1, 1)}.get(kind, (1, 0))
        truth.append((ahead, back) if down else (back, ahead))
    height = np.array(ways).T  # (frames, lanes)
    hidden = np.zeros((FRAMES, LANES), bool)
    for lane in np.flatnonzero(kinds == "hidden"):
        at = int(np.abs(height[:, lane] - MIDDLE).argmin())
        long = int(rng.integers(8, 16))
        hidden[at - long // 2 : at - long // 2 + long, lane] = True
    centre = 64 + 128 * np.arange(LANES)
    return [frame(rng, centre, height[k], radius, hidden[k]) for k in range(FRAMES)], truth


def path(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return the way of an object over the frames, in pixels beyond the line."""
    tremble = rng.normal(0, 3, FRAMES)
    if kind == "hidden":
        return np.linspace(-240, 240, FRAMES) + tremble / 3
    corners = {
        "cross": ([0, 30, 60, 89], [-220, 0, 0, 220]),
        "turn": ([0, 30, 60, 89], [-220, -4, -4, -220]),
        "return": ([0, 25, 45, 65, 89], [-220, 0, 120, 0, -220]),
    }[kind]
    return np.interp(np.arange(FRAMES), *corners) + tremble


def frame(rng: np.random.Generator, x: np.ndarray, y: np.ndarray, radius: np.ndarray, hidden: np.ndarray) -> Instances:
    seen = ~hidden & (rng.random(LANES) > 0.05)
    centre = np.stack([x, y], 1)[seen] + rng.normal(0, 1 / 20, (int(seen.sum()), 2)) * radius[seen] * 2
    angle = np.arange(40) / 40 * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle)], -1)
    masks = Masks.from_polygons(
        [[(c + circle * r).ravel().tolist()] for c, r in zip(centre, radius[seen], strict=True)], SIZE
    )
    found = Instances(masks, scores=rng.uniform(0.6, 1, len(masks)))
    return found[rng.permutation(len(found))]


def lanes() -> list[tuple[tuple[int, int], tuple[int, int]]]:
    return [((128 * k, MIDDLE), (128 * k + 127, MIDDLE)) for k in range(LANES)]


def ours(frames: list[Instances]) -> Truth:
    counter = Counter([Line(str(k), *ends) for k, ends in enumerate(lanes())])
    for k, found in follow(enumerate(frames), start("masks")):
        counter.update(found, k / 25)
    table = counter.summary()["lines"]
    return [(table[str(k)]["right"], table[str(k)]["left"]) for k in range(LANES)]


def theirs(frames: list[Instances], anchors: list[str] | None) -> Truth:
    import supervision as sv
    import trackers

    more = {} if anchors is None else {"triggering_anchors": [sv.Position[name] for name in anchors]}
    zones = [sv.LineZone(sv.Point(*a), sv.Point(*b), **more) for a, b in lanes()]
    tracker = trackers.ByteTrackTracker()
    for seen in frames:
        given = sv.Detections(
            seen.boxes.astype(np.float32), confidence=seen.scores.astype(np.float32),
            class_id=np.zeros(len(seen), int),
        )  # fmt: skip
        back = tracker.update(given)
        back = back[back.tracker_id >= 0]
        for zone in zones:
            zone.trigger(back)
    # its "in" is our left of a line that runs to the right
    return [(zone.out_count, zone.in_count) for zone in zones]


def sides() -> Iterator[tuple[str, object]]:
    yield "apiece", ours
    try:
        import supervision  # noqa: F401
        import trackers  # noqa: F401
    except ImportError:
        return
    yield "LineZone, corners", lambda frames: theirs(frames, None)
    yield "LineZone, centre", lambda frames: theirs(frames, ["CENTER"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=VIDEOS)
    args = parser.parse_args()
    clips = [video(args.seed + k) for k in range(args.videos)]
    total = sum(sum(pair) for _, truth in clips for pair in truth)
    print(f"{total} crossings in {args.videos * LANES} lanes")
    for name, count in sides():
        missed = false = wrong = 0
        for frames, truth in clips:
            for want, got in zip(truth, count(frames), strict=True):
                missed += sum(max(w - g, 0) for w, g in zip(want, got, strict=True))
                false += sum(max(g - w, 0) for w, g in zip(want, got, strict=True))
                wrong += want != got
        print(f"{name:20} missed {missed:4} false {false:4} lanes wrong {wrong:4}", flush=True)


if __name__ == "__main__":
    main()
