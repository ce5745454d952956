"""Looks at single objects of many data sets, as the click model gets them, close and from afar."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from apiece._arrays import Array, Float, Float32, Int
from apiece.core.instances import Instances
from apiece.prompts.click.looks import CELL, NEAREST
from apiece.transforms import Sample
from apiece.transforms._warp import warp_masks, warp_pixels
from apiece.transforms.input import normalise
from recipes.default_weights.mixture import COLOUR, INPUT, Kept, Mixture, camera

_CLOSE = 0.6  # of the looks are close
_SHARES = {True: (0.4, 0.95), False: (0.03, 0.5)}  # of a look's side that its object takes, close and from afar
_WIDEST = 1.3  # side of a look from afar, as times the longer side of the image
_LEAST = 16  # pixels of an object on its look
_LOOSE = 0.3  # of the objects are labelled as a hurried hand does it, mostly too wide
_OFF = (-0.25, 0.9)  # by how much, as a share of the object's half width, and at most
_OFF_MOST = 14.0  # pixels of the look


@dataclass(frozen=True, eq=False)
class Crop:
    """A look at an object.

    Attributes
    ----------
    pixels : float32 (3, side, side), as the network takes them.
    target : share of each cell that the object covers: float32 (side / CELL, side / CELL).
    inside : share of each cell that the image covers.
    close : whether the look is close.
    """

    pixels: Float32
    target: Float32
    inside: Float32
    close: bool


class Crops(Mixture):
    """Draw looks; everything random in a look comes from (seed, step, slot)."""

    def look(self, step: int, slot: int, side: int) -> Crop:
        """Return a look at an object drawn by lot."""
        rng = np.random.default_rng([self.seed, step, slot])
        while True:
            images = self.sets[rng.choice(len(self.sets), p=self.shares)]
            kept = images[rng.integers(len(images))]
            close = bool(rng.random() < _CLOSE)
            found = self._object(kept, close, side, rng)
            if found is not None:
                return _crop(kept, *found, close, side, rng)

    def _object(self, kept: Kept, close: bool, side: int, rng: np.random.Generator) -> tuple[Float, Array] | None:
        """Return the map from an image to a look at one of its objects, and the object there; None if it vanishes."""
        instances = kept.sample.instances
        some = np.flatnonzero(~instances.crowd & (instances.masks.area >= _LEAST))
        if not len(some):
            return None
        # large objects are rare where small ones are many: half of the draws go by size
        area = instances.masks.area[some].astype(np.float64)
        by_size = area**0.5 if rng.random() < 0.5 else np.ones(len(some))
        mask = instances.masks[[rng.choice(some, p=by_size / by_size.sum())]]
        matrix = _matrix(mask.boxes[0].astype(np.float64), instances.size, side, _SHARES[close], rng)
        seen = warp_masks(mask, matrix, (side, side)).to_dense()[0]
        if seen.sum() < _LEAST:
            return None
        return matrix, _loose(seen, rng) if rng.random() < _LOOSE else seen


def _loose(seen: Array, rng: np.random.Generator) -> Array:
    """Return an object as some label it: wider or narrower all around, with an outline that wavers.

    What such a label is cannot be seen on the image, so the clicks have to tell it.
    """
    out, deep = cv2.distanceTransform((~seen).astype(np.uint8), cv2.DIST_L2, 5), _depth(seen)
    width = 2 * float(deep[seen].mean())
    off = min(float(rng.uniform(*_OFF)) * width, _OFF_MOST)
    small = rng.normal(0, 1, (max(3, round(len(seen) / max(4 * width, 8.0))),) * 2)
    wave = cv2.resize(small, seen.shape[::-1], interpolation=cv2.INTER_CUBIC) * min(0.35 * width, 4.0)
    loose = np.asarray(deep - out > 0.5 - off - wave * rng.random())
    return loose if loose.sum() >= _LEAST else seen


def _matrix(
    box: Float, size: tuple[int, int], side: int, shares: tuple[float, float], rng: np.random.Generator
) -> Float:
    """Return a map that shows a box at a size by lot, somewhere on the look; mirrored and turned by lot."""
    extent = float((box[2:] - box[:2]).max())
    share = float(np.exp(rng.uniform(*np.log(shares))))
    width = max(min(extent / share, max(_WIDEST * max(size), extent / 0.95)), side / NEAREST)
    centre = (box[:2] + box[2:]) / 2 + rng.uniform(-0.45, 0.45, 2) * max(width - extent, 0.0)
    if rng.random() < 0.7:  # most looks stay within the image, as far as they can
        least = np.minimum(width, [size[1], size[0]]) / 2
        centre = centre.clip(least, np.array([size[1], size[0]]) - least)
    turn = np.deg2rad(rng.uniform(-180, 180) if rng.random() < 0.4 else rng.uniform(-12, 12))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    stretch = np.exp(rng.uniform(-0.12, 0.12))
    linear = side / width * rotation @ np.diag([stretch * rng.choice([-1.0, 1.0]), 1 / stretch])
    return np.column_stack([linear, side / 2 - linear @ centre])


def _crop(kept: Kept, matrix: Float, seen: Array, close: bool, side: int, rng: np.random.Generator) -> Crop:
    image = kept.sample.image
    pixels = warp_pixels(image, matrix, (side, side), kept.limits[0])
    inside = warp_pixels(np.full((*image.shape[:2], 1), 255, np.uint8), matrix, (side, side), 0.0)[:, :, 0] / 255.0
    sample = Sample(normalise(pixels, INPUT, kept.limits), Instances.empty((side, side)))
    shown = camera(np.asarray(COLOUR(sample, rng).image, np.float32), rng) * inside[:, :, None]
    planes = np.ascontiguousarray(shown.transpose(2, 0, 1), np.float32)
    return Crop(planes, _cells(seen), _cells(inside), close)


def _cells(plane: Array) -> Float32:
    """Return the mean of each cell."""
    side = len(plane) // CELL
    return plane.reshape(side, CELL, side, CELL).astype(np.float32).mean((1, 3))


def first_click(target: Float32, rng: np.random.Generator) -> Int:
    """Return column and row, in cells, of a click on an object: its middle, or any place well inside it."""
    depth = _depth(target >= min(0.5, float(target.max())))
    if rng.random() < 0.5:
        return _deepest(depth)
    rows, columns = np.nonzero(depth >= 0.4 * depth.max())
    k = rng.integers(len(rows))
    return np.array([columns[k], rows[k]])


def next_click(target: Float32, found: Float32, inside: Float32) -> tuple[Int, bool] | None:
    """Return where in the largest error a person clicks next, and whether on the object; None where all is right."""
    truth, drawn = (target >= 0.5) & (inside > 0.5), (found >= 0.5) & (inside > 0.5)
    parts = []
    for error in (truth & ~drawn, drawn & ~truth):
        _, labels, stats, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8), connectivity=8)
        k = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else 0
        parts.append((int(stats[k, cv2.CC_STAT_AREA]) if k else 0, labels == k))
    missing, beyond = parts
    if not max(missing[0], beyond[0]):
        return None
    positive = missing[0] >= beyond[0]
    return _deepest(_depth((missing if positive else beyond)[1])), positive


def _depth(where: Array) -> Float32:
    return np.asarray(cv2.distanceTransform(np.pad(where, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1])


def _deepest(depth: Float32) -> Int:
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return np.array([column, row])
