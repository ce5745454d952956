"""How long a label check takes: the labels alone, and with every image read.

python benchmarks/check_speed.py DATA/nuclei --workers 2
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

from apiece.check import OpenLabels, check, load, names
from apiece.datasets.dataset import open_sources


def timed(data: Path, images: bool, workers: int, only: list[str] | None = None) -> str:
    start = time.perf_counter()
    sources = {split: OpenLabels(s.labels, [], s.path, s.format) for split, s in open_sources(data).items()}
    report = check(sources, images=images, workers=workers, only=only)
    seconds = time.perf_counter() - start
    levels = ", ".join(f"{count} {level}s" for level, count in report.levels.items())
    return f"{sum(report.images.values())} images, {sum(report.instances.values())} masks: {seconds:6.2f} s  {levels}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--families", action="store_true", help="each family by itself too, in one process")
    options = parser.parse_args()
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
