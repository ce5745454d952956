"""Measuring 5,000 ellipses of radius 15 to 30 on 4096 x 4096 with 3 channels, beside scikit-image in one run.

python benchmarks/measure.py [runs] [scikit-image's runs]      # needs: pip install 'apiece[benchmark]'
python benchmarks/measure.py accuracy                            # errors of both on rendered shapes
python benchmarks/measure.py bound                               # the least error that pixels allow, on the same shapes
python benchmarks/measure.py intervals [seed]                    # how many 95% intervals hold the true value
python benchmarks/measure.py edges [model] [scenes]              # the same of what a model finds, from its soft edges

Both measure area, perimeter (Crofton), equivalent diameter, box, centroid, greatest Feret diameter, axes, orientation,
eccentricity, solidity, topology and the mean, min, max and standard deviation of each channel. apiece also measures the
least Feret diameter, the rectangle of least area, circularity, thickness, skeletons, convexity, roughness, neighbours
and colour, which ``regionprops_table`` does not have.
"""

from __future__ import annotations

import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import cv2
import numpy as np
from skimage.measure import regionprops, regionprops_table
from skimage.morphology import medial_axis, skeletonize

from apiece import Image, Instances, Masks, load
from apiece.calibration import Calibration
from apiece.datasets import synthetic as scenes
from apiece.measurements import EdgeFit, Table, matched, measure

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


SHAPES = ("disc", "ellipse", "rectangle", "fibre", "ring")
RENDERED = [("disc", 2 * r, 2 * r) for r in (5, 10, 20, 50, 100)]
RENDERED += [("rectangle", 40, 10), ("rectangle", 25, 20), ("fibre", 60, 3), ("fibre", 60, 6), ("ring", 60, 8)]


def drawn(kind: str, long: float, wide: float, rng: np.random.Generator, turned: float | None = None) -> np.ndarray:
    """Draw a shape at an angle, else at random, and a place below a pixel: pixels with their centre inside."""
    return placed(kind, long, wide, rng, turned)[0]


