"""What a page's folder may hold before its first block: small labelled sets, photos and trained models.

A page says so in a comment, ``<!-- prepare: parts, model -->``. Pictures show red rings and blue discs on 64 x 64
pixels: a small `swift` learns them within seconds.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from apiece import ImageRef, Instances, Masks, formats
from apiece.images import VideoWriter, write_image

from .bin_parts import write_bin

CLASSES = ("washer", "pill")
_SIDE = 64
_COLOURS = ((230, 60, 40), (40, 90, 230))


def scene(rng: np.random.Generator) -> tuple[np.ndarray, Instances]:
    """Return an image, uint8 (64, 64, 3), and the one to four parts on it."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    pixels, label_map, labels = np.full((_SIDE, _SIDE, 3), 20.0), np.zeros((_SIDE, _SIDE), np.int64), []
    for corner in rng.permutation([(16, 16), (16, 48), (48, 16), (48, 48)])[: rng.integers(1, 5)]:
        label, radius = int(rng.integers(2)), rng.uniform(7, 12)
        cy, cx = corner + rng.uniform(-3, 3, 2)
        distance = np.hypot(y - cy, x - cx)
        part = (distance < radius) & (distance >= (radius / 3 if label == 0 else 0))
        labels.append(label)
        label_map[part] = len(labels)
        pixels[part] = _COLOURS[label]
    pixels += rng.normal(0, 4, pixels.shape)
    return pixels.clip(0, 255).astype(np.uint8), Instances(Masks.from_label_map(label_map), labels, CLASSES)


def label_file(
    path: Path, count: int, seed: int, prefix: str, change: Callable[[Instances], Instances] | None = None
) -> None:
    """Write ``count`` images beside a label file, in ``images/``."""
    rng, records, first = np.random.default_rng(seed), [], 1
    for number in range(count):
        pixels, found = scene(rng)
        found = found.replace(ids=np.arange(first, first + len(found)))
        first += len(found)
        name = f"images/{prefix}_{number:03}.png"
        image = path.parent / name
        image.parent.mkdir(parents=True, exist_ok=True)
        write_image(image, pixels)
        records.append((ImageRef(image, name, (_SIDE, _SIDE)), change(found) if change else found))
    formats.write(records, path, classes=CLASSES)


