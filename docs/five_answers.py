"""Draw the picture of docs/five-answers.md: a photo, and what five questions read off one set of predictions.

``python docs/five_answers.py MODEL`` draws it with a model folder that knows the classes of `SCENE`, such as
``benchmarks/amodal.py --only plain`` trains. The scene is none of those that it learned from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import apiece
from apiece import Image, Instances
from apiece.datasets.synthetic import SceneConfig, scene
from apiece.draw import overlay
from apiece.draw.palette import colours
from apiece.images import write_image

PICTURE = Path(__file__).parent / "pictures" / "five-answers.png"
SCENE = SceneConfig(classes=("washer", "pill", "nut"), objects=(14, 28), overlap=0.7, touching=0.9, seed=77)


def panels(image: Image, found: Instances) -> list[np.ndarray]:
    """Return the photo, its instances, and its class map, boxes and panoptic map."""
    flat = apiece.ops.flattened(found)
    classes = flat.masks.to_semantic(flat.labels)
    table = np.concatenate([np.zeros((1, 3), np.uint8), colours(np.arange(len(found.classes)))])
    owners = flat.masks.to_label_map(np.arange(1, len(flat) + 1))
    shown = np.concatenate([np.zeros((1, 3), np.uint8), colours(np.arange(len(flat)))])
    return [
        image.pixels,
        overlay(image, found, names=False),
        table[classes],
        overlay(image, found, fill=False, outlines=False, boxes=True, names=False, colour_by="class"),
        shown[owners],
    ]


def main() -> None:
    model = apiece.load(sys.argv[1])
    image = scene(SCENE, 3).image
    found = model.predict(image)
    row = [np.pad(panel, ((0, 0), (0, 4), (0, 0)), constant_values=255) for panel in panels(image, found)]
    write_image(PICTURE, np.concatenate(row, 1)[:, :-4])


if __name__ == "__main__":
    main()
