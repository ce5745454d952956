"""How fast `apiece convert` goes from one format to another, and how much memory it takes.

    python benchmarks/convert.py [--images 2000] [--instances 40] [--formats coco yolo voc ...]

Makes a COCO set of disjoint ellipses on 640 x 480 pixels with small images, in a temporary folder that is removed, and
converts it to each format and back, each in a process of its own. Prints instances per second of the processor and the
highest memory, for the set and for one of twice the size: what is constant does not grow.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from apiece import ImageRef, Instances, Masks, formats
from apiece.cli import main as command
from apiece.images import write_image


def make(folder: Path, images: int, instances: int) -> Path:
    """A COCO file and its images: ellipses in the cells of a grid."""
    rng = np.random.default_rng(0)
    columns = int(np.ceil(np.sqrt(instances * 4 / 3)))
    rows = -(-instances // columns)
    height, width = 480 // rows, 640 // columns
    y, x = np.mgrid[:height, :width]
    kinds = [
        ((2 * y / height - 1) / a) ** 2 + ((2 * x / width - 1) / b) ** 2 < 1 for a, b in rng.uniform(0.4, 0.9, (50, 2))
    ]
    corners = np.array([[width * (k % columns), height * (k // columns)] for k in range(instances)])
    write_image(folder / "0.png", np.zeros((480, 640), np.uint8))

    def records() -> object:
        for i in range(images):
            if i:
                (folder / f"{i}.png").hardlink_to(folder / "0.png")
            crops = [kinds[k] for k in rng.integers(0, len(kinds), instances)]
            ref = ImageRef(folder / f"{i}.png", f"{i}.png", (480, 640), i + 1)
            yield ref, Instances(Masks.from_crops(crops, corners, (480, 640)))

    formats.write(records(), folder / "labels.json", classes=("object",))
    return folder / "labels.json"


def convert(source: Path, out: Path, name: str) -> tuple[float, float, str]:
    """(processor seconds, highest memory in MB added, what went wrong)."""
    for each in formats.names():
        formats.load(each)
    before, start, said = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time(), io.StringIO()
    options = ["--allow-lossy", "--json"]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            command(["convert", str(source), str(out), "--to", name, *options])
        except SystemExit as end:
            failed = said.getvalue().strip() if end.code else ""
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return time.process_time() - start, added, failed


def measured(source: Path, out: Path, name: str) -> tuple[float, float, str]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(convert, (source, out, name))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--instances", type=int, default=40, help="on each image")
    parser.add_argument(
        "--formats", nargs="+", default=[n for n in formats.names() if formats.load(n).write is not None]
    )
    options = parser.parse_args()
    print(f"{'':14s} {'COCO to it':>22s} {'it to COCO':>22s}   twice as many images: MB added")
    for name in options.formats:
        cells = []
        for images in (options.images, 2 * options.images):
            with tempfile.TemporaryDirectory() as folder:
                (Path(folder) / "in").mkdir()
                source = make(Path(folder) / "in", images, options.instances)
                there = measured(source, Path(folder) / "out", name)
                back = measured(Path(folder) / "out", Path(folder) / "back", "coco") if not there[2] else (1, 0, "-")
            if there[2] or back[2]:
                cells = [there[2] or back[2]]
                break
            count = images * options.instances
            if not cells:
                cells = [f"{count / s:12,.0f}/s {mb:5.0f} MB" for s, mb, _ in (there, back)]
            else:
                cells += [f"{there[1]:5.0f}, {back[1]:5.0f}"]
        print(f"{name:14s} {' '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
