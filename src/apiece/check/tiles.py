"""Tiles of one image, by the places that tools write into their names: tiles in two splits that share pixels.

Known names end in the tile's corners (SAHI: ``photo_0_320_200_520_400.png``) or in scale, x and y (DOTA's development
kit: ``photo__1__824___0.png``). Corners must agree with the size of the tile, so that no other number is taken for one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np

from apiece._arrays import Int
from apiece.check.contract import Check, Finding, Kind, Labelled, Place, SetFacts, Settings

__all__ = ["CHECK"]

_CORNERS = re.compile(r"(.+)_(\d{1,7})_(\d{1,7})_(\d{1,7})_(\d{1,7})$")
_DOTA = re.compile(r"(.+)__([\d.]+)__(\d{1,7})___(\d{1,7})$")


class _Tile(NamedTuple):
    """One tile: its place, the image and scale that it was cut from, and its corners x0, y0, x1, y1 there."""

    place: Place
    source: str
    corners: tuple[int, int, int, int]


def _remember(labelled: Labelled, settings: Settings) -> _Tile | None:
    height, width = labelled.instances.size
    stem = PurePosixPath(labelled.ref.name).stem
    if found := _CORNERS.match(stem):
        x0, y0, x1, y1 = map(int, found.groups()[1:])
        if (x1 - x0, y1 - y0) == (width, height):
            return _Tile(labelled.place(), found[1], (x0, y0, x1, y1))
    if found := _DOTA.match(stem):
        x0, y0 = int(found[3]), int(found[4])
        return _Tile(labelled.place(), f"{found[1]} at scale {found[2]}", (x0, y0, x0 + width, y0 + height))
    return None


def _conclude(seen: Sequence[_Tile], facts: SetFacts, settings: Settings) -> Iterator[Finding]:
    of: dict[str, dict[str, list[_Tile]]] = defaultdict(lambda: defaultdict(list))
    for tile in seen:
        of[tile.source][tile.place.split].append(tile)
    for source, splits in of.items():
        for earlier, later in combinations([split for split in facts.refs if split in splits], 2):
            yield from _shared(source, splits[earlier], splits[later])


def _shared(source: str, earlier: Sequence[_Tile], later: Sequence[_Tile]) -> Iterator[Finding]:
    """Yield one finding for the tiles of two splits that share pixels of one image."""
    before, after = _corners(earlier), _corners(later)
    first: tuple[_Tile, _Tile] | None = None
    tiles = 0
    for tile, corners in zip(later, after, strict=True):
        common = np.minimum(before[:, 2:], corners[2:]) - np.maximum(before[:, :2], corners[:2])
        share = common.clip(0).prod(1)
        if share.any():
            tiles += 1
            first = first or (tile, earlier[int(share.argmax())])
    if first is None:
        return
    tile, twin = first
    message = (
        f"{tiles:,} tile{'s' * (tiles > 1)} of {source} in {tile.place.split} share{'s' * (tiles == 1)} pixels with "
        f"tiles in {twin.place.split}: {tile.place.image} and {twin.place.image}"
    )
    yield Finding("tile_leak", message, 1.0, tile.place, (twin.place,))


def _corners(tiles: Sequence[_Tile]) -> Int:
    return np.array([tile.corners for tile in tiles], np.int64)


CHECK = Check(
    "Tiles of one image in two splits.",
    (
        Kind(
            "tile_leak",
            "error",
            "Tiles of one image that share pixels lie in two splits; their names say where they were cut (SAHI, DOTA).",
            "Split the images before they are cut into tiles; what is measured on shared pixels says nothing.",
        ),
    ),
    remember=_remember,
    conclude=_conclude,
)
