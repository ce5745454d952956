"""Zones: parts of the picture, of an object, or of the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apiece._arrays import Float
from apiece.core.masks import Masks
from apiece.errors import DataError
from apiece.rules._kit.keys import (
    CLASSES,
    FLAG,
    NUMBER,
    SHARE,
    KeyType,
    Names,
    Node,
    key,
    read_mapping,
    schema_of,
    some_of,
)
from apiece.rules._kit.layout import Placement

__all__ = ["ZONE_TYPE", "Zone"]


@dataclass(frozen=True)
class Zone:
    """Where a rule looks."""

    box: tuple[float, ...] | None = key(some_of(NUMBER, 4), "left, top, right and bottom edge, in pixels", None)
    share: tuple[float, ...] | None = key(some_of(SHARE, 4), "the same as shares of width and height", None)
    polygon: tuple[tuple[float, float], ...] | None = key(
        some_of(some_of(NUMBER, 2)), "corners, each x and y in pixels", None
    )
    objects: tuple[str, ...] | None = key(CLASSES, "the area of all objects of a class, or of several", None)
    moves: bool = key(FLAG, "`no`: a zone of the picture, even where a layout says how the picture is shifted", True)

    def __post_init__(self) -> None:
        given = [name for name in ("box", "share", "polygon", "objects") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give one of box, share, polygon and objects, got {' and '.join(given) or 'none'}")
        for corners in (self.box, self.share):
            if corners is not None and not (corners[0] < corners[2] and corners[1] < corners[3]):
                raise ValueError("the left edge lies left of the right edge, and the top above the bottom")
        if self.polygon is not None and (len(self.polygon) < 3 or _area(np.array(self.polygon)) == 0):
            raise ValueError("a polygon has three corners or more that are not on one line")

    def outline(self, size: tuple[int, int]) -> Float:
        """Return the corners in pixels, (K, 2), on a picture of ``size`` (height, width)."""
        if self.polygon is not None:
            return np.array(self.polygon, np.float64)
        x0, y0, x1, y1 = self.box or np.array(self.share) * np.tile(size[::-1], 2)
        return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], np.float64)

    def mask(self, size: tuple[int, int], placement: Placement | None, name: str) -> Masks:
        """Return the pixels of a zone that is no object's, as one mask; ``placement`` moves a zone of a layout.

        Raises
        ------
        DataError
            if the zone reaches beyond the picture; one that moves may do so in part.
        """
        corners = self.outline(size)
        moved = placement is not None and self.moves and self.share is None
        if moved:
            corners = placement(corners)  # type: ignore[misc]
        limit = np.array(size[::-1], np.float64)
        if not moved and ((corners < 0) | (corners > limit)).any():
            raise DataError(
                f"the zone {name!r} reaches to {corners[:, 0].max():g}, {corners[:, 1].max():g} from "
                f"{corners[:, 0].min():g}, {corners[:, 1].min():g}, beyond the picture of {size[1]} x {size[0]} pixels"
            )
        mask = Masks.from_polygons([[corners.reshape(-1)]], size)
        if not mask.area[0]:
            raise DataError(f"the zone {name!r} lies outside the picture of {size[1]} x {size[0]} pixels")
        return mask


def _area(corners: Float) -> float:
    x, y = corners.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def _zone(node: Node, names: Names) -> Zone:
    return read_mapping(Zone, node, names, "a zone")


ZONE_TYPE = KeyType(_zone, schema_of(Zone))
