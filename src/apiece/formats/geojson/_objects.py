"""From features to objects: a block of them at once where all is plain, or one by one, which says what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np

from apiece._arrays import Array, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.runs import Runs
from apiece.errors import InvalidInstancesError
from apiece.formats._kit.border import Border
from apiece.formats._kit.checks import BadEntryError, Size, an_object, finite, is_int64
from apiece.formats._kit.columns import column, table, taken
from apiece.formats._kit.entries import PASSAGES, Entry, nobody, own_ids
from apiece.formats._kit.flat_parts import FlatParts
from apiece.formats._kit.shapes import Part
from apiece.formats.contract import Outlines
from apiece.formats.geojson._classes import class_named
from apiece.formats.geojson._features import Block, kind_named
from apiece.formats.geojson._geometry import Placed
from apiece.formats.geojson._outlines import NO_AREA, outline, outline_of
from apiece.formats.geojson._write import OWN


class Said(NamedTuple):
    """What a feature says of its object, but for its id and outline."""

    label: int
    score: float | None
    crowd: bool
    extras: dict[str, Any]


@dataclass(frozen=True)
class Reader:
    """What it takes to read the features of a file."""

    classes: tuple[str, ...]
    unnamed: bool
    """Whether a feature may have no class."""
    place: Placed | None

    @cached_property
    def _order(self) -> dict[str | None, int]:
        order: dict[str | None, int] = {name: k for k, name in enumerate(self.classes)}
        return order | ({None: order.get("Unclassified", order.get("object", -1))} if self.unnamed else {None: -1})

    def entry(self, feature: Any, where: str) -> Entry | None:
        """Return a feature as an entry to be drawn; None if it is no mask."""
        geometry = feature.get("geometry", "") if type(feature) is dict else ""
        if type(geometry) is not dict:
            if geometry is None:
                return None
            raise BadEntryError("must be an object with a geometry")
        shape = outline(geometry, self.place)
        if shape is None:
            return None
        said, own = self._said(feature), feature.get("id")
        if _is_name(own):
            said.extras["feature_id"], own = own, None
        return Entry(where, said.label, shape, own, said.score, said.crowd, said.extras)

    def _said(self, feature: dict[str, Any]) -> Said:
        name, geometry = class_named(feature), feature["geometry"]
        properties = an_object(feature.get("properties") or {}, "properties")
        extras = {k: v for k, v in properties.items() if k not in OWN and v is not None}
        score = properties.get("score")
        score = None if score is None else finite(score, "properties.score")
        if extras.get("objectType") == ("annotation" if score is None else "detection"):
            del extras["objectType"]
        if extras.get("isLocked") is False:
            del extras["isLocked"]
        if "plane" in geometry:
            extras["plane"] = geometry["plane"]
        if "nucleusGeometry" in feature:
            extras["nucleusGeometry"] = feature["nucleusGeometry"]
        return Said(self._order[name], score, properties.get("iscrowd") is True, extras)

    def table(self, block: Block) -> Table | None:
        """Return the objects of a block; None if something is not plain."""
        features = {k: block.features[k] for k in block.which}
        kinds = {k: feature["geometry"]["type"] for k, feature in features.items() if outline_of(feature) is not None}
        if block.drawing is None or any(kind_named(features[k]) not in NO_AREA for k in features.keys() - kinds):
            return None
        parts, wanted = block.drawing
        which = [k for k in block.which if k in kinds]
        if [kinds[k] for k in which] != wanted:
            return None
        try:
            said = [self._said(features[k]) for k in kinds]
        except BadEntryError:
            return None
        number = {k: n for n, k in enumerate(kinds)}
        ids = [own for own, k in zip(block.ids, block.which, strict=True) if k in kinds]
        return Table(said, [number[k] for k in which], ids, parts)


class Table(NamedTuple):
    """Objects that are read; those that say the same share it."""

    said: list[Said]
    of: list[int]
    """Which of ``said`` each object is."""
    ids: list[Any]
    """The id of each object; one that is no number is a name."""
    parts: FlatParts

    @classmethod
    def of_entries(cls, entries: list[Entry]) -> Table:
        """Return entries that are read one by one; their shapes are outlines."""
        said = [Said(one.label, one.score, one.crowd, one.extras) for one in entries]
        parts = FlatParts.of([cast(list[Part], one.shape) for one in entries])
        return cls(said, list(range(len(said))), [one.id for one in entries], parts)

    def outlines(self, index: int, first: int) -> Outlines:
        """Return the objects as the file states them, on the image at ``index``; ``first`` as in `draw`."""
        count, labels, parts = len(self.of), np.array([one.label for one in self.said], np.int64), self.parts
        place, rings = np.arange(first, first + count), parts.parts[parts.objects]
        return Outlines(np.full(count, index), place, labels[self.of], parts.points, parts.rings, rings, parts.holes)

    def draw(self, size: Size, border: Border, index: int, first: int) -> Masks | None:
        """Return the masks on an image of (height, width), the one at ``index``, drawn at once.

        ``border`` keeps what is cut; ``first`` is the number of the first object. None if one cannot be drawn so.
        """
        cut, refused = border.judge(self.parts.boxes, size)
        if refused or self.parts.passages(size) > PASSAGES:
            return None
        try:
            masks = self.parts.draw(size)
        except InvalidInstancesError:
            return None
        border.note(index, [one._replace(instance=first + k) for k, one in cut.items()], first)
        return masks


class Objects(NamedTuple):
    """Objects that are drawn."""

    masks: Masks
    said: list[Said]
    of: list[int]
    ids: list[Any]

    @classmethod
    def joined(cls, sets: Iterable[Objects], size: Size, store: bool) -> Objects:
        """Return the objects of several sets on an image of (height, width); ``store``: the masks in a file."""
        said, of, ids = list[Said](), list[int](), list[Any]()

        def parts() -> Iterator[Runs]:
            for one in sets:
                of.extend(k + len(said) for k in one.of)
                said.extend(one.said)
                ids.extend(one.ids)
                yield one.masks.runs

        masks = Masks.stored(size, parts()) if store else Masks.of_runs(size, Runs.concatenate(list(parts())))
        return cls(masks, said, of, ids)

    def instances(self, classes: tuple[str, ...], scored: bool, free: Iterator[int] | None = None) -> Instances:
        """Return them as `assemble` does.

        Objects without a number of their own take the next that is ``free``; or those beyond all, if one has any.
        """
        if not self.ids:
            return nobody(self.masks.size, classes)
        of, scores = np.array(self.of), [one.score for one in self.said]
        numbers = [one if is_int64(one) else None for one in self.ids] if int in set(map(type, self.ids)) else []
        if free is not None:
            numbers = [next(free) if one is None else one for one in numbers or [None] * len(of)]
        return Instances(
            self.masks,
            np.array([one.label for one in self.said], np.int64)[of],
            classes,
            np.array(scores, np.float64)[of] if scored else None,
            own_ids(numbers),
            np.array([one.crowd for one in self.said], bool)[of],
            self._attributes(of),
        )

    def _attributes(self, of: Int) -> dict[str, Array]:
        """Return what objects say besides, and those ids that are names."""
        extras = [one.extras for one in self.said]
        types = set(map(type, self.ids))
        named = (
            [True] * len(of) if types == {str} else [_is_name(own) for own in self.ids] if types - {type(None)} else []
        )
        if not any(named):
            return taken(table(extras, ()), of)
        for k, name in zip(self.of, named, strict=True):
            if name and "feature_id" not in extras[k]:
                extras[k] = extras[k] | {"feature_id": ""}
        found = taken(table(extras, ()), of)
        rows = zip(self.of, self.ids, named, strict=True)
        names = [own if name else self.said[k].extras.get("feature_id") for k, own, name in rows]
        return found | taken({"feature_id": column(names)}, np.arange(len(names)))


def _is_name(own: Any) -> bool:
    return own is not None and not is_int64(own)
