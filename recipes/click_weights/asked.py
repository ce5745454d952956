"""One object that a simulated person clicks on, again and again, until the mask is right."""

from __future__ import annotations

import cv2
import numpy as np

from apiece import Masks
from apiece._arrays import Bool, Float, Float32
from apiece.core.prompts import Prompts
from apiece.prompts.click.looks import CELL, Look, prompt_maps
from recipes.click_weights.crops import Crop, first_click, next_click

_KINDS = ("click", "guess", "box", "mask")
_LOT = (0.4, 0.3, 0.17, 0.13)
_KEEPS = 0.75  # of the objects have the mask of the click before; the others have clicks only
_MANY, _MOST = 0.4, 14  # of the objects have been clicked on before, so often at most
_COARSE = 0.35  # of the masks before come from a look from afar


class Asked:
    """What is asked about the object of a crop.

    Attributes
    ----------
    guessed : whether the default model's mask at the first click is known before it.
    points, signs : the clicks so far, in cells.
    """

    def __init__(self, crop: Crop, rng: np.random.Generator) -> None:
        self.crop, self.rng = crop, rng
        self.kind = str(rng.choice(_KINDS, p=_LOT))
        self.points = [first_click(crop.target, rng)]
        self.signs = [True]
        if rng.random() < _MANY:
            self._click_around(int(rng.integers(1, _MOST + 1)))
        self.box: Float | None = None
        self.before: Float32 | None = None
        self.keeps = bool(rng.random() < _KEEPS)
        self.guessed = self.kind == "guess"

    def _click_around(self, count: int) -> None:
        """Click on the object and close beside it, as a person has after many corrections."""
        on = (self.crop.target >= 0.5) & (self.crop.inside > 0.5)
        reach = max(3, round(float(np.sqrt(max(on.sum(), 1)) / 3)))
        near = cv2.dilate(on.astype(np.uint8), np.ones((2 * reach + 1,) * 2, np.uint8)) > 0
        beside = near & (self.crop.target < 0.1) & (self.crop.inside > 0.5)
        for positive, where in ((True, on), (False, beside)):
            rows, columns = np.nonzero(where)
            some = self.rng.integers(len(rows), size=(count + positive) // 2) if len(rows) else []
            self.points += [np.array([columns[k], rows[k]]) for k in some]
            self.signs += [positive] * len(some)

    def begin(self, guess: Float32 | None) -> None:
        """Put in place what is known before the first click."""
        if self.kind == "guess":
            self.before = guess
        elif self.kind == "box":
            self.box = _loose_box(self.crop.target, self.rng)
            if self.rng.random() < 0.7:
                self.points, self.signs = [], []
        elif self.kind == "mask":
            self.before = poor_mask(self.crop.target, self.rng)
            wrong = next_click(self.crop.target, self.before, self.crop.inside)
            if wrong is not None and self.rng.random() < 0.8:
                self.points, self.signs = [wrong[0]], [wrong[1]]

    def maps(self) -> Float32:
        """Return the maps that the network gets."""
        side = len(self.crop.target) * CELL
        look = Look(0.0, 0.0, side, side)
        points = (np.array(self.points, np.float64).reshape(-1, 2) + 0.5) * CELL
        box = np.full(4, np.nan) if self.box is None else self.box
        signs = np.array(self.signs, bool)
        told = signs.any() or self.box is not None
        asked = Prompts.of(points, signs, boxes=box) if told else _beside(points, signs)
        maps = prompt_maps(look, (side, side), asked, self.before)
        maps[5] = self.crop.inside
        return maps

    def click(self, found: Float32) -> None:
        """Click into the largest error of what was found."""
        wrong = next_click(self.crop.target, found, self.crop.inside)
        if wrong is not None:
            self.points.append(wrong[0])
            self.signs.append(wrong[1])
        if self.keeps:
            self.before = _coarse(found, self.rng) if self.rng.random() < _COARSE else found
        else:
            self.before = None


def _beside(points: Float, signs: Bool) -> Prompts:
    """Return negative clicks, or none, of an object that a mask is known of."""
    return Prompts.of(points, signs, masks=Masks.from_boxes([[0, 0, 1, 1]], (1, 1)))


def _loose_box(target: Float32, rng: np.random.Generator) -> Float:
    """Return a box around an object as a hand draws it, in pixels of the look."""
    rows, columns = (np.flatnonzero((target > 0.2).any(axis)) for axis in (1, 0))
    if not len(rows):
        rows, columns = (np.flatnonzero((target > 0).any(axis)) for axis in (1, 0))
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    sides = np.tile(box[2:] - box[:2], 2)
    box += rng.normal(0, 0.04, 4) * sides
    box = box.clip(0, len(target))
    box[2:] = np.maximum(box[2:], box[:2] + 1)
    return box * CELL


def poor_mask(target: Float32, rng: np.random.Generator) -> Float32:
    """Return an object's mask as a bad tool leaves it: too large, too small, cut off, or with something beside it."""
    side = len(target)
    mask = (target >= 0.5).astype(np.uint8)
    size = float(np.sqrt(max(mask.sum(), 1)))
    reach = max(1, round(size * float(rng.uniform(0.03, 0.2))))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1,) * 2)
    changed = (cv2.dilate if rng.random() < 0.5 else cv2.erode)(mask, kernel) if rng.random() < 0.6 else mask.copy()
    if rng.random() < 0.5:
        centre = tuple(int(v) for v in first_click(target, rng) + rng.normal(0, size / 2, 2))
        axes = tuple(max(1, int(v)) for v in rng.uniform(0.1, 0.6, 2) * size)
        cv2.ellipse(changed, centre, axes, float(rng.uniform(0, 180)), 0, 360, int(rng.random() < 0.5), -1)
    if not changed.any():
        changed = mask
    shift = rng.normal(0, 0.04 * size, 2)
    moved = cv2.warpAffine(changed, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), (side, side))
    return _coarse(moved.astype(np.float32), rng) if rng.random() < 0.5 else moved.astype(np.float32)


def _coarse(found: Float32, rng: np.random.Generator) -> Float32:
    """Return a mask as a look from farther away gives it."""
    side = len(found)
    small = max(8, round(side / float(rng.uniform(1.5, 8))))
    less = cv2.resize(found, (small, small), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(less, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
