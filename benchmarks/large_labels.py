"""Labels of large images: what commands take in memory and time, label images by side and a GeoJSON of many objects.

    python benchmarks/large_labels.py images [--sides 8192 16384 32768] [--without-peer] [--folder FOLDER]

``images``: label TIFFs with a wavy disc on each square of 64 pixels, of radius 8 to 33, so that many touch; every
eighth has a hole. Predictions are the same discs, a little larger, smaller and moved.

    python benchmarks/large_labels.py geojson [--objects 1000000] [--rounds 1] [--without-peer] [--folder FOLDER]

``geojson``: what `info` and `convert` take beside a streaming parser that keeps nothing. ijson must be installed (tried
with 3.6.0, backend yajl2_c). The file is as QuPath exports detections: outlines of 32 points with two decimals, a class
with a color, an id. Images have an object on each square of 40 pixels. ijson yields every feature, once with its
default (Decimal) and once with floats, and the process does nothing else.

Each row is a process of its own, so its memory is the process's peak, and its CPU time includes Python's start.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import tifffile

PITCH, SQUARE, TILE = 40, 64, 512
APIECE = "from apiece.cli import main; main()"
IJSON = "import ijson, sys; print(sum(1 for _ in ijson.items(open(sys.argv[1], 'rb'), 'features.item'{})))"


def write_file(path: Path, count: int) -> None:
    rng, side = np.random.default_rng(0), int(np.ceil(np.sqrt(count)))
    angle = np.arange(32) / 32 * 2 * np.pi
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    with path.open("w") as file:
        head = {"type": "FeatureCollection", "apiece": {"image": "slide.tif", "size": [side * PITCH] * 2}}
        file.write(json.dumps(head)[:-1] + ', "features": [')
        for k in range(count):
            radius = rng.uniform(6, 16) * (0.93 + 0.07 * np.sin(3 * angle + rng.uniform(0, 6)))
            middle = (np.array([k % side, k // side]) + 0.5) * PITCH
            points = (middle + radius[:, None] * circle).round(2).tolist()
            kind = {"name": ("Tumor", "Stroma", "Immune")[k % 3], "color": [200, 0, 0]}
            feature = {
                "type": "Feature",
                "id": f"{k:032x}",
                "geometry": {"type": "Polygon", "coordinates": [[*points, points[0]]]},
                "properties": {"objectType": "annotation", "classification": kind, "isLocked": False},
            }
            file.write((",\n" if k else "\n") + json.dumps(feature))
        file.write("\n]}\n")


def label_tiles(side: int, moved: bool) -> Iterator[np.ndarray]:
    """Yield a label image in tiles, row by row."""
    rng, other = np.random.default_rng(0), np.random.default_rng(1)
    across, down = side // SQUARE, TILE // SQUARE
    at = (np.arange(SQUARE) + 0.5 - SQUARE / 2).astype(np.float32)
    for top in range(0, side, TILE):
        radius, wave, phase, *middle = rng.uniform(
            [[[8]], [[0]], [[0]], [[-2]], [[-2]]], [[[33]], [[0.3]], [[6]], [[2]], [[2]]], (5, down, across)
        ).astype(np.float32)
        if moved:
            radius, *middle = np.stack([radius, *middle]) + other.uniform(-1, 1, (3, down, across)).astype(np.float32)
        number = (np.arange(down)[:, None] + top // SQUARE) * across + np.arange(across) + 1
        for x in range(0, across, down):
            some = (slice(None), slice(x, x + down), None, None)
            dx, dy = at - middle[0][some], at[:, None] - middle[1][some]
            away, edge = (
                np.hypot(dx, dy),
                radius[some] * (1 + wave[some] * np.sin(3 * np.arctan2(dy, dx) + phase[some])),
            )
            inside = (away < edge) & ((away > edge / 3) | (number[some] % 8 > 0))
            squares = np.where(inside, number[some], 0).astype(np.uint32)
            yield np.ascontiguousarray(squares.swapaxes(1, 2).reshape(TILE, TILE))


def write_image(path: Path, side: int, moved: bool) -> None:
    path.parent.mkdir()
    tifffile.imwrite(
        path, label_tiles(side, moved), shape=(side, side), dtype=np.uint32, tile=(TILE, TILE), compression="zlib",
        predictor=True, metadata=None,
    )  # fmt: skip


def run(code: str, *arguments: str) -> tuple[float, float]:
    """Return CPU seconds and the peak memory in MB of a Python process."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def images(args: argparse.Namespace) -> None:
    print(f"{'side':>7}{'objects':>9}  {'command':9}{'CPU s':>8}{'MB':>7}")
    for side in args.sides:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            truth, found = (Path(folder) / name / "a_masks.tif" for name in ("truth", "found"))
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # its memory must not count as a child's
                pool.starmap(write_image, [(truth, side, False), (found, side, True)])
            works = {
                "info": ("info", truth),
                "convert": ("convert", truth, Path(folder) / "out.zarr", "--to", "ome_zarr", "--image-files", "leave"),
                "measure": ("measure", truth, "--no-intensities", "--out", Path(folder) / "table.csv"),
                "check": ("check", truth, "--no-images"),
                "evaluate": ("evaluate", truth, "--predictions", found, "--metrics", "all"),
            }
            for name, work in works.items():
                if name in args.commands:
                    seconds, megabytes = run(APIECE, *map(str, work))
                    print(f"{side:7}{(side // SQUARE) ** 2:9}  {name:9}{seconds:8.1f}{megabytes:7.0f}", flush=True)


def geojson(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        path = Path(folder) / "objects.geojson"
        write_file(path, args.objects)
        print(f"{args.objects:,} objects, {path.stat().st_size / 1e6:.0f} MB", flush=True)
        drop = ("--to", "ome_zarr", "--drop", "classes,attributes", "--image-files", "leave", "--overwrite")
        works = {
            "ijson": (IJSON.format(""), str(path)),
            "info": (APIECE, "info", str(path)),
            "ijson, floats": (IJSON.format(", use_float=True"), str(path)),
            "convert to OME-Zarr": (APIECE, "convert", str(path), str(Path(folder) / "out.zarr"), *drop),
        }
        if args.without_peer:
            works = {name: work for name, work in works.items() if work[0] == APIECE}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(args.rounds):
            for name, work in works.items():
                found[name].append(run(*work))
        for name, runs in found.items():
            seconds = median(one[0] for one in runs)
            peers = [peer for peer in ("ijson", "ijson, floats") if peer in found]
            ratios = (seconds / median(one[0] for one in found[peer]) for peer in peers)
            times = "  ".join(f"{ratio:5.2f}" for ratio in ratios)
            print(
                f"{name:22}{seconds:8.1f} s {max(one[1] for one in runs):7.0f} MB   times ijson's, with floats: {times}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["images", "geojson"])
    parser.add_argument("--sides", type=int, nargs="+", default=[8192, 16384, 32768])
    parser.add_argument("--commands", nargs="+", default=["info", "convert", "measure", "check", "evaluate"])
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    {"images": images, "geojson": geojson}[args.part](args)


if __name__ == "__main__":
    main()
