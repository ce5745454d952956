"""`Scene`: one picture as rules see it. Whatever several rules ask for is computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from apiece._arrays import Bool, Float, Int
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError
from apiece.measurements import mean_colours, measure
from apiece.measurements.contract import Edges, Property
from apiece.ops import intersections
from apiece.rules._kit.layout import Layout, Placement, register, register_pixels
from apiece.rules._kit.quantities import Quantity
from apiece.rules._kit.zones import Zone

__all__ = ["EDGE", "Members", "Scene"]

EDGE = 0.25  # how far outlines may be off (95%), in pixels, where neither the rules nor the objects say it

_IN, _OUT = 0.6, 0.4  # share of an object in a zone from which it is inside, and up to which outside: between, unsure
_AXES = frozenset({"major_axis", "minor_axis"})  # from which follows how far a direction is off
Made = TypeVar("Made")
_STATIC: dict[tuple[Any, ...], Masks] = {}


@dataclass(frozen=True, eq=False)
class Members:
    """The objects that a rule is about.

    Attributes
    ----------
    index : int64 (K,), which of the picture's objects.
    inside : bool (K,), whether each counts: its score is high enough, and most of it lies in the zone.
    doubtful : bool (K,), whether that is a close call.
    """

    index: Int
    inside: Bool
    doubtful: Bool

    @cached_property
    def counts(self) -> tuple[int, int]:
        """How many count for certain, and how many at all."""
        return int((self.inside & ~self.doubtful).sum()), int(self.inside.sum())


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture and its objects.

    Attributes
    ----------
    instances : the objects, those too whose score is just below the threshold.
    image : the pixels, where a rule needs them; else None.
    size : pixel size, or None: then lengths are in pixels.
    counted : bool (N,), whether an object's score reaches the threshold.
    doubtful : bool (N,), whether its score is close to the threshold.
    edges : how far outlines may be off.
    zones : by name.
    layout, reference : where parts belong, and its picture if it has one.
    wanted : names of the measures that rules ask for.
    of : classes of the objects that are measured, or ``any``; of no class, all objects are.
    properties : what each measure is, by name.
    """

    instances: Instances
    image: Image | None = None
    size: PixelSize | None = None
    counted: Bool = field(default_factory=lambda: np.zeros(0, bool))
    doubtful: Bool = field(default_factory=lambda: np.zeros(0, bool))
    edges: Edges = field(default_factory=lambda: Edges(np.zeros(0), np.zeros(0)))
    zones: Mapping[str, Zone] = field(default_factory=dict)
    layout: Layout | None = None
    reference: Image | None = None
    wanted: frozenset[str] = frozenset()
    of: frozenset[str] = frozenset()
    properties: Mapping[str, Property] = field(default_factory=dict)
    _kept: dict[Hashable, Any] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """Side of a pixel in the unit of lengths; of pixels that are not square, the mean (geometric)."""
        return 1.0 if self.size is None else float(np.sqrt(self.size.x * self.size.y))

    @property
    def unit(self) -> str:
        """The unit of lengths."""
        return "px" if self.size is None else self.size.unit

    @property
    def edge(self) -> Float:
        """How far each outline may be off at one place, in pixels (95%): float64 (N,)."""
        return self.edges.point

    def number(self, quantity: Quantity | None, otherwise: float) -> float:
        """Return a limit in the units of this picture; ``otherwise`` where there is none."""
        return otherwise if quantity is None else quantity.within(self.size)

    @cached_property
    def centres(self) -> Float:
        """Centroids in pixels, (N, 2)."""
        return self.instances.masks.centroids

    @cached_property
    def placement(self) -> Placement | None:
        """Where the picture shows the layout; None where it is not found."""
        layout = self.layout
        assert layout is not None
        if layout.register == "none":
            return Placement()
        if layout.register == "parts":
            sure = np.flatnonzero(self.counted)
            found = self.instances
            return register(layout, self.centres[sure], found.labels[sure], found.classes)
        assert self.reference is not None
        assert self.image is not None
        return register_pixels(layout, self.reference, self.image)

    @cached_property
    def _shares(self) -> dict[str, Float]:
        """Share of each object in each zone."""
        area = np.maximum(self.instances.masks.area, 1)
        masks = [self._zone(name) for name in self.zones]
        table = intersections(self.instances.masks, Masks.concatenate(masks)).toarray() / area[:, None]
        return dict(zip(self.zones, table.T, strict=True))

    def _zone(self, name: str) -> Masks:
        zone, size = self.zones[name], self.instances.size
        if zone.objects is not None:
            return self.instances.masks[self.members(zone.objects).index].union()
        placement = self.placement if self.layout is not None and zone.moves else None
        if self.layout is not None and zone.moves and zone.share is None and placement is None:
            raise DataError(f"the zone {name!r} moves with the layout, and the layout is not found in the picture")
        if placement is not None and self.layout is not None and self.layout.register != "none":
            return zone.mask(size, placement, name)
        key = (zone, size, name)
        if key not in _STATIC:
            if len(_STATIC) > 256:
                _STATIC.clear()
            _STATIC[key] = zone.mask(size, None, name)
        return _STATIC[key]

    def members(self, classes: tuple[str, ...], zone: str = "") -> Members:
        """Return the objects of some classes, or of ``("any",)``, in a zone; crowds are no objects."""
        return self.kept((classes, zone), lambda: self._members(classes, zone))

    def _members(self, classes: tuple[str, ...], zone: str) -> Members:
        found = self.instances
        chosen = ~found.crowd
        if "any" not in classes:
            chosen &= self.kept(classes, lambda: np.array([name in classes for name in found.classes])[found.labels])
        inside, doubtful = self.counted, self.doubtful
        if zone:
            share = self._shares[zone]
            chosen &= share > _OUT
            inside = inside & (share >= 0.5)
            doubtful = doubtful | (share < _IN)
        index = np.flatnonzero(chosen & (inside | doubtful))
        return Members(index, inside[index], doubtful[index])

    def kept(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """Return what ``make`` gave for this key before, or gives now: several rules may ask for it."""
        if key not in self._kept:
            self._kept[key] = make()
        found: Made = self._kept[key]
        return found

    @cached_property
    def _crowded(self) -> bool:
        return bool(self.instances.crowd.any())

    def crowds(self, classes: tuple[str, ...]) -> bool:
        """Return whether a crowd of these classes is there: nobody knows how many objects it covers."""
        found = self.instances
        if not self._crowded:
            return False
        return "any" in classes or bool(set(classes) & {found.classes[k] for k in found.labels[found.crowd]})

    @cached_property
    def _rows(self) -> Int:
        """Which objects are measured."""
        return self.members(tuple(sorted(self.of))).index if self.of else np.arange(len(self.instances))

    @cached_property
    def _table(self) -> Any:
        asked = [self.properties[name] for name in sorted(self.wanted) if name in self.properties]
        behind = _AXES if any(p.dimension == "degree" for p in asked) else frozenset[str]()
        if any(p.dimension == "area" and not p.spread for p in asked):
            behind |= {"perimeter"}
        edges = self.edges.take(self._rows)
        found = self.instances[self._rows].replace(attributes={"edge": edges.point, "edge_mean": edges.mean})
        names = sorted(self.wanted | behind)
        return measure(found, self.image, pixel_size=self.size, properties=names, uncertainty=True)

    def measured(self, name: str) -> tuple[Float, Float]:
        """Return a measure of each object, in the picture's units, and half the width of its 95% interval.

        Of lengths and areas the interval is that of `apiece measure --uncertainty`. Lengths for which it tells none,
        such as perimeters, are off by as much as the outline is on both sides. Objects that no rule has measured have
        none (NaN).
        """
        return self.kept(("measured", name), lambda: self._measured(name))

    def _measured(self, name: str) -> tuple[Float, Float]:
        if name not in self._table.columns:
            raise ConfigError(f"{name} has a value for each channel of this picture; a rule needs one value")
        out = np.full((2, len(self.instances)), np.nan)
        out[:, self._rows] = self._table[name], self._spread(name)
        return out[0], out[1]

    def _spread(self, name: str) -> Float:
        table, prop, known = self._table, self.properties[name], f"{name}_u95"
        if known in table.columns:
            return np.nan_to_num(table[known])
        if prop.dimension == "degree":
            return self._angle_spread
        around = table["perimeter"] / self.scale if prop.dimension == "area" else np.zeros(0)
        return prop.half_width(table[name], around, self.edges.take(self._rows), self.scale)

    def unit_of(self, name: str) -> str:
        """Return the unit of a measure."""
        return str(self._table.units.get(name, ""))

    @cached_property
    def _angle_spread(self) -> Float:
        """How far the direction of each measured object is off, in degrees: 90 where it is as long as wide."""
        long, short = (self._table[name].astype(np.float64) for name in ("major_axis", "minor_axis"))
        step = 2 * self.edge[self._rows] * self.scale
        return np.where(long - short <= step, 90.0, np.degrees(np.arctan2(step, long - short)))

    @cached_property
    def colours(self) -> Float:
        """Mean colour of each object, CIE L*a*b*: (N, 3)."""
        assert self.image is not None
        return mean_colours(self.instances, self.image)
