"""HOTA, MOTSA and IDF1 of one video beside TrackEval: time and numbers, in one run.

    pip install --no-deps trackeval
    python benchmarks/tracking_metrics.py [--frames 1000] [--objects 50] [--repeat 3]

What is timed, the same on both sides: from compressed COCO RLE in memory to all numbers of HOTA, of CLEAR over masks
and of identity. For apiece: `Masks.from_coco`, `Instances`, `evaluate`. For TrackEval: mask IoU frame by frame with
pycocotools, KITTI MOTS' preparation, and its three metrics. Sides take turns in one process.

apart: every object wanders in a cell of its own, so that masks of one side never overlap.
across: objects wander through the whole frame, behind and before each other.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics import evaluate

SIZE = (375, 1242)
KEYS = {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "loca": "LocA", "motsa": "MOTA", "smotsa": "sMOTA",
        "motsp": "MOTP", "id_switches": "IDSW", "fragmentations": "Frag", "idf1": "IDF1", "idtp": "IDTP"}  # fmt: skip
Frame = dict[str, Any]


def make(case: str, frames: int, objects: int, seed: int = 0) -> list[Frame]:
    """Ellipses that wander; the tracker is a little off, misses 5%, sees strays, and changes an id now and then."""
    rng = np.random.default_rng(seed)
    across = int(np.ceil(objects / 5))
    cell = np.array([SIZE[0] / 5, SIZE[1] / across]) if case == "apart" else np.array(SIZE, float)
    low = np.stack(np.divmod(np.arange(objects), across), 1) * cell if case == "apart" else np.zeros((objects, 2))
    radius = rng.uniform(12, 30, (objects, 2)) * min(1, cell.min() / 75)
    place = rng.uniform(low + radius, low + cell - radius)
    name, fresh = np.arange(objects), objects
    out = []
    for _ in range(frames):
        place = np.clip(place + rng.normal(0, 3, place.shape), low + radius, low + cell - radius)
        changed = np.flatnonzero(rng.random(objects) < 0.01)
        name[changed] = fresh + np.arange(len(changed))
        fresh += len(changed)
        here, seen = (np.flatnonzero(rng.random(objects) < share) for share in (0.9, 0.95))
        seen = np.intersect1d(here, seen)
        stray = rng.integers(0, objects, 2)
        moved = place[seen] + rng.normal(0, 0.08, (len(seen), 2)) * radius[seen]
        found = np.concatenate([moved, rng.uniform((40, 40), np.array(SIZE) - 40, (2, 2))])
        grown = radius[np.append(seen, stray)] * rng.uniform(0.85, 1.15, (len(seen) + 2, 2))
        out.append({
            "truth": ellipses(place[here], radius[here]), "truth_ids": here,
            "found": ellipses(found, grown), "found_ids": np.append(name[seen], fresh + np.arange(2)),
        })  # fmt: skip
        fresh += 2
    return out


def ellipses(centre: np.ndarray, radius: np.ndarray) -> list[dict[str, Any]]:
    """COCO RLE of ellipses, given (y, x)."""
    corner = np.floor(centre - radius).astype(int)
    crops = []
    for c, r, k in zip(centre, radius, corner, strict=True):
        y, x = (np.arange(int(2 * r[d]) + 3) + 0.5 + k[d] - c[d] for d in (0, 1))
        crops.append((x[None, :] / r[1]) ** 2 + (y[:, None] / r[0]) ** 2 <= 1)
    return Masks.from_crops(crops, corner[:, ::-1], SIZE).to_coco()


def ours(video: list[Frame]) -> dict[str, float]:
    """Every number by apiece."""

    def side(frame: Frame, name: str) -> Instances:
        return Instances(Masks.from_coco(frame[name], SIZE), ids=frame[f"{name}_ids"])

    pairs = ((side(frame, "truth"), side(frame, "found")) for frame in video)
    return dict(evaluate(pairs, ("object",), metrics=["hota", "mots", "identity"]))


def theirs(video: list[Frame]) -> dict[str, float]:
    """The same numbers by TrackEval."""
    import trackeval
    from pycocotools import mask as codec

    kitti = object.__new__(trackeval.datasets.KittiMOTS)  # its __init__ looks for files
    kitti.class_name_to_class_id = {"object": 1}
    raw: dict[str, Any] = {"num_timesteps": len(video), "seq": "video"}
    raw["gt_ignore_region"] = [codec.merge([], intersect=False)] * len(video)
    for side, name in (("gt", "truth"), ("tracker", "found")):
        raw[f"{side}_ids"] = [frame[f"{name}_ids"] for frame in video]
        raw[f"{side}_classes"] = [np.ones(len(frame[name]), int) for frame in video]
        raw[f"{side}_dets"] = [[{**rle, "counts": rle["counts"].encode()} for rle in frame[name]] for frame in video]
    raw["similarity_scores"] = [
        kitti._calculate_similarities(a, b) for a, b in zip(raw["gt_dets"], raw["tracker_dets"], strict=True)
    ]
    data = kitti.get_preprocessed_seq_data(raw, "object")
    quiet = {"PRINT_CONFIG": False}
    metrics = (trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet), trackeval.metrics.Identity(quiet))
    found = {key: value for metric in metrics for key, value in metric.eval_sequence(data).items()}
    return {key: float(np.mean(found[name])) for key, name in KEYS.items()}


def timed(work: Callable[[list[Frame]], dict[str, float]], video: list[Frame]) -> tuple[float, float, dict[str, float]]:
    """Seconds, seconds of processor, and what came out."""
    start, used = time.perf_counter(), time.process_time()
    found = work(video)
    return time.perf_counter() - start, time.process_time() - used, found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--objects", type=int, default=50)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    sides = {"apiece": ours, "TrackEval": theirs}
    for case in ("apart", "across"):
        video = make(case, args.frames, args.objects)
        for work in sides.values():
            work(video[:5])  # imports and first calls do not count
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        numbers: dict[str, dict[str, float]] = {}
        for _ in range(args.repeat):
            for name, work in sides.items():
                took, cpu, numbers[name] = timed(work, video)
                seconds[name].append((took, cpu))
        print(f"{case}: {args.frames} frames, {args.objects} objects")
        for name, runs in seconds.items():
            shown = "  ".join(f"{key} {numbers[name][key]:.6g}" for key in ("hota", "motsa", "smotsa", "idf1"))
            wall, cpu = zip(*runs, strict=True)
            times = f"min {min(wall):6.2f} s  median {statistics.median(wall):6.2f} s  cpu min {min(cpu):6.2f} s"
            print(f"  {name:9s} {times}  {shown}")
        apart = max(abs(numbers["apiece"][key] - numbers["TrackEval"][key]) for key in KEYS)
        print(f"  largest difference of {len(KEYS)} numbers: {apart:.1e}")


if __name__ == "__main__":
    main()
