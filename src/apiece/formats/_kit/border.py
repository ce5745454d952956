"""The border of the image: how far an outline may reach beyond it, for all formats.

What lies outside is cut. An outline that reaches further than 2 pixels and than 1% of the side is refused unless the
person asks for clipping, since it may belong to another image or scale. An outline that lies wholly outside is always
refused, since nothing of it would be left.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from apiece._arrays import Float
from apiece.errors import Message, Option
from apiece.formats.contract import Cut

_TOLD = 0.1  # pixels: what reaches less far is rounding, and is cut without a word
_PIXELS, _SHARE = 2.0, 0.01  # how far an outline may reach: pixels, or share of the side, whichever is more
_log = logging.getLogger("apiece")


class Border:
    """What one label set cuts at the border of its images, and what it refuses.

    Attributes
    ----------
    clip : whether to cut outlines however far they reach.
    path : the label file, for the log; None keeps silent.
    """

    def __init__(self, clip: bool = False, path: Path | None = None) -> None:
        self.clip, self.path = clip, path
        self._cut: dict[int, list[Cut]] = {}
        self._noted: set[tuple[int, int]] = set()
        self._facts: dict[str, Any] = {"cut": {"outlines": 0, "images": 0}}

    @property
    def cut(self) -> Mapping[int, Sequence[Cut]]:
        """The outlines that were cut, by position of their image, as far as decoded."""
        return MappingProxyType(self._cut)

    def note(self, image: int, cut: list[Cut], first: int = 0) -> None:
        """Keep what was cut on an image, or on its piece that begins with the instance ``first``.

        Warns once, with a count that grows as ``facts`` of the log's record.
        """
        if (image, first) in self._noted or not cut:
            return
        self._noted.add((image, first))
        self._cut.setdefault(image, []).extend(cut)
        counts, before = self._facts["cut"], self._facts["cut"]["outlines"]
        counts["outlines"] += len(cut)
        counts["images"] = len(self._cut)
        if not before and self.path is not None:
            self._facts["path"] = self.path
            said = "%s: outlines reach beyond the border of their image and are cut there; check lists them"
            _log.warning(said, self.path, extra={"facts": self._facts})

    def judge(self, boxes: Float, sizes: Any) -> tuple[dict[int, Cut], dict[int, Message]]:
        """Judge outlines by their boxes.

        Parameters
        ----------
        boxes : (N, 4) x0, y0, x1, y1 in pixels.
        sizes : (height, width) of their image, or (N, 2) of the image of each.

        Returns
        -------
        The outlines to cut, of an instance still to be named, and the ones to refuse with the reason.
        """
        width_height = np.broadcast_to(np.asarray(sizes, np.float64)[..., ::-1], (len(boxes), 2))
        beyond = np.maximum(-boxes[:, :2], boxes[:, 2:] - width_height)
        over = np.flatnonzero((beyond > _TOLD).any(1))
        boxes, width_height, beyond = boxes[over], width_height[over], beyond[over]
        gone = np.asarray(((boxes[:, 2:] <= 0) | (boxes[:, :2] >= width_height)).any(1))
        far = np.asarray((beyond > np.maximum(_PIXELS, _SHARE * width_height)).any(1))
        left, most = np.clip(boxes, 0, np.tile(width_height, 2)), beyond.max(1, initial=0)
        cut, refused = {}, {}
        for k, i in enumerate(over.tolist()):
            width, height = width_height[k].astype(int).tolist()
            image = f"the image of {width} x {height} pixels; is this the right image, at the right scale?"
            if gone[k]:
                refused[i] = Message(f"lies wholly outside {image}")
            elif far[k] and not self.clip:
                said = f"reaches {most[k]:,.4g} pixels outside {image} If it is, cut the outline there with "
                refused[i] = said + Option("clip_outlines", True)
            else:
                cut[i] = Cut(-1, float(most[k]), bool(far[k]), tuple(left[k].tolist()))
        return cut, refused