def placed(
    kind: str, long: float, wide: float, rng: np.random.Generator, turned: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a drawn shape, and where it is: x, y, angle, length and width."""
    side = int(np.hypot(long, wide) + 12)
    y, x = np.mgrid[:side, :side] + 0.5
    (cx, cy), turn = side / 2 + rng.uniform(-0.5, 0.5, 2), rng.uniform(0, np.pi)
    form = np.array((cx, cy, turn if turned is None else np.radians(turned), long, wide))
    return inside(kind, x, y, form), form


def inside(kind: str, x: np.ndarray, y: np.ndarray, form: np.ndarray) -> np.ndarray:
    """Return whether places lie in shapes."""
    cx, cy, turn, long, wide = form
    u, v = (x - cx) * np.cos(turn) + (y - cy) * np.sin(turn), (y - cy) * np.cos(turn) - (x - cx) * np.sin(turn)
    held: np.ndarray = {
        "disc": lambda: np.hypot(u, v) <= long / 2,
        "ellipse": lambda: np.hypot(u / long, v / wide) <= 0.5,
        "rectangle": lambda: (abs(u) <= long / 2) & (abs(v) <= wide / 2),
        "fibre": lambda: np.hypot(np.maximum(abs(u) - (long - wide) / 2, 0), v) <= wide / 2,
        "ring": lambda: abs(np.hypot(u, v) - (long - wide) / 2) <= wide / 2,
    }[kind]()
    return held


def truth(kind: str, long: float, wide: float) -> dict[str, float]:
    """Return what a drawn shape measures."""
    area = {
        "disc": np.pi / 4 * long**2,
        "ellipse": np.pi / 4 * long * wide,
        "rectangle": long * wide,
        "fibre": (long - wide) * wide + np.pi / 4 * wide**2,
        "ring": np.pi * (long - wide) * wide,
    }[kind]
    least = long if kind == "ring" else wide
    return {
        "area": area, "fitted_area": area, "equivalent_diameter": np.sqrt(4 / np.pi * area),
        "feret_max": np.hypot(long, wide) if kind == "rectangle" else long, "feret_min": least,
        "rect_length": long, "rect_width": least, "thickness_mean": wide,
        "skeleton_length": np.pi * (long - wide) if kind == "ring" else long,
    }  # fmt: skip


def intervals(count: int = 400) -> None:
    """Print how many 95% intervals hold the true value: shapes of random size, angle and place, then on a plane."""
    rng = np.random.default_rng(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    size = (140, 140)
    names = ("area", "equivalent_diameter", "fitted_area", "feret_max", "feret_min", "rect_length", "rect_width")
    print(f"{'held by 95% intervals, %':26}" + " ".join(f"{name:>20}" for name in names))
    both: dict[str, list[np.ndarray]] = {"all, pixels": [], "all, scale known to 0.5%": []}
    for kind in SHAPES:
        masks, true = [], []
        for long in np.exp(rng.uniform(np.log(10), np.log(80), count)).tolist():
            wide = {"disc": 1.0, "ellipse": rng.uniform(0.25, 0.9), "rectangle": rng.uniform(0.25, 0.9)}.get(kind)
            wide = max(3.0, long * rng.uniform(0.05, 0.3)) if wide is None else long * wide
            mask = drawn(kind, long, wide, rng)
            masks.append(np.pad(mask, [(0, side - n) for side, n in zip(size, mask.shape, strict=True)]))
            true.append([truth(kind, long, wide)[name] for name in names])
        found = Instances(Masks.from_dense(np.stack(masks)))
        scales = 0.1 * (1 + rng.normal(0, 0.005, count))
        plain = held(measure(found, uncertainty=True, properties=names), np.array(true), names)
        powers = np.array([2 if name.endswith("area") else 1 for name in names])
        there = [
            held(
                measure(
                    found[[k]],
                    calibration=Calibration(size, "mm", (scale, 0, 0, 0, scale, 0, 0, 0, 1), scale_error=0.005),
                    uncertainty=True,
                    properties=names,
                ),
                np.array(true[k : k + 1]) * 0.1**powers,
                names,
            )
            for k, scale in enumerate(scales.tolist())
        ]
        print(f"{kind:26}" + " ".join(f"{100 * v:20.1f}" for v in share(plain)), flush=True)
        both["all, pixels"].append(plain)
        both["all, scale known to 0.5%"].append(np.concatenate(there))
    for name, rows in both.items():
        print(f"{name:26}" + " ".join(f"{100 * v:20.1f}" for v in share(np.concatenate(rows))))


def held(table: Table, true: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return which intervals hold the true value, 1 or 0; NaN where nothing is measured."""
    off = np.stack([abs(table[name] - true[:, k]) - table[f"{name}_u95"] for k, name in enumerate(names)], 1)
    return np.where(np.isnan(off), np.nan, off <= 0)


def share(hits: np.ndarray) -> np.ndarray:
    """Return the share of ones of each column, NaN of no numbers."""
    measured = ~np.isnan(hits)
    return np.nansum(hits, 0) / np.where(measured.any(0), measured.sum(0), np.nan)


def edges() -> None:
    """Print how many 95% intervals hold the true size of what a model finds, on scenes that told its factors nothing.

    Beside them: softness alone, and one distance for all masks in place of softness.
    """
    model = load(sys.argv[2] if len(sys.argv) > 2 else "default", device="cpu")
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 60
    names = ("area", "feret_max", "feret_min", "rect_length", "rect_width", "major_axis", "minor_axis")
    classes = [name for name in scenes.SceneConfig().classes if name in model.classes] or ["washer", "pill", "nut"]
    options = replace(model.options(), edges=(1.0, 1.0))
    fits, kept = [EdgeFit() for _ in range(2)], []
    for k in range(2 * count):
        drawn = scenes.scene(scenes.SceneConfig(classes=tuple(classes), seed=17), k)
        (found,) = model.predict_batch([drawn.image], options)
        truth = drawn.visible
        if set(model.classes) == {"object"}:
            truth = truth.replace(labels=np.zeros(len(truth), np.int64), classes=model.classes)
        alike = found.replace(attributes={"edge": np.ones(len(found))})
        if k < count:
            for fit, one in zip(fits, (found, alike), strict=True):
                fit.add(truth, one)
            continue
        own, label = matched(truth, found)
        kept.append((truth[label], found[own], alike[own]))
    factors = [fit.factors for fit in fits]
    print(f"{len(fits[0])} objects told the factors {factors[0]} and, without softness, the distances {factors[1]}")
    print(f"{'held by 95% intervals, %':26}" + " ".join(f"{name:>12}" for name in (*names, "lengths")))
    for words, which, factor in (
        ("softness alone", 1, (1.0, 1.0)),
        ("one distance for all", 2, factors[1]),
        ("softness, factors", 1, factors[0]),
    ):
        rows, soft = [], []
        for one in kept:
            edge = one[which].attributes["edge"]
            sure = one[which].replace(attributes={"edge": factor[0] * edge, "edge_mean": factor[1] * edge})
            asked = [*names, "cut_by_border"]
            true, table = (measure(each, uncertainty=True, properties=asked) for each in (one[0], sure))
            whole = ~(true["cut_by_border"] | table["cut_by_border"])
            rows.append(held(table, np.stack([true[name] for name in names], 1), names)[whole])
            soft.append(one[1].attributes["edge"][whole])
        hits, order = np.concatenate(rows), np.argsort(np.concatenate(soft))
        print(f"{words:26}" + " ".join(f"{100 * v:12.1f}" for v in (*hits.mean(0), hits[:, 1:].mean())))
        parts = [100 * hits[some, 0].mean() for some in np.array_split(order, 4)]
        print(
            f"{'':26}area, from the sharpest to the softest quarter: " + " ".join(f"{v:.0f}" for v in parts), flush=True
        )
    print(f"{len(hits)} objects of {count} other scenes")


def accuracy(count: int = 60) -> None:
    """Print the mean error in pixels of both, on shapes of known size."""
    columns = ("area", "fitted_area", "feret_max", "rect_length", "rect_angle", "thickness_mean", "skeleton_length")
    words = {"area": "area %", "fitted_area": "fitted_area %", "rect_angle": "rect_angle deg"}
    print(f"{'mean error, ours / scikit-image':32}" + " ".join(f"{words.get(name, name):>16}" for name in columns))
    for kind, long, wide in RENDERED:
        rng = np.random.default_rng(0)
        turns = rng.uniform(0, 180, count)
        masks = [np.pad(drawn(kind, long, wide, rng, turn), 1) for turn in turns.tolist()]
        ours = measure(Instances(Masks.from_dense(np.stack(masks))))
        found = []
        for mask in masks:
            (region,) = regionprops(mask.astype(np.uint8))
            lines, depth = medial_axis(mask, return_distance=True)
            found.append((
                region.area, region.area, region.feret_diameter_max, region.axis_major_length,
                90 - np.degrees(region.orientation), 2 * depth[lines].mean(), skeletonize(mask).sum(),
            ))  # fmt: skip
        cells = []
        unknown = {"rectangle": {"thickness_mean", "skeleton_length"}}.get(kind, set())
        unknown |= {"rect_angle"} if kind in ("disc", "ring") else set()
        for name, theirs in zip(columns, np.array(found).T, strict=True):
            if name in unknown or np.isnan(ours[name]).all():
                cells.append(" " * 16)
                continue
            true = turns if name == "rect_angle" else truth(kind, long, wide)[name]
            per = 100 / true if name.endswith("area") else 1
            off = [v - true for v in (ours[name], theirs)]
            if name == "rect_angle":
                off = [(v + 90) % 180 - 90 for v in off]
            mine, other = (float(np.nanmean(np.abs(v))) * per for v in off)
            cells.append(f"{mine:8.3f} /{other:6.2f}")
        print(f"{kind:12} {long:4} {wide:4}           " + " ".join(cells), flush=True)


def bound(count: int = 60) -> None:
    """Print the mean error of the median of all forms that have the same pixels, of a kind that is known.

    If sizes, angles and places are equally likely, no method has a smaller one.
    """
    columns = ("area", "feret_max", "rect_length", "rect_angle")
    print(f"{'least mean error':24}" + " ".join(f"{name:>12}" for name in ("area %", *columns[1:3], "rect_angle deg")))
    for kind, long, wide in RENDERED:
        rng = np.random.default_rng(0)
        turns, off = rng.uniform(0, 180, count), []
        shapes = [placed(kind, long, wide, rng, turn) for turn in turns.tolist()]
        for mask, form in shapes:
            open_ = alike(kind, mask, form)
            sizes, true = truth(kind, *open_[3:]), truth(kind, long, wide)
            each = [np.median(sizes[name]) - true[name] for name in columns[:3]]
            off.append([*each, np.degrees(np.median(open_[2]) - form[2])])
        mean = np.abs(off).mean(0) * np.array([100 / truth(kind, long, wide)["area"], 1, 1, 1])
        print(f"{kind:12} {long:4} {wide:4}  " + " ".join(f"{v:12.3f}" for v in mean), flush=True)


def alike(kind: str, mask: np.ndarray, form: np.ndarray, chains: int = 40, steps: int = 1500) -> np.ndarray:
    """Return forms of a kind that have the same pixels as this one, all equally likely: (5, many).

    Chains step by differences of others (ter Braak, 2006), and stay where a pixel would change sides.
    """
    rng = np.random.default_rng(1)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))) != cv2.erode(mask.astype(np.uint8), np.ones((3, 3)))
    y, x = np.nonzero(near)
    free = {"disc": (1, 1, 0, 1, 0), "ring": (1, 1, 0, 1, 1)}.get(kind, (1, 1, 1 / form[3], 1, 1))
    scale, chain, kept = np.array(free)[:, None], np.repeat(form[:, None], chains, 1), []

    def step(which: np.ndarray, by: np.ndarray) -> None:
        new = chain[:, which] + by
        stays = (inside(kind, x + 0.5, y + 0.5, new[:, :, None]) == mask[y, x]).all(1)
        chain[:, which[stays]] = new[:, stays]

    for _ in range(60):
        step(np.arange(chains), scale * rng.normal(size=chain.shape) * 10 ** rng.uniform(-4, -1, chains))
    for k in range(steps):
        which, one, other = np.split(rng.permutation(chains), (chains // 2, chains * 3 // 4))
        apart = np.repeat(chain[:, one] - chain[:, other], 2, 1) * rng.uniform(0.3, 1.1, len(which))
        step(which, apart + scale * rng.normal(size=apart.shape) * 1e-4)
        if k > steps // 3 and k % 5 == 0:
            kept.append(chain.copy())
    return np.concatenate(kept, 1)


def main() -> None:
    if sys.argv[1:2] in (["accuracy"], ["bound"], ["intervals"], ["edges"]):
        {"accuracy": accuracy, "bound": bound, "intervals": intervals, "edges": edges}[sys.argv[1]]()
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
