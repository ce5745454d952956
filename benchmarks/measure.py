"""Measuring 5,000 ellipses of radius 15 to 30 on 4096 x 4096 with 3 channels, beside scikit-image in one run.

python benchmarks/measure.py [runs] [scikit-image's runs]      # needs: pip install 'apiece[benchmark]'

Both measure area, perimeter (Crofton), equivalent diameter, box, centroid, greatest Feret diameter, axes, orientation,
eccentricity, solidity, topology and the mean, min, max and standard deviation of each channel. apiece also measures the
least Feret diameter, the rectangle of least area and circularity, which ``regionprops_table`` does not have.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
from skimage.measure import regionprops_table

from apiece import Image, Instances
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


def main() -> None:
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
    print(f"ratio {peer / common:.1f}; bar: all properties in at most 2 s")
    print("greatest relative difference (feret_max: pixel corners here, edge midpoints there)")
    differences(ours(image=image), theirs())


if __name__ == "__main__":
    main()
