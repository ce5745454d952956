"""Answers of `embedding`: the pixels that vote for the same centre are an object."""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Float32, Int32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._kit.arrays import Arrays, image_by_image
from apiece.models._kit.clustering import SeedIndex, Seeds, distinct, local_maxima
from apiece.models.contract import DecodeOptions, Frame

REACH = 2.0
"""Bound of a pixel's reach."""
LARGEST = float(np.expm1(REACH))
"""Squared distance in bandwidths that it stands for: ellipses are bounded."""

_TILE = 2048  # side of the square of pixels clustered at once


@image_by_image
def decode(out: Arrays, frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Cluster the votes of an image; masks never overlap."""
    h, w = frame.input_size
    maps = {k: np.ascontiguousarray(v[:, :h, :w]) for k, v in out.items()}
    seed = maps["seed"].max(0)
    label = maps["seed"].argmax(0).ravel()
    lowest = min(float(np.min(options.conf)), 1 - 1e-6)
    peaks = local_maxima(seed, float(np.log(max(lowest, 1e-6) / (1 - lowest))))
    score = 1 / (1 + np.exp(-seed.ravel()[peaks].astype(np.float64)))
    keep = score >= options.threshold(label[peaks])
    peaks, score = peaks[keep], score[keep]
    if not len(peaks):
        return Instances.empty(frame.size, classes, scored=True)
    x, y = (peaks % w + 0.5).astype(np.float32), (peaks // w + 0.5).astype(np.float32)
    flat = {k: v.reshape(len(v), -1)[:, peaks] for k, v in maps.items() if k != "seed"}
    sx, sy = flat["bandwidth"]
    seeds = Seeds(x + flat["offset"][0], y + flat["offset"][1], sx, sy, np.expm1(flat["reach"][0]))
    stay = distinct(seeds, LARGEST)
    seeds, peaks, score = seeds[stay], peaks[stay], score[stay]
    label_map = cluster(maps, seeds, frame)
    masks = Masks.from_label_map(label_map, background=-1)
    present = np.flatnonzero(np.bincount(label_map.ravel() + 1, minlength=len(seeds) + 1)[1:])
    order = np.argsort(-score[present], kind="stable")
    return Instances(masks[order], label[peaks][present][order], classes, score[present][order])


def cluster(maps: dict[str, Float32], seeds: Seeds, frame: Frame) -> Int32:
    """Return a label map at the image's size: index of the seed that each pixel falls to, -1 for background.

    The maps are interpolated to the image's resolution first, so outlines are smooth at any scale.
    """
    label_map = np.full(frame.size, -1, np.int32)
    index = SeedIndex(seeds, LARGEST)
    fields = np.ascontiguousarray(np.concatenate([maps["offset"], maps["reach"]]).transpose(1, 2, 0))
    scale = [n / o for n, o in zip(frame.input_size, frame.size, strict=True)]
    for top in range(0, frame.size[0], _TILE):
        for left in range(0, frame.size[1], _TILE):
            tile = label_map[top : top + _TILE, left : left + _TILE]
            # where the tile's pixel centres lie on the network's grid
            ny = ((np.arange(top, top + tile.shape[0]) + 0.5) * scale[0]).astype(np.float32)
            nx = ((np.arange(left, left + tile.shape[1]) + 0.5) * scale[1]).astype(np.float32)
            if frame.size == frame.input_size:
                part = fields[top : top + _TILE, left : left + _TILE]
            else:
                gx, gy = np.meshgrid(nx - 0.5, ny - 0.5)
                part = cv2.remap(fields, gx, gy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            inside = part[..., 2] > 0
            r, c = np.nonzero(inside)
            dx, dy, reach = part[inside].T
            tile[r, c] = index.assign(nx[c] + dx, ny[r] + dy, np.expm1(reach))
    return label_map
