"""How long a label check takes: the labels alone, with every image read, and for comparison the images read alone.

python benchmarks/check_speed.py DATA/nuclei --workers 2
OMP_NUM_THREADS=1 python benchmarks/check_speed.py --render 646 --workers 1   # photos of one megapixel
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from apiece.check import OpenLabels, check, load, names
from apiece.datasets.dataset import open_sources
from apiece.images import read_image


def rendered(folder: Path, count: int) -> Path:
    """Write JPEG photos of 1000 x 1000 pixels, each with 12 round objects of two classes on a rough ground."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for k in range(count):
        photo = cv2.resize(rng.normal(rng.uniform(60, 120), 15, (60, 60, 3)).astype(np.float32), (1000, 1000))
        images.append({"id": k + 1, "file_name": f"{k}.jpg", "width": 1000, "height": 1000})
        for i in range(12):
            middle, radius = rng.integers(80, 920, 2), rng.integers(15, 60, 2)
            outline = middle + radius * np.stack([np.cos(turn), np.sin(turn)], 1)
            cv2.fillPoly(photo, [np.rint(outline).astype(np.int32)], rng.uniform(120, 250, 3).tolist())
            segmentation = [outline.round(2).ravel().tolist()]
            entry = {"id": len(annotations) + 1, "image_id": k + 1, "category_id": 1 + i % 2, "iscrowd": 0}
            annotations.append(entry | {"segmentation": segmentation})
        photo += rng.normal(0, 4, photo.shape)
        cv2.imwrite(str(folder / f"{k}.jpg"), np.clip(photo, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 90])
    categories = [{"id": 1, "name": "bolt"}, {"id": 2, "name": "nut"}]
    labels = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "train.json").write_text(json.dumps(labels))
    return folder / "train.json"


def timed(data: Path, images: bool, workers: int, only: list[str] | None = None) -> str:
    start, cpu = time.perf_counter(), cpu_seconds()
    sources = {split: OpenLabels(s.labels, [], s.path, s.format) for split, s in open_sources(data).items()}
    report = check(sources, images=images, workers=workers, only=only)
    seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    levels = ", ".join(f"{count} {level}s" for level, count in report.levels.items())
    what = f"{sum(report.images.values())} images, {sum(report.instances.values())} masks"
    return f"{what}: {seconds:6.2f} s, {cpu:6.2f} s CPU  {levels}"


def cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--render", type=int, help="photos to render in place of data")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--families", action="store_true", help="each family by itself too, in one process")
    options = parser.parse_args()
    if (options.data is None) == (options.render is None):
        parser.error("name data, or --render N")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        options.data = options.data or rendered(Path(scratch), options.render)
        measure(options)


def measure(options: argparse.Namespace) -> None:
    cpu = cpu_seconds()
    for source in open_sources(options.data).values():
        for ref in source.labels.refs:
            read_image(ref.path, page=ref.page)
    print(f"{'images read alone':<22}{cpu_seconds() - cpu:6.2f} s CPU")
    for images in (False, True):
        what = "images read" if images else "labels only"
        print(f"{what:<22}{timed(options.data, images, options.workers)}", flush=True)
    for name in names() if options.families else ():
        needs = load(name).needs
        if needs != "predicted":
            print(f"{name:<22}{timed(options.data, needs == 'image', 1, [name])}", flush=True)
    own, children = (
        resource.getrusage(who).ru_maxrss / 1e3 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"most memory: {own:,.0f} MB here, {children:,.0f} MB in the largest child")


if __name__ == "__main__":
    main()
