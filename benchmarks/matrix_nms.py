"""From 500 candidates of SOLO and SOLOv2 to masks: Matrix NMS and drawing, beside another build in the same run.

Candidates are five for each of 100 discs on an input of 640 x 640, as their networks give them, and masks are drawn at
1280 x 1280. ``all`` keeps every candidate (``iou`` 1), so that all 500 are drawn. Bar: half of the other build's time.

python benchmarks/matrix_nms.py --against ../older_checkout
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch

from apiece import Instances
from apiece.models import load
from apiece.models.contract import DecodeOptions, Frame

SIDE, DISCS, EACH, STRIDE = 640, 100, 5, 4
FINE = 4  # values along a cell of SOLO's windows
PERIOD = 16  # cells along them
CASES = {"best": 0.5, "all": 1.0}  # name to iou
REPEATS, ROUNDS = 9, 3


def discs(rng: np.random.Generator, cells: float) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return centres and radii of the candidates, and scores, labels and places; a disc spans at most ``cells``."""
    centre = rng.uniform(0, SIDE, (DISCS, 2)).repeat(EACH, 0) + rng.normal(0, 3, (DISCS * EACH, 2))
    radius = rng.uniform(6, 100, DISCS).repeat(EACH) * rng.uniform(0.9, 1.1, DISCS * EACH)
    side = STRIDE * 2 ** np.clip(np.ceil(np.log2(2 * radius / (STRIDE * cells))), 0, 4)
    place = (np.floor(centre / side[:, None]) + 0.5) * side[:, None]
    scores, labels = np.sort(rng.uniform(0.3, 0.95, DISCS * EACH))[::-1], rng.integers(0, 3, DISCS).repeat(EACH)
    order = rng.permutation(DISCS * EACH)
    found = {"labels": labels[order], "places": np.concatenate([place, side[:, None]], 1)[order]}
    return centre[order], radius[order], found | {"scores": scores}


def solo(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The outputs of SOLO: probabilities in the window about each cell."""
    centre, radius, found = discs(rng, 6.0)
    side = found["places"][:, 2:]
    step = (np.arange(FINE * PERIOD) + 0.5) / FINE - (PERIOD + 1) / 2
    x, y = (found["places"][:, k, None] + side * step - centre[:, k, None] for k in (0, 1))
    far = np.hypot(x[:, None, :], y[:, :, None])
    return found | {"masks": 1 / (1 + np.exp((far - radius[:, None, None]) / 2))}


def solov2(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The outputs of SOLOv2: a kernel for each cell, and smooth features that bend its disc."""
    _, radius, found = discs(rng, 6.0)
    noise = rng.normal(size=(32, SIDE // STRIDE, SIDE // STRIDE)).astype(np.float32)
    features = np.maximum(np.stack([cv2.GaussianBlur(plane, (0, 0), 3) * 8 for plane in noise]), 0)
    kernels = np.zeros((len(radius), 38))
    kernels[:, :32] = rng.normal(0, 0.1, (len(radius), 32))
    kernels[:, 32] = 4
    kernels[:, 35:37] = 4 * (found["places"][:, 2:] / radius[:, None]) ** 2
    return found | {"kernels": kernels, "features": features}


def tensors(outputs: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """One image's outputs as a batch."""
    made = {name: torch.from_numpy(np.ascontiguousarray(v))[None] for name, v in outputs.items()}
    single = {name: v if v.dtype == torch.int64 else v.float() for name, v in made.items()}
    return single | {"left_out": torch.zeros(1)}


def measured(folder: Path) -> dict[str, float]:
    """Return the least CPU time of each case in milliseconds; the masks go to ``folder``."""
    torch.set_num_threads(1)
    times = {}
    for name, make in (("solo", solo), ("solov2", solov2)):
        out = tensors(make(np.random.default_rng(0)))
        for case, iou in CASES.items():
            decode = partial(decoded, name, out, iou)
            found = decode()
            times[f"{name}, {case}"] = least(decode)
            np.savez(folder / f"{name}_{case}.npz", scores=found.scores, **found.masks.runs._asdict())
    return times


def decoded(name: str, out: dict[str, torch.Tensor], iou: float) -> Instances:
    """What a model makes of its outputs."""
    frame = Frame((2 * SIDE, 2 * SIDE), (SIDE, SIDE))
    (found,) = load(name).decode(out, [frame], ("a", "b", "c"), DecodeOptions(conf=0.05, iou=iou))
    return found


def least(decode: Callable[[], Instances]) -> float:
    """Least CPU time in milliseconds."""
    times = []
    for _ in range(REPEATS):
        begin = time.process_time()
        decode()
        times.append(1e3 * (time.process_time() - begin))
    return min(times)


def build(source: Path, folder: Path) -> dict[str, float]:
    """Return what a build measures in a process of its own."""
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(source / "src")}
    done = subprocess.run(
        [sys.executable, __file__, "--measure", str(folder)], env={**os.environ, **one}, check=True, capture_output=True
    )
    times: dict[str, float] = json.loads(done.stdout)
    return times


def differences(ours: Path, theirs: Path) -> str:
    """Say how far the results of two builds are apart."""
    a, b = np.load(ours), np.load(theirs)
    if len(a["scores"]) != len(b["scores"]):
        return f"{len(a['scores'])} and {len(b['scores'])} objects"
    same = all(np.array_equal(a[name], b[name]) for name in ("x", "y0", "y1", "offsets"))
    apart = np.abs(a["scores"] - b["scores"]).max(initial=0)
    return f"{len(a['scores'])} objects, masks {'equal' if same else 'differ'}, scores {apart:.0e} apart"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="checkout of the other build")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measured(options.measure)))
        return
    sources = {"ours": Path(__file__).parents[1]}
    if options.against is not None:
        sources["other"] = options.against.resolve()
    with tempfile.TemporaryDirectory() as name:
        folders = {side: Path(name) / side for side in sources}
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sources}
        for folder in folders.values():
            folder.mkdir()
        for _ in range(ROUNDS):  # in turn, so that other work on the machine slows both
            for side, source in sources.items():
                found[side].append(build(source, folders[side]))
        for case in found["ours"][0]:
            best = {side: min(times[case] for times in rounds) for side, rounds in found.items()}
            line = f"{case:14} {best['ours']:6.1f} ms"
            if options.against is not None:
                file = case.replace(", ", "_") + ".npz"
                line += f", other {best['other']:6.1f} ms: {best['other'] / best['ours']:.1f} times faster; "
                line += differences(*(folder / file for folder in folders.values()))
            print(line)


if __name__ == "__main__":
    main()