def photos(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` images without labels."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        folder.mkdir(parents=True, exist_ok=True)
        write_image(folder / f"{number:03}.png", scene(rng)[0])


def moving(frame: int) -> np.ndarray:
    """Return a frame of discs that move to the right, uint8 (64, 64, 3)."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    pixels = np.full((_SIDE, _SIDE, 3), 20, np.uint8)
    for cy, cx in ((16, 14), (48, 10), (40, 34)):
        pixels[np.hypot(y - cy, x - cx - 2.5 * frame) < 9] = _COLOURS[1]
    return pixels


class Shop:
    """Makes what pages ask for; models are trained once and then copied."""

    def __init__(self, store: Path) -> None:
        self.store = store

    def put(self, name: str, folder: Path) -> None:
        """Put one thing into a page's folder."""
        getattr(self, name.replace(" ", "_"))(folder)

    def names(self) -> list[str]:
        """Return what a page may ask for."""
        return [
            name.replace("_", " ")
            for name in vars(type(self))
            if not name.startswith("_") and name not in ("put", "names")
        ]

    def parts(self, folder: Path) -> None:
        """Make a data folder: train, val and test."""
        for seed, (split, count) in enumerate((("train", 16), ("val", 12), ("test", 12))):
            label_file(folder / "parts" / f"{split}.json", count, seed, split)

    def data(self, folder: Path) -> None:
        """Make the same, as ``data/``."""
        self.parts(folder)
        (folder / "parts").rename(folder / "data")

    def model(self, folder: Path) -> None:
        """Make ``runs/parts``: a model that finds most of the parts."""
        self._model(folder / "runs" / "parts", 10)

    def second_model(self, folder: Path) -> None:
        """Make ``runs/tuned``: a model that learned for half as long."""
        self._model(folder / "runs" / "tuned", 5)

    def old_model(self, folder: Path) -> None:
        """Make the same, as ``runs/old``."""
        self._model(folder / "runs" / "old", 5)

    def photo(self, folder: Path) -> None:
        """Make ``photo.png``: an image without labels."""
        write_image(folder / "photo.png", scene(np.random.default_rng(12))[0])

    def photos(self, folder: Path) -> None:
        """Make ``photos/``: twelve images without labels."""
        photos(folder / "photos", 12, 10)

    def clip(self, folder: Path) -> None:
        """Make ``line.mp4``: three parts that move to the right."""
        with VideoWriter(folder / "line.mp4") as video:
            for k in range(12):
                video.write(moving(k), k / 10)

    def bin(self, folder: Path) -> None:
        """Make ``bin.png``, its depth ``bin-depth.tif``, its labels ``bin.json`` and ``camera.json``."""
        write_bin(folder)

    def zones(self, folder: Path) -> None:
        """Make ``zones.geojson``: one polygon."""
        ring = [[20, 0], [60, 0], [60, 64], [20, 64], [20, 0]]
        shape = {"type": "Polygon", "coordinates": [ring]}
        feature = {"type": "Feature", "properties": {"name": "shelf"}, "geometry": shape}
        (folder / "zones.geojson").write_text(json.dumps(feature))

    def colony(self, folder: Path) -> None:
        """Make ``cells.json``, outlines of cells of which one divides, and ``truth.json`` with ids and mothers."""
        truth, found = [], []
        for k in range(6):
            ref = ImageRef(folder / f"01/t{k:03d}.tif", f"01/t{k:03d}.tif", (_SIDE, _SIDE))
            cells = [(32, 32, 9, 1, 0)] if k < 3 else [(32, 25, 6.5, 2, 1), (32, 39, 6.5, 3, 1)]
            y, x = np.mgrid[:_SIDE, :_SIDE]
            masks = Masks.from_dense(np.array([np.hypot(y - a, x - b) < r for a, b, r, *_ in cells]))
            ids, parents = (np.array([cell[n] for cell in cells]) for n in (3, 4))
            truth.append((ref, Instances(masks, ids=ids, attributes={"parent": parents})))
            found.append((ref, Instances(masks, scores=np.full(len(cells), 0.9))))
        formats.write(truth, folder / "truth.json", format="coco")
        formats.write(found, folder / "cells.json", format="coco")

    def today(self, folder: Path) -> None:
        """Make ``today/``: twelve images without labels."""
        photos(folder / "today", 12, 11)

    def two_days(self, folder: Path) -> None:
        """Make ``monday/``, a label file in a folder, and ``tuesday.xml`` of CVAT."""
        label_file(folder / "monday" / "labels.json", 40, 20, "monday")
        label_file(folder / "tuesday.json", 40, 21, "tuesday")
        formats.write(formats.read(folder / "tuesday.json"), folder / "tuesday.xml")
        (folder / "tuesday.json").unlink()

    def another_tool(self, folder: Path) -> None:
        """Make predictions on ``data/val.json``: COCO results ``results.json`` and ``others.json``, and ``masks/``."""
        rng, labels = np.random.default_rng(3), formats.read(folder / "data" / "val.json")
        for name, kept in (("results", 0.9), ("others", 0.7)):
            rows = []
            for ref, found in labels:
                found = found[rng.random(len(found)) < kept]
                rows += [
                    {
                        "image_id": ref.id,
                        "category_id": int(label) + 1,
                        "segmentation": rle,
                        "score": float(rng.uniform(0.3, 1)),
                    }
                    for label, rle in zip(found.labels, found.masks.to_coco(), strict=True)
                ]
            (folder / f"{name}.json").write_text(json.dumps(rows))
        one_class = [(ref, found.replace(labels=found.labels * 0, classes=("object",))) for ref, found in labels]
        formats.write(one_class, folder / "masks", "labelmap")

    def microscopy(self, folder: Path) -> None:
        """Make ``cells/``: images of 16 bits and label maps, as TIFF."""
        rng = np.random.default_rng(4)
        for number in range(20):
            _, found = scene(rng)
            name = f"cells_{number:03}.tif"
            label_map = found.masks.to_label_map(dtype=np.uint16)
            for place, pixels in (("images", 400 + 9000 * (label_map > 0)), ("masks", label_map)):
                (folder / "cells" / place).mkdir(parents=True, exist_ok=True)
                write_image(folder / "cells" / place / name, pixels.astype(np.uint16))

    def mistakes(self, folder: Path) -> None:
        """Make ``labels/``: one washer of each image is labelled twice, and one has a hole that was filled."""
        for seed, split in enumerate(("train", "val")):
            label_file(folder / "labels" / f"{split}.json", 12, seed, split, _twice)

    def _model(self, folder: Path, epochs: int) -> None:
        from apiece import train  # torch takes seconds to import

        kept = self.store / f"model-{epochs}"
        if not kept.exists():
            self.parts(self.store)
            train(
                data=self.store / "parts", model="swift", model_settings={"size": "s"}, out=kept, epochs=epochs,
                batch=4, imgsz=_SIDE, crop=_SIDE, warmup=5, ema=0.9, augment=0.0, val_every=100.0, workers=0,
                device="cpu", precision="32",
            )  # fmt: skip
        shutil.copytree(kept, folder)


def _twice(found: Instances) -> Instances:
    first = found[:1].replace(ids=found.ids[:1] + 10_000)
    return Instances.concatenate([found, first])
