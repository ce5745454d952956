"""What the backends without a network share: a view of the pixels around an object, and the way back to masks.

A function looks at one object in its `View` and returns where the object is; the view may be smaller than the image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Bool, Float, Int, UInt8
from apiece.core.image import Image
from apiece.core.masks import Masks
from apiece.core.prompts import Prompts
from apiece.draw import to_display
from apiece.prompts.contract import Answer, Embedding

__all__ = ["PixelSegmenter", "View", "discs", "flood", "touched"]

_MARGIN = 0.25  # of the longer side of a box or an earlier mask: background that is seen around it


@dataclass(frozen=True, eq=False)
class View:
    """Show one object: part of an image, reduced so that it has at most so many pixels.

    Attributes
    ----------
    pixels : uint8 (h, w, 3).
    positive, negative : column and row of each point, int64 (P, 2).
    box : columns and rows of the box, half-open x0, y0, x1, y1, at least a pixel wide and high; None without one.
    before : where an earlier mask is, bool (h, w); None without one.
    """

    pixels: UInt8
    positive: Int
    negative: Int
    box: tuple[int, int, int, int] | None
    before: Bool | None

    @property
    def shape(self) -> tuple[int, int]:
        """Return (h, w)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def inside(self) -> Bool:
        """Return where the box is; everywhere without one."""
        found = np.full(self.shape, self.box is None)
        if self.box is not None:
            x0, y0, x1, y1 = self.box
            found[y0:y1, x0:x1] = True
        return found


@dataclass(frozen=True)
class PixelSegmenter:
    """Answer with a function of the pixels. The embedding is the image as a screen shows it.

    Attributes
    ----------
    find : where the object of a view is: bool (h, w).
    most : most pixels of a view.
    near : whether the surroundings of a box or an earlier mask are enough to see.
    """

    find: Callable[[View], Bool]
    most: int
    near: bool = True

    def embed(self, image: Image) -> Embedding:
        """Return the pixels, uint8 (height, width, 3)."""
        return Embedding(image.size, {"pixels": to_display(image)})

    def answer(self, embedding: Embedding, prompts: Prompts) -> Answer:
        """Return one mask per object."""
        pixels, size = embedding.arrays["pixels"], embedding.size
        windows = _windows(prompts, size) if self.near else np.tile([0, 0, size[1], size[0]], (len(prompts), 1))
        found = [Masks.empty(size)]
        for k, window in enumerate(windows.tolist()):
            view = _view(pixels, prompts[k], window, self.most)
            found.append(_placed(self.find(view), window, size))
        return Answer(Masks.concatenate(found))


def _windows(prompts: Prompts, size: tuple[int, int]) -> Int:
    """Return what is looked at of each object, whole pixels x0, y0, x1, y1: around its box or mask, else everything."""
    height, width = size
    around = prompts.boxes.copy()
    if prompts.masks is not None:
        boxes = np.where(prompts.masked[:, None], prompts.masks.boxes, np.nan)
        around = np.concatenate([np.fmin(around[:, :2], boxes[:, :2]), np.fmax(around[:, 2:], boxes[:, 2:])], axis=1)
    low, high = around[:, :2], around[:, 2:]
    np.minimum.at(low, prompts.owner, prompts.points)  # stays NaN where there is neither box nor mask
    np.maximum.at(high, prompts.owner, prompts.points + 1)
    margin = np.maximum((high - low).max(1, keepdims=True) * _MARGIN, 4)
    window = np.concatenate([np.floor(low - margin), np.ceil(high + margin)], axis=1)
    window = np.where(np.isnan(window), [0, 0, width, height], window)
    return np.clip(window, 0, [width, height, width, height]).astype(np.int64)


def _view(pixels: UInt8, prompts: Prompts, window: list[int], most: int) -> View:
    x0, y0, x1, y1 = window
    shown = pixels[y0:y1, x0:x1]
    scale = min(1.0, (most / ((x1 - x0) * (y1 - y0))) ** 0.5)
    shape = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    if scale < 1:
        shown = cv2.resize(shown, shape, interpolation=cv2.INTER_AREA)
    ratio = np.array(shape) / (x1 - x0, y1 - y0)

    def placed(points: Float) -> Int:
        return np.clip(np.floor((points - (x0, y0)) * ratio), 0, np.array(shape) - 1).astype(np.int64)

    box = None
    if prompts.boxed[0]:
        corners = (prompts.boxes[0].reshape(2, 2) - (x0, y0)) * ratio
        low = np.minimum(np.floor(corners[0] + 0.5), np.array(shape) - 1).astype(int)
        high = np.maximum(np.floor(corners[1] + 0.5).astype(int), low + 1)
        box = (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    before = None
    if prompts.masks is not None and prompts.masked[0]:
        drawn = prompts.masks.crop(x0, y0, x1, y1).to_dense()[0]
        before = cv2.resize(drawn.astype(np.float32), shape, interpolation=cv2.INTER_AREA) >= 0.5
    on = prompts.positive
    return View(np.ascontiguousarray(shown), placed(prompts.points[on]), placed(prompts.points[~on]), box, before)


def _placed(found: Bool, window: list[int], size: tuple[int, int]) -> Masks:
    """Return one mask of where the object is in its view; the outline of a reduced view is drawn smoothly."""
    x0, y0, x1, y1 = window
    if found.shape == (y1 - y0, x1 - x0):
        return Masks.from_crops([found], [[x0, y0]], size)
    return Masks.from_logits(found[None].astype(np.float32) - 0.5, [window], size)


def discs(points: Int, shape: tuple[int, int], radius: int) -> Bool:
    """Return a bool map (h, w) with a disc at each point."""
    canvas = np.zeros(shape, np.uint8)
    for x, y in points.tolist():
        cv2.circle(canvas, (x, y), radius, 1, thickness=-1)
    return canvas.astype(bool)


def touched(found: Bool, view: View) -> Bool:
    """Return the parts of ``found`` that a positive point or the earlier mask touches; without any, the largest."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8), connectivity=8)
    if count < 2:
        return found
    x, y = view.positive.T
    kept = set(parts[y, x].tolist())
    if view.before is not None:
        kept |= set(np.unique(parts[view.before]).tolist())
    kept -= {0}
    return np.isin(parts, list(kept or {1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())}))


def flood(pixels: UInt8, seed: tuple[int, int], tolerance: int, within: Bool) -> Bool:
    """Return what hangs together with ``seed`` (column, row) and differs by at most ``tolerance`` in each channel."""
    walls = np.pad(~within, 1, constant_values=True).astype(np.uint8)
    walls[seed[1] + 1, seed[0] + 1] = 0
    flags = 8 | cv2.FLOODFILL_FIXED_RANGE | cv2.FLOODFILL_MASK_ONLY | (2 << 8)
    span = (tolerance,) * 3
    cv2.floodFill(pixels, walls, seed, 0, span, span, flags)
    return walls[1:-1, 1:-1] == 2
