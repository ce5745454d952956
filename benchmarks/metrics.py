"""COCO mask AP beside faster-coco-eval and pycocotools: time and memory, in one run.

    python benchmarks/metrics.py [--repeat 5] [--with-pycocotools] [--case a|b|c]

What is timed, the same on all sides: COCO mask evaluation (``segm``) from compressed RLE in memory (the dictionaries of
a COCO file and of a result file, decoded from JSON before the clock starts) to the twelve numbers. For pycocotools and
faster-coco-eval: ``createIndex``, ``loadRes``, ``evaluate``, ``accumulate``, ``summarize``. For apiece:
`Masks.from_coco`, `Instances`, and `evaluate`. "mask and box" has the box numbers, too, for which the others need a
second pass over what is loaded; "apiece, every metric" all that applies (boundary AP, panoptic quality, AJI, class
maps, confusion, errors and the rest), with every detection in the final answer, too. Sides take turns, each run in a
process of its own; memory is the peak resident set above what the process held when the clock started (Linux).

a: 500 images of 640 x 480, 8 truths and 100 detections each, 80 classes, max_dets 1, 10, 100.
b: 20 images of 2048 x 2048, 1,500 truths and 1,800 detections each, 1 class, max_dets 1, 10, 2000.
c: as a, 5,000 images.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

CASES = {
    "a": {"images": 500, "size": (480, 640), "truths": 8, "found": 100, "classes": 80, "radius": (15, 60),
          "max_dets": (1, 10, 100)},
    "b": {"images": 20, "size": (2048, 2048), "truths": 1500, "found": 1800, "classes": 1, "radius": (12, 24),
          "max_dets": (1, 10, 2000)},
}  # fmt: skip
CASES["c"] = CASES["a"] | {"images": 5000}


def make(case: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Ellipses; detections are truths that moved and grew a little, then strays, half of each class right."""
    from apiece.core.masks import Masks

    rng = np.random.default_rng(seed)
    height, width = case["size"]
    data: dict[str, Any] = {"images": [], "annotations": [], "categories": [], "results": []}
    data["categories"] = [{"id": k + 1, "name": f"class {k}"} for k in range(case["classes"])]
    for i in range(1, case["images"] + 1):
        data["images"].append({"id": i, "file_name": f"{i}.png", "height": height, "width": width})
        t, f = case["truths"], case["found"]
        centre = rng.uniform(0, 1, (t, 2)) * (width, height)
        radius = rng.uniform(*case["radius"], (t, 2))
        label = rng.integers(1, case["classes"] + 1, t)
        copied = rng.integers(0, t, f) if f > 2 * t else np.concatenate([np.arange(t), rng.integers(0, t, f - t)])
        stray = rng.random(f) < 0.2
        moved = np.where(stray[:, None], rng.uniform(0, 1, (f, 2)) * (width, height), centre[copied])
        moved = moved + rng.normal(0, 0.12, (f, 2)) * radius[copied]
        scaled = radius[copied] * rng.uniform(0.85, 1.2, (f, 2))
        names = np.where(rng.random(f) < 0.3, rng.integers(1, case["classes"] + 1, f), label[copied])
        for rle, k in zip(Masks.from_crops(*_ellipses(centre, radius), (height, width)).to_coco(), label, strict=True):
            note = {"id": len(data["annotations"]) + 1, "image_id": i, "category_id": int(k), "iscrowd": 0}
            data["annotations"].append(note | {"segmentation": rle})
        score = np.round(rng.random(f), 3)
        rles = Masks.from_crops(*_ellipses(moved, scaled), (height, width)).to_coco()
        for rle, k, s in zip(rles, names, score, strict=True):
            data["results"].append({"image_id": i, "category_id": int(k), "segmentation": rle, "score": float(s)})
    from pycocotools import mask as codec

    for note in data["annotations"]:
        rle = {"size": note["segmentation"]["size"], "counts": note["segmentation"]["counts"].encode()}
        note["area"], note["bbox"] = float(codec.area(rle)), codec.toBbox(rle).tolist()
    return data


