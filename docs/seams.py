"""Draw the picture of docs/how-to/large-images.md: ``python docs/seams.py``.

Left, what each tile finds, put side by side. In the middle, tiles that overlap, where the suppression of boxes keeps
one of two detections. Right, the same tiles joined by `apiece.ops.stitch`. The detector is exact: it finds what lies in
its tile, as far as the tile's border.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from apiece import Image, Instances, Masks
from apiece.datasets import SceneConfig, scene
from apiece.draw import overlay
from apiece.images import write_image
from apiece.ops import Grid, box_iou, stitch

PICTURE = Path(__file__).parent / "pictures" / "seams.png"
SCENE = SceneConfig(size=(400, 400), objects=(34, 34), radius=(14, 60), touching=0.8, overlap=0, seed=11)
GRID = Grid((400, 400), tile=200, halo=30)


def seen(truth: Masks, boxes: np.ndarray) -> list[Instances]:
    """Return what the detector finds in each box."""
    parts = [truth.crop(*box) for box in boxes.tolist()]
    return [Instances(masks[masks.area > 8]) for masks in parts]


def on_the_image(parts: list[Instances], boxes: np.ndarray) -> Instances:
    moved = [
        part.replace(masks=part.masks.shift(x, y, GRID.size))
        for part, (x, y, *_) in zip(parts, boxes.tolist(), strict=True)
    ]
    return Instances.concatenate(moved)


def suppressed(found: Instances) -> Instances:
    """Keep the largest of the boxes that overlap by half."""
    share = box_iou(found.boxes, found.boxes)
    kept: list[int] = []
    for k in np.argsort(-found.masks.area, kind="stable").tolist():
        if (share[k, kept] < 0.5).all():
            kept.append(k)
    return found[np.array(kept)]


def panel(image: Image, found: Instances, title: str, seams: np.ndarray) -> np.ndarray:
    shown = overlay(image, found, names=False)
    for x0, y0, x1, y1 in seams.tolist():
        cv2.rectangle(shown, (x0, y0), (x1 - 1, y1 - 1), (255, 255, 255), 1)
    head = np.full((26, shown.shape[1], 3), 255, np.uint8)
    cv2.putText(head, f"{title}: {len(found)}", (2, 19), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([head, shown])


def main() -> None:
    drawn = scene(SCENE, 0)
    truth = drawn.visible.masks
    apart, overlapping = seen(truth, GRID.cores), seen(truth, GRID.windows)
    joined = Instances.concatenate(list(stitch(overlapping, GRID)))
    panels = [
        panel(drawn.image, on_the_image(apart, GRID.cores), "tiles side by side", GRID.cores),
        panel(drawn.image, suppressed(on_the_image(overlapping, GRID.windows)), "boxes suppressed", GRID.cores),
        panel(drawn.image, joined, f"joined by apiece (of {len(truth)})", GRID.cores),
    ]
    row = [np.pad(one, ((0, 0), (0, 6), (0, 0)), constant_values=255) for one in panels]
    write_image(PICTURE, Image(np.concatenate(row, 1)[:, :-6]))


if __name__ == "__main__":
    main()
