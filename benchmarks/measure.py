"""Measuring 5,000 ellipses of radius 15 to 30 on 4096 x 4096 with 3 channels, beside scikit-image in one run.

python benchmarks/measure.py [runs] [scikit-image's runs]      # needs: pip install 'apiece[benchmark]'
python benchmarks/measure.py accuracy                            # errors of both on rendered shapes

Both measure area, perimeter (Crofton), equivalent diameter, box, centroid, greatest Feret diameter, axes, orientation,
eccentricity, solidity, topology and the mean, min, max and standard deviation of each channel. apiece also measures the
least Feret diameter, the rectangle of least area, circularity, thickness, skeletons, convexity, roughness, neighbours
and colour, which ``regionprops_table`` does not have.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import cv2
import numpy as np
from skimage.measure import regionprops, regionprops_table
from skimage.morphology import medial_axis, skeletonize

from apiece import Image, Instances, Masks
from apiece.measurements import Table, measure

SIDE, COUNT = 4096, 5000
SHAPE = {
    "area": "area",
    "perimeter": "perimeter_crofton",
    "equivalent_diameter": "equivalent_diameter_area",
    "box": "bbox",
    "centroid": "centroid",
    "feret_max": "feret_diameter_max",
    "major_axis": "axis_major_length",
    "minor_axis": "axis_minor_length",
    "orientation": "orientation",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "holes": "euler_number",
}
INTENSITY = ("intensity_mean", "intensity_min", "intensity_max", "intensity_std")


def scene(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A label map of ellipses, later ones on top, and noise of three channels."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((SIDE, SIDE), np.int32)
    for i in range(COUNT):
        axes, centre = rng.integers(15, 31, 2).tolist(), rng.integers(32, SIDE - 32, 2).tolist()
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, i + 1, -1)
    return canvas, rng.integers(0, 256, (SIDE, SIDE, 3)).astype(np.uint8)


def report(name: str, call: Callable[[], Any], runs: int) -> float:
    """Print what a call takes; returns the median seconds."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(
        f"{name:22} median {median(seconds):7.3f} s   min {min(seconds):7.3f} s   memory {peak:5.1f} MB  ({runs} runs)",
        flush=True,
    )
    return median(seconds)


def differences(ours: Table, theirs: dict[str, np.ndarray]) -> None:
    """Greatest relative difference in what both define alike."""
    pairs = {a: b for a, b in SHAPE.items() if a not in ("box", "centroid", "orientation", "holes")}
    pairs |= {f"{name}_{c}": f"{name}-{c}" for name in INTENSITY for c in range(3)}
    for a, b in pairs.items():
        off = np.abs(ours[a] - theirs[b]) / np.maximum(np.abs(theirs[b]), 1e-9)
        print(f"  {a:22} {off.max():.1e}")


def rendered(kind: str, long: float, wide: float, count: int) -> Iterator[np.ndarray]:
    """Yield shapes at random angles and places below a pixel: a pixel belongs to one if its centre is inside."""
    rng = np.random.default_rng(0)
    side = int(np.hypot(long, wide) + 12)
    y, x = np.mgrid[:side, :side] + 0.5
    for turn in rng.uniform(0, np.pi, count):
        cx, cy = side / 2 + rng.uniform(-0.5, 0.5, 2)
        u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
        if kind == "disc":
            yield np.hypot(u, v) <= long / 2
        elif kind == "ring":
            yield abs(np.hypot(u, v) - (long - wide) / 2) <= wide / 2
        elif kind == "rectangle":
            yield (abs(u) <= long / 2) & (abs(v) <= wide / 2)
        else:
            yield np.hypot(np.maximum(abs(u) - (long - wide) / 2, 0), v) <= wide / 2


def accuracy(count: int = 60) -> None:
    """Print the mean error in pixels of both, on shapes of known size."""
    shapes = [("disc", 2 * r, 2 * r) for r in (5, 10, 20, 50, 100)]
    shapes += [("rectangle", 40, 10), ("rectangle", 25, 20), ("fibre", 60, 3), ("fibre", 60, 6), ("ring", 60, 8)]
    print(f"{'mean error, ours / scikit-image':22} {'area %':>15} {'feret_max':>15} {'thickness':>15} {'length':>15}")
    for kind, long, wide in shapes:
        masks = [np.pad(mask, 1) for mask in rendered(kind, long, wide, count)]
        ours = measure(Instances(Masks.from_dense(np.stack(masks))))
        found = []
        for mask in masks:
            (region,) = regionprops(mask.astype(np.uint8))
            lines, depth = medial_axis(mask, return_distance=True)
            found.append((region.area, region.feret_diameter_max, 2 * depth[lines].mean(), skeletonize(mask).sum()))
        area = np.pi / 4 * long**2 if kind == "disc" else long * wide
        area = np.pi * (long - wide) * wide if kind == "ring" else area
        area -= (1 - np.pi / 4) * wide**2 if kind == "fibre" else 0
        feret = np.hypot(long, wide) if kind == "rectangle" else long
        truth = (area, feret, wide, np.pi * (long - wide) if kind == "ring" else long)
        columns = ("area", "feret_max", "thickness_mean", "skeleton_length")
        cells = []
        for name, theirs, true in zip(columns, np.array(found).T, truth, strict=True):
            both = [
                float(np.abs(v - true).mean()) * (100 / true if name == "area" else 1) for v in (ours[name], theirs)
            ]
            cells.append(f"{both[0]:7.2f} /{both[1]:6.2f}")
        print(f"{kind:12} {long:4} {wide:4}          " + " ".join(cells), flush=True)


def main() -> None:
    if sys.argv[1:] == ["accuracy"]:
        accuracy()
        return
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    peer_runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    canvas, pixels = scene()
    found, image = Instances.from_label_map(canvas), Image(pixels)
    print(f"{len(found)} instances, {found.masks.area.sum() / 1e6:.1f} million pixels, {SIDE} x {SIDE} x 3")

    def ours(**options: Any) -> Table:
        # new masks each time: areas, boxes and centroids are kept once computed
        return measure(found.replace(masks=found.masks[:]), **options)

    asked = (*SHAPE.values(), *INTENSITY)

    def theirs() -> dict[str, np.ndarray]:
        return regionprops_table(canvas, pixels, properties=asked)

    report("apiece, all", lambda: ours(image=image), runs)
    report("apiece, shape only", lambda: ours(), runs)
    report("apiece, from label map", lambda: measure(Instances.from_label_map(canvas), image), runs)
    common = report("apiece, what both have", lambda: ours(image=image, properties=[*SHAPE, *INTENSITY]), runs)
    peer = report("scikit-image", theirs, peer_runs)
    print(f"ratio {peer / common:.1f}; bar: all properties in at most 3 s and 300 MB")
    print("greatest relative difference (feret_max: pixel corners here, edge midpoints there)")
    differences(ours(image=image), theirs())


if __name__ == "__main__":
    main()
