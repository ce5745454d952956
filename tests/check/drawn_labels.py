"""Small labelled images drawn by hand, and one family asked about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from apiece import Image, Instances, Masks
from apiece.check import Finding, Labelled, SetFacts, Settings, load
from apiece.core.image import ImageRef

NAME = "{:03d}.png"


def drawn(*rows: str, size: int = 1) -> Instances:
    """Instances of one class from text: each letter is a mask in the order of the alphabet, each sign ``size`` pixels
    wide and high; a dot is background."""
    signs = np.array([[ord(sign) for sign in row] for row in rows]).repeat(size, 0).repeat(size, 1)
    return Instances.from_label_map(np.where(signs == ord("."), 0, signs)).replace(ids=None)


def of(*dense: np.ndarray, labels: Sequence[int] | None = None, classes: Sequence[str] = ("nut",), **more) -> Instances:
    """Instances of bool arrays of one shape; they may overlap."""
    return Instances(Masks.from_dense(np.stack(dense)), labels or [0] * len(dense), classes, **more)


def disc(size: tuple[int, int], x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 <= radius**2


def box(size: tuple[int, int], x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    out = np.zeros(size, bool)
    out[y0:y1, x0:x1] = True
    return out


def photo(*shown: np.ndarray, blur: float = 0.8, noise: float = 2.0) -> Image:
    """Grey objects on a darker ground, as a camera sees them."""
    pixels = 60 + 100 * np.any(shown, 0).astype(np.float64)
    pixels = cv2.GaussianBlur(pixels, (0, 0), blur) + np.random.default_rng(0).normal(0, noise, pixels.shape)
    return Image(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def asked(family: str, *given: Instances | tuple[Image, Instances], settings: Settings | None = None) -> list[Finding]:
    """What one family finds in these images, of one image and of all."""
    check, settings = load(family), settings or Settings()
    found, kept = [], []
    for index, one in enumerate(given):
        image, instances = one if isinstance(one, tuple) else (None, one)
        name = NAME.format(index)
        labelled = Labelled("train", index, ImageRef(Path(name), name, instances.size), instances)
        if image is not None:
            labelled = replace(labelled, image=image.colours(), data=image.data)
        if check.look is not None:
            found += check.look(labelled, settings)
        if check.remember is not None and (what := check.remember(labelled, settings)) is not None:
            kept.append(what)
        classes = instances.classes
    if check.conclude is not None:
        found += check.conclude(kept, SetFacts(classes, {}, {}), settings)
    return found


def kinds(found: Sequence[Finding]) -> list[tuple[str, tuple[int, ...]]]:
    """Kind and instances of each finding, sorted."""
    return sorted((f.kind, f.place.instances) for f in found)
