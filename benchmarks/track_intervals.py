"""How often the 95% intervals of tracking metrics hold the true number.

    python benchmarks/track_intervals.py [--samples 100] [--cases ...]

Videos are simulated as tracks, without pixels: objects come and stay for a while, each is easier or harder than others
and has good and bad times; the harder the time, the lower its IoU, the more often it is missed and its id changes.
False tracks come and go. `apiece.metrics` counts them and draws its halves; the true number is the mean over twice as
many others. The table gives of each number the truth, the share of samples that have an interval, and the share of
these intervals that hold the truth. With 100 samples a share of 95% is known to 4 points either way.

videos: 12 or 30 videos of 200 frames, objects stay for 60 frames.
long: one video of 4,000 frames, objects stay for 60.
short: one video of 600 frames, objects stay for 200. No interval would hold here (`Units.of` gives none), and with
    --force the table shows how far they would be off.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from unittest.mock import patch

import numpy as np

from apiece.metrics import load
from apiece.metrics._kit import track_units
from apiece.metrics._kit.half_samples import halved
from apiece.metrics._kit.overlaps import Pairs

CASES = {"videos 12": (12, 200, 60), "videos 30": (30, 200, 60), "long": (1, 4000, 60), "short": (1, 600, 200)}
OBJECTS = 8
METRICS = ("hota", "mots", "identity", "ctc")
Video = tuple[np.ndarray, np.ndarray, Pairs]


def video(rng: np.random.Generator, videos: int, frames: int, stay: int) -> Video:
    """Return truth and predictions, int64 (4, N): video, image, id and parent; and what overlaps."""
    truth, found, pairs, rows, fresh = [], [], [], [0, 0], 1
    for scene in range(videos):
        mood = rng.normal(0, 0.4) if videos > 1 else 0.0
        for _ in range(rng.poisson(OBJECTS * (frames + stay) / stay)):
            born = int(rng.integers(-stay, frames))
            first, end = max(born, 0), min(born + int(rng.geometric(1 / stay)), frames)
            if end <= first:
                continue
            length, ease = end - first, mood + rng.normal(0, 0.5)
            time = rng.normal(0, 1, length)
            for k in range(1, length):
                time[k] = 0.93 * time[k - 1] + np.sqrt(1 - 0.93**2) * time[k]
            iou = 1 / (1 + np.exp(-1.3 - 0.6 * (ease + time)))
            seen = np.flatnonzero(ease + time > -1.3)
            names = fresh + np.cumsum(rng.random(length) < 0.012 * np.exp(-0.6 * (ease + time)))
            image = scene * frames + np.arange(first, end)
            truth.append(_rows(scene, image, np.full(length, fresh)))
            found.append(_rows(scene, image[seen], names[seen]))
            pairs.append(np.stack([rows[1] + np.arange(len(seen)), rows[0] + seen, iou[seen]]))
            rows[0], rows[1], fresh = rows[0] + length, rows[1] + len(seen), int(names[-1]) + 1
        for _ in range(rng.poisson(frames / 40)):
            first = int(rng.integers(frames))
            image = scene * frames + np.arange(first, min(first + int(rng.geometric(1 / 12)), frames))
            found.append(_rows(scene, image, np.full(len(image), fresh)))
            rows[1], fresh = rows[1] + len(image), fresh + 1
    predicted, of_truth, iou = np.concatenate(pairs, 1)
    return np.concatenate(truth, 1), np.concatenate(found, 1), Pairs(predicted.astype(int), of_truth.astype(int), iou)


def _rows(scene: int, image: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.stack([np.full(len(image), scene), image, ids, np.zeros(len(image), np.int64)])


def taken(name: str, made: Video, videos: int, frames: int) -> object:
    """Return the metric as if it had taken in the images."""
    metric = load(name)(("object",))
    truth, found, pairs = made
    kept = pairs.where(pairs.iou >= getattr(metric, "lowest", 0.5))
    rows = 4 if name == "ctc" else 3
    metric._parts = [truth[:rows]], [found[:rows]]
    metric._pairs, metric._of_image = [kept], [np.repeat(np.arange(videos), frames)]
    metric._sequences, metric._images = {str(k): k for k in range(videos)}, videos * frames
    return metric


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--force", action="store_true", help="give intervals of short stretches, too")
    args = parser.parse_args()
    stays = 0.0 if args.force else track_units._STAYS
    for case in args.cases:
        videos, frames, stay = CASES[case]
        truth: dict[str, list[float]] = defaultdict(list)
        held: dict[str, list[bool]] = defaultdict(list)
        about = {}
        for seed in range(2 * args.samples):
            made = video(np.random.default_rng([1, seed]), videos, frames, stay)
            for name in METRICS:
                result = taken(name, made, videos, frames).compute()
                about |= {key: result.about[key] for key in result.about}
                for key, value in result.numbers.items():
                    truth[key].append(value)
        wanted = {
            key: float(np.nanmean(values)) if np.isfinite(values).any() else np.nan for key, values in truth.items()
        }
        with patch.object(track_units, "_STAYS", stays):
            for seed in range(args.samples):
                made = video(np.random.default_rng([2, seed]), videos, frames, stay)
                metrics = [taken(name, made, videos, frames) for name in METRICS]
                for key, half in halved(metrics, about, {"object": 100}, videos * frames, 200)[None].items():
                    if (span := half.interval) is not None:
                        held[key].append(span[0] <= wanted[key] <= span[1])
        print(f"{case}: {args.samples} samples\n{'number':18s} {'truth':>9s} {'given':>6s} {'hold':>6s}")
        for key in wanted:
            shown = f"{np.mean(held[key]):6.2f}" if held[key] else "     -"
            print(f"{key:18s} {wanted[key]:9.3f} {len(held[key]) / args.samples:6.2f} {shown}")


if __name__ == "__main__":
    main()
