"""The core beside its peers in one run: 4096 x 4096, 5,000 ellipses of radius 15 to 30; medians of 5.

python benchmarks/masks.py            # needs: pip install 'apiece[benchmark]'
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from pycocotools import mask as coco
from skimage.measure import regionprops
from supervision.detection.compact_mask import CompactMask
from supervision.detection.utils.iou_and_nms import compact_mask_iou_batch
from torchvision.models.detection.roi_heads import paste_masks_in_image

from apiece import Masks, iou

SIDE, COUNT, RUNS = 4096, 5000, 5


def ellipses(seed: int = 0) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """A label map (later ones on top) and each whole ellipse as a crop with its corner."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((SIDE, SIDE), np.int32)
    crops, corners = [], []
    for i in range(COUNT):
        axes, angle = rng.integers(15, 31, 2).tolist(), float(rng.uniform(0, 180))
        x, y = rng.integers(32, SIDE - 32, 2).tolist()
        crop = np.zeros((63, 63), np.uint8)
        cv2.ellipse(crop, (31, 31), axes, angle, 0, 360, 1, -1)
        canvas[y - 31 : y + 32, x - 31 : x + 32][crop > 0] = i + 1
        crops.append(crop)
        corners.append((x - 31, y - 31))
    return canvas, crops, np.array(corners)


def timed(call: Callable[[], Any], runs: int = RUNS) -> tuple[float, float]:
    """(median seconds of the processor, peak MB that Python and NumPy allocate in one further run)."""
    call()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return median(seconds), peak


def row(name: str, bar: str, ours: Callable[[], Any], **peers: Callable[[], Any]) -> None:
    mine, peak = timed(ours)
    text = f"{name:<34} {mine * 1e3:8.1f} ms {peak:8.1f} MB   bar {bar:<10}"
    for peer, call in peers.items():
        theirs, their_peak = timed(call, 3)
        text += f" | {peer} {theirs * 1e3:.0f} ms ({their_peak:.0f} MB), ratio {theirs / mine:.2f}"
    print(text, flush=True)


def plain_runs(a: np.ndarray) -> tuple[np.ndarray, ...]:
    """The runs of a label map as one writes them first: whole arrays, one sort by value, column and row."""
    padded = np.pad(a, ((1, 1), (0, 0)))
    y, x = np.nonzero(padded[1:] != padded[:-1])
    above, here = padded[y, x], padded[y + 1, x]
    sides = []
    for values in (here, above):
        chosen = values > 0
        order = np.lexsort((y[chosen], x[chosen], values[chosen]))
        sides.append((values[chosen][order], x[chosen][order], y[chosen][order]))
    return (*sides[0], sides[1][2])


def set_of_masks() -> None:
    canvas, crops, corners = ellipses()
    masks = Masks.from_crops(crops, corners, (SIDE, SIDE))
    boxes = masks.boxes
    disjoint = Masks.from_label_map(canvas)
    print(f"{masks!r}; bar 10 MB")
    peers = {
        "plain NumPy": lambda: plain_runs(canvas),
        "regionprops": lambda: regionprops(canvas)[0].area,
        "one pass over memory": lambda: int(canvas.sum()),
    }
    assert np.array_equal(plain_runs(canvas)[3], disjoint.y1)
    row("label map to Masks", "20 ms", lambda: Masks.from_label_map(canvas), **peers)

    def fresh() -> Masks:
        return masks[:]

    row("(a copy, part of the next row)", "-", fresh)

    def area_boxes() -> None:
        copy = fresh()
        _ = copy.area, copy.boxes

    row("area and boxes of all", "5 ms", area_boxes)
    rles = masks.to_coco()
    compact = CompactMask.from_coco_rle(rles, boxes - [0, 0, 1, 1], (SIDE, SIDE))  # its boxes are inclusive
    peers = {
        "pycocotools": lambda: coco.iou(rles, rles, [0] * COUNT),
        "supervision": lambda: compact_mask_iou_batch(compact, compact),
    }
    row("IoU of all 5,000 x 5,000 pairs", "230 ms", lambda: iou(masks, masks), **peers)
    ours = iou(masks, masks)
    assert np.abs(ours.toarray() - coco.iou(rles, rles, [0] * COUNT)).max() < 1e-12
    print(f"   {ours.nnz} overlapping pairs")
    asfortran = [np.asfortranarray(c) for c in crops]
    row("COCO RLE encode", "100 ms", masks.to_coco, pycocotools_crops=lambda: [coco.encode(c) for c in asfortran])
    row("COCO RLE decode", "100 ms", lambda: Masks.from_coco(rles))
    keep = np.random.default_rng(1).random(COUNT) < 0.5
    row("filter of 50%", "5 ms", lambda: masks[keep])
    row("label map out", "-", disjoint.to_label_map)
    row("layers", "-", masks.to_layers)
    row("outlines", "-", masks.to_polygons)
    assert Masks.from_coco(rles) == masks
    assert np.array_equal(boxes, Masks.from_coco(rles).boxes)


def decoder() -> None:
    rng = np.random.default_rng(0)
    size = (1080, 1920)
    for count in (100, 1000):
        noise = rng.normal(size=(160, 160, 32)).astype(np.float32)
        prototypes = cv2.GaussianBlur(noise, (0, 0), 6).transpose(2, 0, 1).copy()
        weights = rng.normal(size=(count, 32)).astype(np.float32) * 10
        corner = rng.uniform(0, [1920 - 200, 1080 - 300], (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(0.8, 1.2, (count, 2)) * [200, 300]], 1).astype(np.float32)
        boxes = np.minimum(boxes, np.array([1920, 1080, 1920, 1080], np.float32))

        def ours(basis=prototypes, w=weights, b=boxes) -> Masks:
            return Masks.from_prototypes(basis, w, b, size)

        def whole_image(basis=prototypes, w=weights, b=boxes) -> torch.Tensor:
            maps = torch.tensor(np.tensordot(w, basis, 1))[None]
            return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[0] > 0

        def paste(w=weights, b=boxes) -> torch.Tensor:
            return paste_masks_in_image(torch.rand(len(w), 1, 28, 28), torch.tensor(b), size) > 0.5

        peers = {"whole_image": whole_image, "torchvision_paste": paste} if count == 100 else {}
        row(f"decoder, {count} masks", "30 ms" if count == 100 else "300 ms", ours, **peers)
        if count == 100:
            dense = whole_image().numpy()
            x, y = np.arange(size[1]) + 0.5, np.arange(size[0]) + 0.5
            dense &= ((y >= boxes[:, 1, None]) & (y < boxes[:, 3, None]))[:, :, None]
            dense &= ((x >= boxes[:, 0, None]) & (x < boxes[:, 2, None]))[:, None, :]
            wrong = int((ours().to_dense() != dense).sum())
            print(f"   pixels that differ from upsampling the whole image: {wrong} of {dense.sum()}")


if __name__ == "__main__":
    torch.set_num_threads(2)
    set_of_masks()
    decoder()
