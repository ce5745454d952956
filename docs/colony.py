"""Draw the picture of docs/how-to/cells-that-divide.md: ``python docs/colony.py colony.tif``.

Four frames of the tracked colony, each cut out around it. Cells have their id; what comes from one cell of the first
frame has one colour.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import apiece
from apiece.draw import overlay
from apiece.images import write_image
from apiece.track import start

PICTURE = Path(__file__).parent / "pictures" / "cells-that-divide.png"
FRAMES, SIDE, SCALE = (7, 9, 12, 16), 240, 2
COLOURS = np.array([[230, 159, 0], [86, 180, 233], [200, 200, 200]], np.uint8)


def main() -> None:
    tracker, founder, panels = start("cells"), {0: 3}, []
    for k, (_, seen) in enumerate(apiece.read(sys.argv[1])):
        found = tracker.update(seen)
        for number, mother in zip(found.ids.tolist(), found.attributes["parent"].tolist(), strict=True):
            founder.setdefault(number, founder[mother] if k else number)
        if k in FRAMES:
            x, y = np.rint(found.masks.centroids.mean(axis=0) - SIDE / 2).astype(int).tolist()
            near = found.masks.crop(x, y, x + SIDE, y + SIDE).to_dense()
            large = apiece.Masks.from_dense(near.repeat(SCALE, axis=1).repeat(SCALE, axis=2))
            shown = apiece.Instances(large, ids=found.ids)
            colours = COLOURS[[founder[number] - 1 for number in found.ids.tolist()]]
            ground = np.full((*large.size, 3), 20, np.uint8)
            panels.append(overlay(ground, shown, names=False, ids=True, alpha=0.8, colours=colours))
    gap = np.full((SCALE * SIDE, 8, 3), 255, np.uint8)
    write_image(PICTURE, np.concatenate([part for panel in panels for part in (panel, gap)][:-1], 1))


if __name__ == "__main__":
    main()
