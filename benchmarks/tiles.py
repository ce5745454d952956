"""Tiles joined into objects: what is doubled, missed and merged, and the time and memory of joining.

    python benchmarks/tiles.py join [--side 8192] [--objects 4365]

SAHI 0.12.8 must be installed, or say ``--without-peer``.

``join`` gives both the detections of an exact detector in tiles of 512 pixels that overlap by a fifth. With ``jitter``
an object that a tile's border cuts is a pixel larger or smaller than it is, by chance, in each tile. SAHI runs as
``get_sliced_prediction`` sets it up (GREEDYNMM, IOS, 0.5); its own outlines run through pixel centres. An object is
missed if no result has an IoU of 0.5 with it, doubled if two results lie by half in it, merged if one result covers
half of it and half of another.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np

from apiece import Instances, Masks
from apiece.ops import Grid, intersections, stitch

TILE, HALO = 512, 51
ANGLES = np.arange(64) / 64 * 2 * np.pi


def scene(side: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return centres (N, 2), radii (N,) from 6 to 400 and outlines' phases of discs that may touch but not overlap."""
    rng = np.random.default_rng(0)
    radius = np.sort(
        np.concatenate([rng.uniform(256, 400, 12), 6 / np.sqrt(rng.uniform((6 / 256) ** 2, 1, count - 12))])
    )
    centre, done = np.zeros((count, 2)), 0
    for r in radius[::-1]:
        while True:
            at = rng.uniform(r, side - r, 2)
            near = np.linalg.norm(centre[:done] - at, axis=1) if done else np.zeros(0)
            if (near >= radius[::-1][:done] + r).all():
                centre[done] = at
                done += 1
                break
    return centre, radius[::-1], rng.uniform(0, 6, count)


def drawn(centre: np.ndarray, radius: np.ndarray, phase: np.ndarray, side: int) -> Masks:
    wave = radius[:, None] * (0.93 + 0.07 * np.sin(3 * ANGLES + phase[:, None]))
    points = centre[:, None] + wave[..., None] * np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1)
    return Masks.from_polygons([[one.ravel().tolist()] for one in points], (side, side))


def detections(grid: Grid, three: list[Masks], jitter: bool) -> list[Instances]:
    """Return what each tile sees; ``three`` are the objects a pixel smaller, as they are, and a pixel larger."""
    rng = np.random.default_rng(1)
    box = three[2].runs.boxes
    parts = []
    for window in grid.windows:
        near = np.flatnonzero((box[:, :2] < window[2:]).all(1) & (box[:, 2:] > window[:2]).all(1))
        cut = (box[near, :2] < window[:2]).any(1) | (box[near, 2:] > window[2:]).any(1)
        which = np.where(cut & jitter, rng.integers(0, 3, len(near)), 1)
        masks = Masks.concatenate([three[k][near[which == k]].crop(*window.tolist()) for k in range(3)])
        masks = masks[np.argsort(np.concatenate([near[which == k] for k in range(3)]))]
        parts.append(Instances(masks[masks.area > 0]))
    return parts


def judged(truth: Masks, found: Masks) -> tuple[int, int, int]:
    """Return the numbers of objects doubled, missed and merged."""
    shared = intersections(truth, found).tocoo()
    iou = shared.data / (truth.area[shared.row] + found.area[shared.col] - shared.data)
    missed = len(truth) - len(np.unique(shared.row[iou >= 0.5]))
    inside = shared.data >= 0.5 * found.area[shared.col]
    covers = shared.data >= 0.5 * truth.area[shared.row]
    doubled = int((np.bincount(shared.row[inside], minlength=len(truth)) > 1).sum())
    several = np.bincount(shared.col[covers], minlength=len(found))
    merged = int((several[shared.col[covers]] > 1).sum())
    return doubled, missed, merged


def measured(work: Callable[..., Masks], *given: Any) -> tuple[Masks, float, float]:
    """Return the result, the median CPU seconds of three runs, and the peak memory in MB that a run adds."""
    with multiprocessing.get_context("fork").Pool(1, maxtasksperchild=1) as pool:
        runs = [pool.apply(_once, (work, *given)) for _ in range(3)]
    return runs[0][0], median(run[1] for run in runs), median(run[2] for run in runs)


def _once(work: Callable[..., Masks], *given: Any) -> tuple[Masks, float, float]:
    before, start = _peak(), time.process_time()
    found = work(*given)
    return found, time.process_time() - start, _peak() - before


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def ours(parts: list[Instances], grid: Grid) -> Masks:
    return Instances.concatenate(list(stitch(parts, grid))).masks


def outlines(parts: list[Instances], grid: Grid) -> list[Any]:
    """Return the detections as SAHI holds them: polygons of OpenCV, on the whole image."""
    from sahi.prediction import ObjectPrediction

    found = []
    for part, window in zip(parts, grid.windows.tolist(), strict=True):
        for crop, corner in zip(*part.masks.to_crops(), strict=True):
            rings, _ = cv2.findContours(crop.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
            moved = [(ring[:, 0] + corner + window[:2]).ravel().tolist() for ring in rings if len(ring) >= 3]
            if moved:
                found.append(
                    ObjectPrediction(
                        segmentation=moved, category_id=0, category_name="o", score=0.9, full_shape=list(grid.size)
                    )
                )
    return found


def sahi(found: list[Any], size: tuple[int, int]) -> Masks:
    from sahi.postprocess.combine import GreedyNMMPostprocess

    merged = GreedyNMMPostprocess(match_threshold=0.5, match_metric="IOS", class_agnostic=False)(found)
    return Masks.from_polygons([one.mask.segmentation for one in merged], size)


def join(args: argparse.Namespace) -> None:
    centre, radius, phase = scene(args.side, args.objects)
    three = [drawn(centre, radius + grow, phase, args.side) for grow in (-1, 0, 1)]
    truth = three[1]
    grid = Grid((args.side, args.side), TILE, HALO)
    print(f"{args.side} x {args.side}, {len(truth)} objects, {len(grid)} tiles of {TILE}")
    print(f"{'':22}{'doubled':>8}{'missed':>8}{'merged':>8}{'CPU s':>9}{'MB':>8}")
    for jitter in (False, True):
        parts = detections(grid, three, jitter)
        rows = {"apiece": measured(ours, parts, grid)}
        if not args.without_peer:
            rows["SAHI"] = measured(sahi, outlines(parts, grid), grid.size)
        for name, (masks, seconds, megabytes) in rows.items():
            numbers = "".join(f"{n:8d}" for n in judged(truth, masks))
            print(f"{name + ', jitter' * jitter:22}{numbers}{seconds:9.3f}{megabytes:8.1f}", flush=True)
        if not jitter:
            same = sorted(map(str, rows["apiece"][0].to_coco())) == sorted(map(str, truth.to_coco()))
            print(f"masks equal to the untiled ones: {same}")
        if "SAHI" in rows:
            ratio = rows["SAHI"][1] / rows["apiece"][1], rows["SAHI"][2] / max(rows["apiece"][2], 0.1)
            print(f"SAHI / apiece: {ratio[0]:.1f} times the time, {ratio[1]:.1f} times the memory")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["join"])
    parser.add_argument("--side", type=int, default=8192)
    parser.add_argument("--objects", type=int, default=4365)
    parser.add_argument("--without-peer", action="store_true")
    args = parser.parse_args()
    {"join": join}[args.part](args)


if __name__ == "__main__":
    main()
