"""Tiles joined into objects: what is doubled, missed and merged, and the time and memory of joining.

    python benchmarks/tiles.py join [--side 8192] [--objects 4365]

SAHI 0.12.8 must be installed, or say ``--without-peer``.

``join`` gives both the detections of an exact detector in tiles of 512 pixels that overlap by a fifth. With ``jitter``
an object that a tile's border cuts is a pixel larger or smaller than it is, by chance, in each tile. SAHI runs as
``get_sliced_prediction`` sets it up (GREEDYNMM, IOS, 0.5); its own outlines run through pixel centres. An object is
missed if no result has an IoU of 0.5 with it, doubled if two results lie by half in it, merged if one result covers
half of it and half of another.

    python benchmarks/tiles.py huge [--sides 16384 32768 65536 131072] [--folder FOLDER]

``huge`` joins what an exact detector finds in tiles of 1024 pixels of virtual images with about 120 objects a million
pixels (2 million on 131,072 x 131,072), of radius 6 to 45, some 360. It writes GeoJSON and OME-Zarr labels as `predict`
does, each image in a process of its own. Seconds are CPU time, without the detector's. Objects are checked to be the
detector's, one for one.

    python benchmarks/tiles.py model [--model default] [--tile 1024] [--halo 128] [--scenes 3] [--side 4096] [--seed 7]

``model`` predicts on drawn scenes whole and in tiles of 1024 pixels, with a model that takes pixels as they are: of the
default model, and of any that resizes its images, the resizing is left out, since a whole scene would be shrunk to a
sixth. Mask AP counts every detection down to a score of 0.05, counts are those at the model's threshold. Seconds are
CPU time: of the network, of its decoder, and of all else (reading, preparing, joining).

    python benchmarks/tiles.py workers [--model default] [--tile 1024] [--counts 1 2] [--scenes 3] [--side 8192]

``workers`` times the whole command ``apiece predict`` on one drawn scene, a tiled TIFF, for each number of processes in
turn, as often as there are scenes. Seconds are those of the clock, so the machine must be idle. The files that each run
writes must be the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import tifffile

from apiece import Instances, Masks, formats
from apiece.core.image import ImageRef
from apiece.core.runs import Runs, expand
from apiece.datasets import SceneConfig
from apiece.datasets import scene as scenes
from apiece.metrics import evaluate
from apiece.ops import Grid, intersections, stitch
from apiece.predict import Model, load

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


class Lattice:
    """A virtual image with a disc near each point of a lattice; every 16th block of 8 x 8 points has one large disc."""

    block = 8

    def __init__(self, side: int, pitch: int = 92) -> None:
        self.side, self.pitch, self.cells = side, pitch, side // pitch // self.block * self.block

    def discs(self, x0: int, y0: int, x1: int, y1: int) -> tuple[np.ndarray, np.ndarray]:
        """Return centres and radii of the discs of which a box may show something."""
        span = self.block * self.pitch
        blocks = [
            np.arange(max(a // span, 0), min(-(-b // span), self.cells // self.block)) for a, b in ((x0, x1), (y0, y1))
        ]
        bx, by = (grid.ravel() for grid in np.meshgrid(*blocks, indexing="ij"))
        large = self._chance(bx, by, 0) < 1 / 16
        inner = np.arange(self.block**2)
        x = (bx[~large, None] * self.block + inner % self.block).ravel()
        y = (by[~large, None] * self.block + inner // self.block).ravel()
        r = 6 / np.sqrt(1 - self._chance(x, y, 1) * (1 - (6 / 45) ** 2))
        room = self.pitch / 2 - r - 0.5
        at = [(k + 0.5) * self.pitch + room * (2 * self._chance(x, y, n) - 1) for k, n in ((x, 2), (y, 3))]
        great = [(k[large] + 0.5) * span for k in (bx, by)]
        centre = np.stack([np.concatenate(pair) for pair in zip(at, great, strict=True)], 1)
        return centre, np.concatenate([r, np.full(int(large.sum()), 360.0)])

    def _chance(self, x: np.ndarray, y: np.ndarray, kind: int) -> np.ndarray:
        """Return numbers from 0 to below 1 that depend on place and kind alone."""
        n = (x.astype(np.uint64) << np.uint64(32)) + (y.astype(np.uint64) << np.uint64(4)) + np.uint64(kind)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # SplitMix64
            n = (n ^ (n >> np.uint64(shift))) * np.uint64(factor)
        return (n >> np.uint64(11)) / 2.0**53

    def seen(self, x0: int, y0: int, x1: int, y1: int) -> Instances:
        """Return what the exact detector finds in a box."""
        centre, radius = self.discs(x0, y0, x1, y1)
        left = np.clip(np.ceil(centre[:, 0] - radius - 0.5).astype(int), x0, x1)
        right = np.clip(np.floor(centre[:, 0] + radius - 0.5).astype(int) + 1, x0, x1)
        owner = np.repeat(np.arange(len(radius)), right - left)
        x = expand(left, right - left)
        half = np.sqrt(np.maximum(radius[owner] ** 2 - (x + 0.5 - centre[owner, 0]) ** 2, 0))
        top = np.clip(np.ceil(centre[owner, 1] - half - 0.5).astype(int), y0, y1) - y0
        bottom = np.clip(np.floor(centre[owner, 1] + half - 0.5).astype(int) + 1, y0, y1) - y0
        size = (y1 - y0, x1 - x0)
        masks = Masks.of_runs(size, Runs.pack((owner, x - x0, top, bottom), len(radius), size))
        masks = masks[masks.area > 0]
        return Instances(masks, scores=np.full(len(masks), 0.9))


def fingerprint(masks: Masks) -> tuple[int, int]:
    """Return the number of masks, and a sum of hashes of their boxes and areas."""
    boxes = masks.runs.boxes.astype(np.uint64)
    mixed = masks.area.astype(np.uint64)
    for column in boxes.T:
        mixed = (mixed * np.uint64(0x9E3779B97F4A7C15)) ^ column
    return len(masks), int(mixed.sum(dtype=np.uint64))


def one_huge(side: int, folder: Path) -> dict[str, float]:
    """Join, keep and write the objects of one virtual image; return what it took."""
    from apiece.predict.pieces import Pieces

    image, grid = Lattice(side), Grid((side, side), 1024, 128)
    start, truth, spent = _peak(), [0, 0], [0.0]

    def tiles() -> Iterator[Instances]:
        for window in grid.windows.tolist():
            begin = time.process_time()
            found = image.seen(*window)
            spent[0] += time.process_time() - begin
            yield found

    pieces, seconds, count = Pieces(folder / "pieces", grid.size, ("object",)), {}, [0, 0]
    begin = time.process_time()
    for found in stitch(tiles(), grid):
        pieces.add(found)
    seconds["joining"] = time.process_time() - begin - spent[0]
    span = image.block * image.pitch
    for y in range(0, side, span):
        whole = image.seen(0, y, side, min(y + span, side)).masks
        truth = [(a + b) % 2**64 for a, b in zip(truth, fingerprint(_moved(whole, y)), strict=True)]
    for found in pieces:
        count = [(a + b) % 2**64 for a, b in zip(count, fingerprint(found.masks), strict=True)]
    assert count == truth, f"{count[0]} objects joined, {truth[0]} seen"
    ref = ImageRef(Path("huge.zarr"), "huge.zarr", grid.size)
    for name, ending in (("geojson", "huge.geojson"), ("ome_zarr", "labels.zarr")):
        begin = time.process_time()
        bare = ((ref, one if name == "geojson" else one.replace(scores=None)) for one in pieces)
        formats.write(bare, folder / ending, name)
        seconds[name] = time.process_time() - begin
    sizes = {}
    for name in ("geojson", "labels"):
        sizes[f"{name} MB"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file() and name in str(f)) / 1e6
    return {"objects": count[0], "peak": _peak(), "before": start, **seconds, **sizes}


def _moved(masks: Masks, y: int) -> Masks:
    return masks.shift(0, y, (masks.size[0] + y, masks.size[1]))


def huge(args: argparse.Namespace) -> None:
    heads = (
        "side",
        "objects",
        "joining s",
        "GeoJSON s",
        "labels s",
        "objects/s",
        "peak MB",
        "at start",
        "GeoJSON MB",
        "labels MB",
    )
    print("".join(f"{head:>12}" for head in heads))
    for side in args.sides:
        with (
            tempfile.TemporaryDirectory(dir=args.folder) as folder,
            multiprocessing.get_context("spawn").Pool(1) as pool,
        ):
            row = pool.apply(one_huge, (side, Path(folder)))
        total = row["joining"] + row["geojson"] + row["ome_zarr"]
        sizes = (row["peak"], row["before"], row["geojson MB"], row["labels MB"])
        numbers = (
            side,
            row["objects"],
            row["joining"],
            row["geojson"],
            row["ome_zarr"],
            row["objects"] / total,
            *sizes,
        )
        print("".join(f"{n:12.1f}" if 0 < n < 1000 else f"{n:12.0f}" for n in numbers), flush=True)


def taking_pixels_as_they_are(name: str) -> Model:
    """Return a model that resizes no image."""
    loaded = load(name, "cpu").loaded
    return Model(replace(loaded, input=replace(loaded.input, imgsz=None)), "cpu")


@contextmanager
def clocked(model: Model) -> Iterator[dict[str, float]]:
    """Yield CPU seconds of the network and of its decoder, that grow while the model predicts; all at the end."""
    spent, runtime, begin = {"network": 0.0, "decoder": 0.0}, model.runtime, time.process_time()
    given = runtime.run, runtime.decode

    def timed(what: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            start = time.process_time()
            made = work(*args)
            spent[what] += time.process_time() - start
            return made

        return run

    runtime.run, runtime.decode = timed("network", runtime.run), timed("decoder", runtime.decode)
    yield spent
    runtime.run, runtime.decode = given
    spent["all"] = time.process_time() - begin


def scattered(side: int, seed: int) -> SceneConfig:
    """Return scenes of 600 to 1,200 objects on 4096 x 4096 pixels."""
    density = side * side / 4096**2
    return SceneConfig((side, side), (int(600 * density), int(1200 * density)), radius=(8, 60), seed=seed)


def against_whole(args: argparse.Namespace) -> None:
    model, pairs = taking_pixels_as_they_are(args.model), {"whole": [], "tiled": []}
    count, spent = dict.fromkeys(pairs, 0), {name: Counter() for name in pairs}
    for index in range(args.scenes):
        drawn = scenes(scattered(args.side, args.seed), index)
        truth = drawn.visible.replace(labels=np.zeros(len(drawn.visible), np.int64), classes=model.classes)
        for name, found in pairs.items():
            with clocked(model) as seconds:
                if name == "whole":
                    seen = model.predict(drawn.image, conf=0.05)
                else:
                    seen = Instances.concatenate(
                        list(model.predict_tiled(drawn.image, tile=args.tile, conf=0.05, halo=args.halo))
                    )
            spent[name].update(seconds)
            found.append((truth, seen))
            count[name] += int((seen.scores >= model.thresholds[0]).sum())
        _show(pairs, count, spent, model.classes)


def _show(
    pairs: dict[str, list[Any]], count: dict[str, int], spent: dict[str, Counter[str]], classes: tuple[str, ...]
) -> None:
    """Print a row for the scenes whole, and for the same in tiles."""
    scenes = len(pairs["whole"])
    print(f"{scenes} scene{'s' * (scenes > 1)}, {sum(len(truth) for truth, _ in pairs['whole'])} objects")
    heads = ("", "mask AP", "AP50", "objects", "network s", "decoder s", "else s")
    print("".join(f"{head:>10}" for head in heads))
    for name, found in pairs.items():
        result, seconds = evaluate(found, classes, metrics=["coco"], kinds=["mask"], max_dets=[100_000]), spent[name]
        row = f"{name:>10}{result['mask_ap']:10.4f}{result['mask_ap50']:10.4f}{count[name]:10d}"
        rest = seconds["all"] - seconds["network"] - seconds["decoder"]
        print(f"{row}{seconds['network']:10.1f}{seconds['decoder']:10.1f}{rest:10.1f}", flush=True)


def by_workers(args: argparse.Namespace) -> None:
    """Print the seconds of `apiece predict` for each number of processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = folder / "scene.tif"
        drawn = scenes(scattered(args.side, args.seed), 0).image.pixels
        tifffile.imwrite(image, drawn, tile=(512, 512), photometric="rgb")
        seconds: dict[int, list[float]] = {count: [] for count in args.counts}
        written = set()
        for turn in range(args.scenes):
            for count, spent in seconds.items():
                out = folder / f"{turn}-{count}"
                line = [sys.executable, "-m", "apiece", "predict", str(image), "--model", args.model]
                line += ["--tile", str(args.tile), "--workers", str(count), "--save", "geojson", "--out", str(out)]
                begin = time.perf_counter()
                subprocess.run(line, check=True, capture_output=True)
                spent.append(time.perf_counter() - begin)
                written.add(hashlib.sha256(next(out.rglob("*.geojson")).read_bytes()).hexdigest())
                print(f"{count} workers {spent[-1]:6.1f} s", flush=True)
    one = median(seconds[args.counts[0]])
    for count, spent in seconds.items():
        print(f"{count} workers: median {median(spent):.1f} s, {one / median(spent):.2f} times as fast")
    print("the same bytes" if len(written) == 1 else f"{len(written)} different files")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["join", "huge", "model", "workers"])
    parser.add_argument("--model", default="default")
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--halo", type=int)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--side", type=int)
    parser.add_argument("--objects", type=int, default=4365)
    parser.add_argument("--sides", type=int, nargs="+", default=[16384, 32768, 65536, 131072])
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--without-peer", action="store_true")
    args = parser.parse_args()
    args.side = args.side or (4096 if args.part == "model" else 8192)
    {"join": join, "huge": huge, "model": against_whole, "workers": by_workers}[args.part](args)


if __name__ == "__main__":
    main()
