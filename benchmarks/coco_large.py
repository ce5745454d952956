"""Bars of the label formats on a large COCO file: opening, iterating, converting.

    python benchmarks/coco_large.py [--images 100000] [--instances 900000] [--repeats 3]

Makes a COCO file of that size (compressed RLE, 640 x 480, ellipses; about 230 MB, in a temporary folder that is
removed), then measures, each in a process of its own: opening against ``json.load`` (time, also of the processor alone,
and memory), iterating (time, memory added in its first and second half), and COCO to COCO conversion. Prints minimum,
median and maximum over the repeats, and the bars: opening in at most 2 times ``json.load``'s time and memory, iterating
in constant memory, 50,000 instances converted per second of the processor.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import apiece
from apiece import formats


def make(path: Path, images: int, instances: int) -> None:
    """A COCO file of ellipses, radius 5 to 30, about evenly spread over the images."""
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:61, :61] - 30.0
    kinds = [((yy / a) ** 2 + (xx / b) ** 2) < 1 for a, b in rng.uniform(5, 30, (500, 2))]
    corners = np.stack([rng.integers(0, 579, 500), rng.integers(0, 419, 500)], 1)
    masks = apiece.Masks.from_crops(kinds, corners, (480, 640))
    rles, areas = [r["counts"] for r in masks.to_coco()], masks.area.tolist()
    boxes = masks.boxes.astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    rows = boxes.tolist()
    image = np.sort(rng.integers(0, images, instances)).tolist()
    kind, category = rng.integers(0, 500, instances).tolist(), rng.integers(1, 81, instances).tolist()
    with path.open("w") as out:
        out.write('{"info": {}, "images": [')
        out.write(
            ",".join(
                f'{{"id": {i}, "file_name": "{i:012d}.jpg", "height": 480, "width": 640, "license": 1}}'
                for i in range(images)
            )
        )
        out.write('], "categories": ')
        json.dump([{"id": i, "name": f"class {i}", "supercategory": "thing"} for i in range(1, 81)], out)
        out.write(', "annotations": [')
        for i in range(instances):
            k = kind[i]
            note = {
                "id": i + 1,
                "image_id": image[i],
                "category_id": category[i],
                "segmentation": {"size": [480, 640], "counts": rles[k]},
                "area": areas[k],
                "bbox": rows[k],
                "iscrowd": 0,
            }
            out.write(("," if i else "") + json.dumps(note))
        out.write("]}")


def peak() -> float:
    """Highest memory of this process so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def current() -> float:
    """Memory of this process now, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def load_json(path: Path) -> dict[str, float]:
    before, start, busy = peak(), time.perf_counter(), time.process_time()
    with path.open() as f:
        document = json.load(f)
    seconds = time.perf_counter() - start
    memory = {"peak MB": peak() - before, "kept MB": current() - before}
    return {"s": seconds, "CPU s": time.process_time() - busy, **memory, "n": len(document["annotations"])}


def open_coco(path: Path) -> dict[str, float]:
    formats.load("coco")
    before, start, busy = peak(), time.perf_counter(), time.process_time()
    labels = formats.read(path, "coco")
    seconds = time.perf_counter() - start
    memory = {"peak MB": peak() - before, "kept MB": current() - before}
    return {"s": seconds, "CPU s": time.process_time() - busy, **memory, "n": len(labels)}


def iterate(path: Path) -> dict[str, float]:
    labels = formats.read(path, "coco")
    count, highest, before = 0, [0.0, 0.0], current()
    start, busy = time.perf_counter(), time.process_time()
    for i, (_, instances) in enumerate(labels):
        count += len(instances)
        if i % 500 == 0:
            half = int(2 * i >= len(labels))
            highest[half] = max(highest[half], current() - before)
    seconds = time.perf_counter() - start
    cpu = time.process_time() - busy
    added = {"MB added, first half": highest[0], "second half": highest[1]}
    return {"s": seconds, "instances/s": count / seconds, "per CPU second": count / cpu, **added}


def convert(path: Path) -> dict[str, float]:
    formats.load("coco")
    start, busy = time.perf_counter(), time.process_time()
    labels = formats.read(path, "coco")
    opened = time.perf_counter()
    formats.write(labels, path.with_name("out.json"), "coco")
    seconds = time.perf_counter() - start
    count = len(labels.table.annotations.ids)  # type: ignore[attr-defined]
    cpu = time.process_time() - busy
    return {
        "s": seconds,
        "instances/s": count / seconds,
        "after opening": count / (seconds - opened + start),
        "per CPU second": count / cpu,
    }


def measured(work: Callable[[Path], dict[str, float]], path: Path, repeats: int) -> dict[str, float]:
    """Print and give back the medians."""
    context = multiprocessing.get_context("spawn")
    runs = []
    for _ in range(repeats):
        with context.Pool(1) as pool:
            runs.append(pool.apply(work, (path,)))
    line = ", ".join(
        f"{key} min {min(r[key] for r in runs):,.2f} median {statistics.median(r[key] for r in runs):,.2f} "
        f"max {max(r[key] for r in runs):,.2f}"
        for key in runs[0]
        if key != "n"
    )
    print(f"{work.__name__:10s} {line}", flush=True)
    return {key: statistics.median(r[key] for r in runs) for key in runs[0]}


def bars(found: dict[str, dict[str, float]]) -> None:
    """The medians against what is asked for."""
    theirs, ours = found["load_json"], found["open_coco"]
    for key in ("CPU s", "s", "peak MB"):
        print(f"opening, {key}: {ours[key] / theirs[key]:.2f} times json.load's (bar 2)")
    first, second = found["iterate"]["MB added, first half"], found["iterate"]["second half"]
    print(f"iterating: {first:.1f} MB added in the first half, {second:.1f} MB by the end (bar: constant)")
    print(f"converting: {found['convert']['per CPU second']:,.0f} instances per CPU second (bar 50,000)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--instances", type=int, default=900_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.json"
        make(path, options.images, options.instances)
        print(f"{options.images} images, {options.instances} instances, {path.stat().st_size / 1e6:.0f} MB of JSON")
        found = {}
        for work in (load_json, open_coco, iterate, convert):
            found[work.__name__] = measured(work, path, options.repeats)
        bars(found)


if __name__ == "__main__":
    main()
