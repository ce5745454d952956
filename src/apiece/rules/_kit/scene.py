"""`Scene`: one picture as rules see it. What several rules ask for is computed once, of several pictures at once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np

from apiece._arrays import Array, Bool, Float, Int
from apiece.core.image import Image, PixelSize
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import sums
from apiece.errors import ConfigError, DataError
from apiece.measurements import families, mean_colours, measure
from apiece.measurements.contract import Edges, Measure, Property
from apiece.ops.overlap import overlapping
from apiece.rules._kit.canvas import canvas
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


class _Measured(NamedTuple):
    """Columns of measures, with a row for each object that is measured, and their units."""

    columns: Mapping[str, Array]
    units: Mapping[str, str]

    def rows(self, index: Any) -> _Measured:
        """Return some of the rows."""
        return _Measured({name: values[index] for name, values in self.columns.items()}, self.units)


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
    beside : pictures of the same size that are judged together, this one among them; or none.
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
    beside: list[Scene] = field(default_factory=list)
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

    @property
    def _shares(self) -> dict[str, Float]:
        """Share of each object in each zone."""
        return self.together(_shares)

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

    def together(self, make: Callable[..., Sequence[Made]], *asked: Hashable) -> Made:
        """Return what ``make(scenes, *asked)`` gives for this picture, of several pictures at once, and keep it.

        So calls on small arrays are as few for sixteen pictures as for one. What ``make`` gives for a picture must not
        depend on those beside it.
        """
        key = (make, *asked)
        if key not in self._kept:
            scenes = [one for one in self.beside if key not in one._kept] or [self]
            try:
                made = make(scenes, *asked)
            except (ConfigError, DataError):
                if scenes == [self]:
                    raise
                scenes, made = [self], make([self], *asked)  # the error is that of a picture, which will raise it
            for scene, one in zip(scenes, made, strict=True):
                scene._kept[key] = one
        found: Made = self._kept[key]
        return found

    def part(self, index: Int) -> Scene:
        """Return the picture as if some of its objects were there for certain, and the rest not at all."""
        sure, kept = np.ones(len(index), bool), dict[Hashable, Any]()
        if (_measures,) in self._kept and not any(family.together for family in self._families):
            kept[_measures,] = self._table.rows(np.isin(self._rows, index))
        some, edges = self.instances[index], self.edges.take(index)
        return replace(self, instances=some, counted=sure, doubtful=~sure, edges=edges, _kept=kept, beside=[])

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

    @property
    def _families(self) -> list[Measure]:
        """The families of measures that rules ask for."""
        return [family for family in families() if any(one.name in self.wanted for one in family.properties)]

    @property
    def _table(self) -> _Measured:
        return self.together(_measures)

    def measure(self, found: Instances, image: Image | None) -> _Measured:
        """Return what rules ask for, of objects of this picture or of others like it."""
        asked = [self.properties[name] for name in sorted(self.wanted) if name in self.properties]
        behind = _AXES if any(p.dimension == "degree" for p in asked) else frozenset[str]()
        if any(p.dimension == "area" and not p.spread for p in asked):
            behind |= {"perimeter"}
        names = sorted(self.wanted | behind)
        table = measure(found, image, pixel_size=self.size, properties=names, uncertainty=True)
        return _Measured(table.columns, table.units)

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
        out[:, self._rows] = self._table.columns[name], self._spread(name)
        return out[0], out[1]

    def _spread(self, name: str) -> Float:
        table, prop, known = self._table.columns, self.properties[name], f"{name}_u95"
        if known in table:
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
        long, short = (self._table.columns[name].astype(np.float64) for name in ("major_axis", "minor_axis"))
        step = 2 * self.edge[self._rows] * self.scale
        return np.where(long - short <= step, 90.0, np.degrees(np.arctan2(step, long - short)))

    @cached_property
    def colours(self) -> Float:
        """Mean colour of each object, CIE L*a*b*: (N, 3)."""
        assert self.image is not None
        return mean_colours(self.instances, self.image)


def _measures(scenes: Sequence[Scene]) -> list[_Measured]:
    """Return what rules ask for of the objects of each picture: of all at once, if it is measured of masks alone."""
    edges = [scene.edges.take(scene._rows) for scene in scenes]
    named = [{"edge": one.point, "edge_mean": one.mean} for one in edges]
    found = [s.instances[s._rows].replace(attributes=one) for s, one in zip(scenes, named, strict=True)]
    if len(scenes) == 1 or any(one.together or one.needs_image or one.needs_full for one in scenes[0]._families):
        return [scene.measure(one, scene.image) for scene, one in zip(scenes, found, strict=True)]
    attributes = {name: np.concatenate([one[name] for one in named]) for name in named[0]}
    table = scenes[0].measure(Instances(Masks.concatenate([f.masks for f in found]), attributes=attributes), None)
    ends = sums([len(one) for one in found]).tolist()
    return [table.rows(slice(*part)) for part in pairwise(ends)]


def _shares(scenes: Sequence[Scene]) -> list[dict[str, Float]]:
    """Return the share of each object in each zone."""
    names = list(scenes[0].zones)
    zones = canvas([Masks.concatenate([scene._zone(name) for name in names]) for scene in scenes])
    masks = canvas([scene.instances.masks for scene in scenes])
    i, j, pixels = overlapping(masks, zones)
    table = np.zeros((len(names), len(masks)))
    table[j % len(names), i] = pixels
    table /= np.maximum(masks.area, 1)
    ends = sums([len(scene.instances) for scene in scenes]).tolist()
    return [dict(zip(names, table[:, a:b], strict=True)) for a, b in pairwise(ends)]
