"""A GeoJSON of many objects: what `info` and `convert` take beside a streaming parser that keeps nothing.

    python benchmarks/large_labels.py [--objects 1000000] [--rounds 1] [--folder FOLDER]

ijson must be installed (tried with 3.6.0, backend yajl2_c). The file is as QuPath exports detections: outlines of 32
points with two decimals, a class with a color, an id. Images have an object on each square of 40 pixels. Each row is a
process of its own, so its memory is the process's peak, and its CPU time includes Python's start. ijson yields every
feature, once with its default (Decimal) and once with floats, and the process does nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

PITCH = 40
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


def run(code: str, *arguments: str) -> tuple[float, float]:
    """Return CPU seconds and the peak memory in MB of a Python process."""
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
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
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
        for _ in range(args.rounds):
            for name, work in works.items():
                found[name].append(run(*work))
        for name, runs in found.items():
            seconds = median(one[0] for one in runs)
            ratios = (seconds / median(one[0] for one in found[peer]) for peer in ("ijson", "ijson, floats"))
            times = "  ".join(f"{ratio:5.2f}" for ratio in ratios)
            print(
                f"{name:22}{seconds:8.1f} s {max(one[1] for one in runs):7.0f} MB   times ijson's, with floats: {times}"
            )


if __name__ == "__main__":
    main()
