"""A bin of parts under a depth camera: photo, depth, exact masks and the camera; for tests and the docs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from apiece import Image, ImageRef, Instances, Masks, formats
from apiece._strict_json import dump
from apiece.calibration import Intrinsics
from apiece.images import write_image

CLASSES = ("bar", "puck")
CAMERA = Intrinsics((240, 320), 400.0, 400.0, 159.5, 119.5)
FLOOR = 0.6  # metres from the camera
_COLOURS = {"bar": (150, 165, 185), "puck": (190, 120, 70)}


@dataclass(frozen=True)
class Part:
    """A part: class, centre, length and width in pixels on its top face, angle in degrees, height of the top in metres.

    ``slope`` is how much nearer its far end is, in metres.
    """

    name: str
    x: float
    y: float
    long: float
    short: float
    angle: float
    top: float
    slope: float = 0.0


PARTS = (
    Part("bar", 100, 80, 110, 24, 10, 0.020),
    Part("bar", 130, 95, 100, 24, 75, 0.045),
    Part("bar", 215, 70, 90, 22, -30, 0.020),
    Part("puck", 230, 160, 56, 56, 0, 0.030),
    Part("puck", 268, 176, 52, 52, 0, 0.055),
    Part("bar", 90, 185, 100, 26, 0, 0.020),
    Part("bar", 90, 215, 100, 26, 0, 0.020),
    Part("puck", 175, 175, 44, 44, 0, 0.040, slope=0.075),
)


def bin_scene(parts: tuple[Part, ...] = PARTS, seed: int = 0) -> tuple[Image, np.ndarray, Instances]:
    """Return photo, depth in metres (float32, NaN in the shadow of edges), and the visible masks."""
    rng = np.random.default_rng(seed)
    height, width = CAMERA.size
    y, x = np.mgrid[:height, :width] + 0.5
    depth, label = np.full((height, width), FLOOR), np.zeros((height, width), np.int64)
    pixels = np.empty((height, width, 3))
    pixels[:] = (70, 75, 72)
    for number, p in enumerate(parts, 1):
        a = np.radians(p.angle)
        u, v = (x - p.x) * np.cos(a) + (y - p.y) * np.sin(a), (y - p.y) * np.cos(a) - (x - p.x) * np.sin(a)
        round_one = p.name == "puck"
        inside = (
            np.hypot(u / p.long, v / p.short) <= 0.5 if round_one else (abs(u) <= p.long / 2) & (abs(v) <= p.short / 2)
        )
        surface = FLOOR - p.top - p.slope * u / p.long
        seen = inside & (surface < depth)
        depth[seen], label[seen] = surface[seen], number
        pixels[seen] = np.array(_COLOURS[p.name]) * (0.75 + 5 * p.top + 0.1 * v / p.short)[seen][:, None]
    image = Image(np.clip(pixels + rng.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8))
    step = np.maximum(np.abs(np.diff(depth, axis=1, append=FLOOR)), np.abs(np.diff(depth, axis=0, append=FLOOR)))
    noisy = np.where(step > 0.008, np.nan, depth + rng.normal(0, 0.0002, depth.shape))
    found = Instances(Masks.from_label_map(label), [CLASSES.index(p.name) for p in parts], CLASSES)
    return image, noisy.astype(np.float32), found


def write_bin(folder: Path) -> None:
    """Write ``bin.png``, ``bin-depth.tif``, ``bin.json`` with labels, and ``camera.json``."""
    image, depth, found = bin_scene()
    write_image(folder / "bin.png", image)
    write_image(folder / "bin-depth.tif", depth)
    (folder / "camera.json").write_text(
        dump({"height": CAMERA.size[0], "width": CAMERA.size[1], "fx": CAMERA.fx, "fy": CAMERA.fy, "cx": CAMERA.cx,
              "cy": CAMERA.cy}), encoding="utf-8",
    )  # fmt: skip
    formats.write([(ImageRef(folder / "bin.png", "bin.png", CAMERA.size), found)], folder / "bin.json", classes=CLASSES)
