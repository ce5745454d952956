"""GrabCut: colours of the object against colours of the background, cut where they change.

C. Rother et al., "GrabCut: interactive foreground extraction using iterated graph cuts" (SIGGRAPH 2004), in OpenCV's
implementation. Points fix small discs, a box fixes what lies around it as background, and an earlier mask is the first
guess. Without box and mask the first guess is what a magic wand takes from the positive points.
"""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Bool, UInt8
from apiece.prompts._kit.pixels import PixelSegmenter, View, discs, flood, touched
from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]

_MOST = 1 << 17  # pixels of a view: a cut of more takes seconds
_ROUNDS = 3
_TOLERANCE = 24  # of the first guess


def _guess(view: View) -> Bool:
    if view.before is not None:
        return view.before & view.inside()
    if view.box is not None:
        return view.inside()
    everywhere = np.ones(view.shape, bool)
    guess = np.zeros(view.shape, bool)
    for x, y in view.positive.tolist():
        guess |= flood(view.pixels, (x, y), _TOLERANCE, everywhere)
    return guess


def _find(view: View) -> Bool:
    likely = _guess(view)
    trimap = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[~view.inside()] = cv2.GC_BGD
    trimap[discs(view.negative, view.shape, 2)] = cv2.GC_BGD
    trimap[discs(view.positive, view.shape, 2)] = cv2.GC_FGD
    found = _of_object(trimap)
    if found.all() or not found.any():  # there is nothing to cut between
        return found
    cv2.setRNGSeed(0)  # its clusters begin at random
    cv2.grabCut(view.pixels, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK)
    return touched(_of_object(trimap), view)


def _of_object(trimap: UInt8) -> Bool:
    return np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _open(opening: Opening) -> PixelSegmenter:
    return PixelSegmenter(_find, _MOST)


BACKEND = Backend(
    "GrabCut: object against background by colour; good with a box, needs no weights",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
)
