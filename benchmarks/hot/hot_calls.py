"""Eight hot calls, timed for every commit by asv: ``asv run main^!``, ``asv continuous main HEAD``, ``asv publish``.

The calls work on one made image of 2048 x 2048 pixels with 2,000 ellipses, or on 200 small images. ``asv run --quick
--python=same`` tries them once in the environment at hand.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import numpy as np

import apiece
from apiece import Instances, Masks, formats, metrics
from apiece.transforms import Compose, Flip, Rotate, Sample

SIDE, COUNT = 2048, 2000


def label_map(seed: int = 0) -> np.ndarray:
    """Ellipses of radius 8 to 20, later ones on top."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((SIDE, SIDE), np.int32)
    for i in range(COUNT):
        centre, axes = rng.integers(20, SIDE - 20, 2).tolist(), rng.integers(8, 21, 2).tolist()
        cv2.ellipse(canvas, centre, axes, float(rng.uniform(0, 180)), 0, 360, i + 1, -1)
    return canvas


class Calls:
    """Masks: from a label map and from logits, overlap, to COCO; measuring; augmentation."""

    def setup(self) -> None:
        rng = np.random.default_rng(1)
        self.map = label_map()
        self.masks, self.other = Masks.from_label_map(self.map), Masks.from_label_map(label_map(1))
        self.found = Instances(self.masks, np.zeros(len(self.masks), np.int64), ("object",))
        self.logits = rng.normal(size=(len(self.masks), 28, 28)).astype(np.float32)
        self.boxes = self.masks.boxes
        self.sample = Sample(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8), self.found)
        self.transform = Compose((Flip("horizontal", p=1.0), Rotate((15, 15))))

    def time_from_label_map(self) -> None:
        Masks.from_label_map(self.map)

    def time_iou(self) -> None:
        apiece.iou(self.masks, self.other)

    def time_to_coco(self) -> None:
        self.masks.to_coco()

    def time_from_logits(self) -> None:
        Masks.from_logits(self.logits, self.boxes, (SIDE, SIDE))

    def time_measure(self) -> None:
        apiece.measure(self.found)

    def time_transform(self) -> None:
        self.transform(self.sample, np.random.default_rng(0))


class Sets:
    """COCO mask AP of 200 images, and reading them from a file."""

    def setup(self) -> None:
        rng = np.random.default_rng(0)
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "labels.json"
        truth = [Instances.from_label_map(rng.integers(0, 9, (12, 16)).repeat(8, 0).repeat(8, 1)) for _ in range(200)]
        self.pairs = [(t, t.replace(scores=rng.random(len(t)))) for t in truth]
        formats.write([(f"{i}.png", t) for i, t in enumerate(truth)], self.path, format="coco")

    def teardown(self) -> None:
        self.folder.cleanup()

    def time_coco_ap(self) -> None:
        metrics.evaluate(self.pairs, metrics=["coco"])

    def time_read_coco(self) -> None:
        list(formats.read(self.path))