def _ellipses(centre: np.ndarray, radius: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    corner = np.floor(centre - radius).astype(int)
    crops = []
    for c, r, k in zip(centre, radius, corner, strict=True):
        x, y = (np.arange(int(2 * r[d]) + 3) + 0.5 + k[d] - c[d] for d in (0, 1))
        crops.append((x[None, :] / r[0]) ** 2 + (y[:, None] / r[1]) ** 2 <= 1)
    return crops, corner


def ours(side: str) -> Callable[[dict[str, Any], tuple[int, ...]], list[float]]:
    """apiece: masks only, masks and boxes in one pass, or every metric in one pass."""
    kinds = ("mask",) if side == "apiece" else ("mask", "box")
    metrics = "all" if side.endswith("every metric") else ("coco",)
    return lambda data, max_dets: _ours(data, max_dets, kinds, metrics)


def _ours(
    data: dict[str, Any], max_dets: tuple[int, ...], kinds: tuple[str, ...], metrics: Literal["all"] | tuple[str, ...]
) -> list[float]:
    from apiece.core.instances import Instances
    from apiece.core.masks import Masks
    from apiece.metrics import evaluate

    classes = tuple(c["name"] for c in data["categories"])

    def grouped(rows: list[dict[str, Any]]) -> dict[int, list[dict[str, Any]]]:
        out: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in data["images"]}
        for row in rows:
            out[row["image_id"]].append(row)
        return out

    truths, results = grouped(data["annotations"]), grouped(data["results"])

    def instances(rows: list[dict[str, Any]], size: tuple[int, int], truth: bool) -> Instances:
        masks = Masks.from_coco([r["segmentation"] for r in rows], size)
        label = np.array([r["category_id"] for r in rows]) - 1
        if not truth:
            return Instances(masks, label, classes, np.array([r["score"] for r in rows]))
        stated = {"area": np.array([r["area"] for r in rows]), "bbox": np.array([r["bbox"] for r in rows])}
        crowd = np.array([r["iscrowd"] for r in rows], bool)
        return Instances(masks, label, classes, crowd=crowd, attributes=stated)

    def pairs() -> Any:
        for image in data["images"]:
            size = (image["height"], image["width"])
            yield instances(truths[image["id"]], size, True), instances(results[image["id"]], size, False)

    result = evaluate(pairs(), classes, metrics=metrics, max_dets=max_dets, kinds=kinds)
    keys = ["ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", *(f"ar{m}" for m in max_dets)]
    return [result[f"mask_{key}"] for key in [*keys, "ar_small", "ar_medium", "ar_large"]]


def theirs(side: str) -> Callable[[dict[str, Any], tuple[int, ...]], list[float]]:
    """pycocotools or faster-coco-eval, of masks, or of masks and then of boxes."""
    name, _, kinds = side.partition(", ")

    def run(data: dict[str, Any], max_dets: tuple[int, ...]) -> list[float]:
        if name == "pycocotools":
            from pycocotools.coco import COCO
            from pycocotools.cocoeval import COCOeval as Evaluator
        else:
            from faster_coco_eval import COCO
            from faster_coco_eval import COCOeval_faster as Evaluator
        truth = COCO()
        truth.dataset = {key: data[key] for key in ("images", "annotations", "categories")}
        truth.createIndex()
        found = truth.loadRes(data["results"])
        for kind in ("bbox", "segm") if kinds else ("segm",):
            e = Evaluator(truth, found, kind)
            e.params.maxDets = list(max_dets)
            e.evaluate()
            e.accumulate()
            e.summarize()
        precision = np.asarray(e.eval["precision"])[..., 0, -1]
        # both summaries answer -1 for other limits, so the mean is taken here
        return [float(precision[precision > -1].mean()), *np.asarray(e.stats)[1:12].tolist()]

    return run


def _peak() -> float:
    """Peak resident set of this process, in MB (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(side: str, path: str, max_dets: tuple[int, ...]) -> None:
    """One run in this process; prints JSON."""
    work = ours(side) if side.startswith("apiece") else theirs(side)
    data = json.loads(Path(path).read_text())
    small = {**data, "images": data["images"][:1]}
    small |= {k: [r for r in data[k] if r["image_id"] == 1][:5] for k in ("annotations", "results")}
    small = json.loads(json.dumps(small))
    with contextlib.redirect_stdout(io.StringIO()):
        work(small, max_dets)  # imports and first calls do not count
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
        before = _peak()
        start, used = time.perf_counter(), time.process_time()
        numbers = work(data, max_dets)
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
    found = {"seconds": seconds, "cpu": cpu, "added_mb": _peak() - before, "numbers": numbers}
    print(json.dumps(found))


def compare(name: str, sides: list[str], repeat: int, folder: Path) -> None:
    """All sides on one case, taking turns."""
    case = CASES[name]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(make(case)))
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
    for turn in range(repeat):
        for side in sides:
            if side == "pycocotools" and turn and name == "b":
                continue  # minutes each
            limits = ",".join(map(str, case["max_dets"]))
            command = [sys.executable, __file__, "--measure", side, str(path), limits]
            runs[side].append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    print(f"{name}: {case}")
    for side, found in runs.items():
        seconds = [r["seconds"] for r in found]
        print(
            f"  {side:31s} min {min(seconds):7.2f} s  median {statistics.median(seconds):7.2f} s  "
            f"cpu min {min(r['cpu'] for r in found):7.2f} s  "
            f"peak +{max(r['added_mb'] for r in found):5.0f} MB  mask AP {found[0]['numbers'][0]:.9f}  n {len(found)}"
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--with-pycocotools", action="store_true")
    parser.add_argument("--case", choices=list(CASES))
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        side, path, limits = args.measure
        measure(side, path, tuple(map(int, limits.split(","))))
        return
    import tempfile

    sides = ["apiece", "apiece, mask and box", "apiece, every metric"]
    sides += ["faster-coco-eval", "faster-coco-eval, mask and box"]
    sides += ["pycocotools"] * args.with_pycocotools
    with tempfile.TemporaryDirectory() as folder:
        for name in [args.case] if args.case else CASES:
            compare(name, sides, args.repeat, Path(folder))


if __name__ == "__main__":
    main()
