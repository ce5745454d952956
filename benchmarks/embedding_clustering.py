"""Clustering of the embedding model: 2,000 objects in a 1024 x 1024 image, from the network's maps to `Instances`.

    python benchmarks/embedding_clustering.py [--objects 2000] [--side 1024] [--repeat 7]

The maps are what a good network gives, with noise on votes and seeds. Bar: at most 1 s on 2 cores.
"""

from __future__ import annotations

import argparse
import statistics
import time

import cv2
import numpy as np
import torch

from apiece.models.contract import DecodeOptions, Frame
from apiece.models.embedding import decode, edge_distance


def label_map(objects: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """Ellipses on a jittered grid; neighbours touch."""
    columns = int(np.ceil(np.sqrt(objects)))
    pitch = side / columns
    a = np.zeros((side, side), np.int32)
    for i in range(objects):
        centre = (np.array([i % columns, i // columns]) + 0.5 + rng.uniform(-0.12, 0.12, 2)) * pitch
        axes = rng.uniform(0.3, 0.5, 2) * pitch
        cv2.ellipse(a, centre.astype(int).tolist(), axes.astype(int).tolist(), rng.uniform(0, 180), 0, 360, i + 1, -1)
    return a


def maps(a: np.ndarray, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """The network's outputs for a label map."""
    y, x = np.mgrid[: a.shape[0], : a.shape[1]] + 0.5
    size = np.maximum(np.bincount(a.ravel()), 1)
    cx, cy = (np.bincount(a.ravel(), v.ravel()) / size for v in (x, y))
    out = {
        "seed": np.where(a > 0, 8 * edge_distance(a) - 4, -6)[None] + rng.normal(0, 0.3, (1, *a.shape)),
        "offset": np.stack([cx[a] - x, cy[a] - y]) + rng.normal(0, 1, (2, *a.shape)),
        "bandwidth": np.full((2, *a.shape), 3.0),
        "reach": np.where(a > 0, 1.5, -1.5)[None],
    }
    return {k: torch.from_numpy(v[None]).float() for k, v in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--repeat", type=int, default=7)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    a = label_map(options.objects, options.side, rng)
    out = maps(a, rng)
    for size in ((options.side, options.side), (2 * options.side, 2 * options.side)):
        frame = Frame(size, (options.side, options.side))
        times = []
        for _ in range(options.repeat):
            start = time.perf_counter()
            found = decode(out, [frame], ("object",), DecodeOptions())[0]
            times.append(time.perf_counter() - start)
        print(
            f"{options.objects} objects ({(a > 0).mean():.0%} of the pixels), network {options.side} x {options.side}, "
            f"image {size[0]} x {size[1]}: {len(found)} found, "
            f"median {statistics.median(times):.3f} s, min {min(times):.3f} s"
        )


if __name__ == "__main__":
    main()
