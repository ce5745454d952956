"""Marker watershed: clicks are sources of water, and the object ends where its water meets the background's.

OpenCV's watershed (F. Meyer, ICIP 1992) floods the median-filtered image from markers, over the least steps in colour
first. Markers of the object are its positive points, the inner third of its box, or the core of its earlier mask.
Markers of the background are the negative points and what lies around the box or the mask, or else the border.
"""

from __future__ import annotations

import cv2
import numpy as np

from apiece._arrays import Bool
from apiece.prompts._kit.pixels import PixelSegmenter, View, discs, touched
from apiece.prompts.contract import Backend, Opening

__all__ = ["BACKEND"]

_MOST = 1 << 19  # pixels of a view
_CORE = 0.5  # of the depth of an earlier mask: what lies deeper is certain, and so is what lies as far outside


_RIM = [0, 1, -2, -1]  # OpenCV passes over markers in the outermost row


def _find(view: View) -> Bool:
    if min(view.shape) <= len(_RIM):  # there is no room between the rims
        return view.inside()
    background = discs(view.negative, view.shape, 2)
    background[_RIM] = background[:, _RIM] = True
    if view.box is not None:
        background |= ~view.inside()
    own = discs(view.positive, view.shape, 2)
    if view.before is not None:
        depth = cv2.distanceTransform(view.before.astype(np.uint8), cv2.DIST_L2, 3)
        beyond = cv2.distanceTransform((~view.before).astype(np.uint8), cv2.DIST_L2, 3)
        own |= depth > _CORE * depth.max()
        background |= beyond > _CORE * depth.max() + 1
    elif view.box is not None and not len(view.positive):
        x0, y0, x1, y1 = view.box
        a, b = (x1 - x0) // 3, (y1 - y0) // 3
        own[y0 + b : max(y1 - b, y0 + b + 1), x0 + a : max(x1 - a, x0 + a + 1)] = True
    own &= ~discs(view.negative, view.shape, 2)
    own[view.positive[:, 1], view.positive[:, 0]] = True
    markers = np.where(own, 1, np.where(background, 2, 0)).astype(np.int32)
    cv2.watershed(cv2.medianBlur(view.pixels, 5), markers)
    return touched((markers == 1) | own, view)  # the lines between, -1, are the background's


def _open(opening: Opening) -> PixelSegmenter:
    return PixelSegmenter(_find, _MOST)


BACKEND = Backend(
    "marker watershed: grows from the clicks to the nearest edges; wants points on the object and beside it",
    _open,
    takes=frozenset({"points", "boxes", "masks"}),
)
