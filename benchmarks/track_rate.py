"""A video from file to file: decode, network, tracking, overlay and encoding at once, beside the network alone.

    apiece train --data SHAPES --model swift --set size=s --max-time 5m --out runs/shapes
    python benchmarks/track_rate.py [--model runs/shapes] [--frames 120] [--threads 1] [--conf 0.1]

A clip of 1920 x 1080 pixels in H.264 moves over a drawn scene with some 50 objects in view. The network alone runs on
the prepared pixels of its frames, one by one, `--threads` threads, and nothing else does. The whole is what
`apiece track clip.mp4 --save csv,video` does: the steps around the network run in threads of their own, so they need
a core besides the network's. CPU seconds a frame say what the steps cost together, whatever else the machine does.
Without `--model`, the model that comes with apiece is measured (`swift`, size m). `--conf` is the lowest score that is
tracked: choose it so that 50 objects a frame come out.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from apiece._ahead import ahead
from apiece.core.image import Image
from apiece.datasets.synthetic import SceneConfig, scene
from apiece.images import MAX_PIXELS, VideoWriter
from apiece.models.contract import DecodeOptions
from apiece.predict import Model, load
from apiece.predict.footage import footage, ref_of
from apiece.predict.tracks import Frame, track_to
from apiece.track import start

SIZE = (1080, 1920)
MARGIN = 240


def film(path: Path, frames: int) -> None:
    """Write the clip."""
    height, width = SIZE[0] + MARGIN, SIZE[1] + MARGIN
    config = SceneConfig(size=(height, width), objects=(64, 64), radius=(30.0, 60.0), classes=("washer", "pill", "nut"))
    pixels = scene(config, 0).image.pixels
    writer = VideoWriter(path)
    for k in range(frames):
        x, y = (int(MARGIN / 2 * (1 + np.sin(k / 20 + turn))) for turn in (0.0, 1.5))
        writer.write(np.ascontiguousarray(pixels[y : y + SIZE[0], x : x + SIZE[1]]), k / 25)
    writer.close()


def alone(model: Model, path: Path, frames: int) -> Callable[[], int]:
    """Return what runs the network on a frame's prepared pixels, so often."""
    pipeline = model._pipeline
    ready = pipeline._ready(next(iter(footage([str(path)]))))

    def run() -> int:
        for _ in range(frames):
            pipeline._network([ready])
        return frames

    return run


def whole(model: Model, path: Path, out: Path, options: DecodeOptions) -> int:
    """Track the clip, and write the table and the video."""

    def found() -> Iterator[Frame]:
        results = model.results(footage([str(path)]), 1, options, MAX_PIXELS, None, beside=True)
        for source, image, instances in ahead(results, 2):
            assert isinstance(image, Image)
            yield ref_of(source, image.size), image, instances

    begin = partial(start, "masks", {"sure": min(options.conf)} if isinstance(options.conf, tuple) else None)
    summary = track_to(found(), out, begin, ("csv", "video"), classes=model.classes, overwrite=True)
    rows = (out / "tracks.csv").read_text().count("\n") - 1
    print(f"  {rows / summary.frames:.0f} objects a frame, {sum(summary.tracks.values())} tracks")
    return summary.frames


def timed(name: str, work: Callable[[], int]) -> float:
    """Print and return frames a second."""
    began, used = time.perf_counter(), time.process_time()
    frames = work()
    took, cpu = time.perf_counter() - began, time.process_time() - used
    print(f"{name:14s} {frames / took:6.2f} frames/s, {1000 * cpu / frames:6.0f} ms of processor a frame")
    return frames / took


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--conf", type=float, default=None)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = load(args.model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        film(path, args.frames)
        options = model.options(args.conf)
        alone(model, path, 2)()
        network = timed("network alone", alone(model, path, args.frames))
        together = timed("file to file", partial(whole, model, path, Path(folder) / "out", options))
    print(f"file to file: {together / network:.2f} of the network's own rate")


if __name__ == "__main__":
    main()
