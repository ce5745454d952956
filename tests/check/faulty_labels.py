"""A small data set, clean or with one mistake of every kind that a label file can hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from apiece import Instances, Masks, formats
from apiece.core.image import ImageRef
from apiece.images import write_image

HEIGHT, WIDTH = 64, 80
CLASSES = ("bolt", "nut")


def rle(*boxes: tuple[int, int, int, int]) -> dict[str, Any]:
    """The union of half-open boxes."""
    masks = Masks.from_boxes(np.array(boxes, float).reshape(-1, 4), (HEIGHT, WIDTH))
    return masks.union().to_coco()[0] if boxes else Masks.empty((HEIGHT, WIDTH), 1).to_coco()[0]


def annotation(number: int, image: int, box: tuple[int, int, int, int], **other: Any) -> dict[str, Any]:
    """A filled box whose area and box are stated as they are."""
    x0, y0, x1, y1 = box
    stated = {"area": (x1 - x0) * (y1 - y0), "bbox": [x0, y0, x1 - x0, y1 - y0], "iscrowd": 0}
    return {"id": number, "image_id": image, "category_id": 1, "segmentation": rle(box)} | stated | other


def pixels(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, size, np.uint8)


def clean_set(folder: Path, split: str = "train", images: int = 3, start: int = 0) -> Path:
    """Squares of two classes, 20 x 20 pixels apart."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    records = []
    for i in range(start, start + images):
        name = f"{i}.png"
        write_image(folder / "images" / name, pixels(i))
        corners = np.array([[2, 2], [30, 2], [2, 30], [30, 30]]) + i
        masks = Masks.from_boxes(np.concatenate([corners, corners + 20], 1), (HEIGHT, WIDTH))
        instances = Instances(masks, [0, 1, 0, 1], CLASSES, ids=np.arange(4) + 10 * i)
        records.append((ImageRef(folder / "images" / name, name, (HEIGHT, WIDTH), i + 1), instances))
    formats.write(records, folder / f"{split}.json", classes=CLASSES)
    return folder / f"{split}.json"


FAULTS = {
    "missing_image": 1,
    "unreadable_image": 2,
    "image_size": 1,
    "rotated_image": 1,
    "image_twice": 1,
    "refused": 3,
    "duplicate_id": 1,
    "class_name": 2,
    "stated_area": 1,
    "stated_box": 1,
    "outside": 1,
    "empty_mask": 2,
}
"""Kinds of the family ``file`` that `faulty_set` holds, and how many of each."""


def faulty_set(folder: Path) -> Path:
    """A COCO file with the `FAULTS`, and one exact duplicate."""
    (folder / "images").mkdir(parents=True)
    names = ("whole", "damaged", "cut", "large", "turned")
    for seed, name in enumerate(names):
        size = {"large": (HEIGHT * 2, WIDTH * 2), "turned": (WIDTH, HEIGHT)}.get(name, (HEIGHT, WIDTH))
        write_image(folder / "images" / f"{name}.png", pixels(seed, size))
    (folder / "images" / "damaged.png").write_bytes(b"no image")
    whole = (folder / "images" / "cut.png").read_bytes()
    (folder / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    listed = [*names, "absent", "whole"]
    images = [{"id": i + 1, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for i, n in enumerate(listed)]
    box = (10, 10, 30, 30)
    annotations = [
        annotation(1, 1, box),
        annotation(2, 1, box),  # the same once more
        annotation(3, 1, (40, 40, 60, 60), area=1200),
        annotation(4, 1, (40, 5, 60, 25), bbox=[40, 5, 8, 20]),
        annotation(5, 1, (70, 30, 80, 50), bbox=[70, 30, 40, 20], area=200),
        annotation(6, 2, (0, 0, 0, 0), segmentation=rle(), category_id=2),
        annotation(7, 3, (0, 0, 0, 0), segmentation=rle(), bbox=[3, 4, 5, 6], area=30),
        annotation(8, 1, box, category_id=77),
        annotation(1, 1, (10, 40, 30, 60)),
        annotation(9, 99, box),
        {k: v for k, v in annotation(10, 1, box).items() if k != "segmentation"},
        # areas and boxes as polygons give them: no mistake
        annotation(11, 4, (5, 5, 25, 25), area=361.0, bbox=[5.4, 5.4, 19.0, 19.0]),
    ]
    categories = [{"id": i + 1, "name": n} for i, n in enumerate(("hex nut", "Hex_Nut", "washer", "spring "))]
    path = folder / "train.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
