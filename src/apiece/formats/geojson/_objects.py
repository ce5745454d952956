"""From features to objects: a block of them at once where all is plain, or one by one, which says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from apiece._arrays import Array
from apiece.core.instances import Instances
from apiece.errors import InvalidInstancesError
from apiece.formats._kit.border import Border
from apiece.formats._kit.checks import BadEntryError, Size, an_object, finite, is_int64
from apiece.formats._kit.columns import column, table, taken
from apiece.formats._kit.entries import PASSAGES, Entry
from apiece.formats.geojson._classes import class_named
from apiece.formats.geojson._features import Block, kind_named
from apiece.formats.geojson._geometry import Placed
from apiece.formats.geojson._outlines import NO_AREA, outline, outline_of
from apiece.formats.geojson._write import OWN


class _Said(NamedTuple):
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

    def _said(self, feature: dict[str, Any]) -> _Said:
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
        return _Said(self._order[name], score, properties.get("iscrowd") is True, extras)

    def instances(
        self, block: Block, size: Size, border: Border, index: int, first: int, scored: bool, free: Iterator[int] | None
    ) -> Instances | None:
        """Return the objects of a block, drawn at once, as `assemble` does; None if something is not plain.

        Parameters
        ----------
        block, size : with outlines in pixels; (height, width) of the image at ``index``.
        border : keeps what is cut.
        first : the number of the first object.
        scored : whether objects have scores.
        free : ids for objects without one of their own; None if no object has an id.
        """
        features = {k: block.features[k] for k in block.which}
        kinds = {k: feature["geometry"]["type"] for k, feature in features.items() if outline_of(feature) is not None}
        if block.drawing is None or any(kind_named(features[k]) not in NO_AREA for k in features.keys() - kinds):
            return None
        parts, wanted = block.drawing
        rows = [(k, own) for k, own in zip(block.which, block.ids, strict=True) if k in kinds]
        cut, refused = border.judge(parts.boxes, size)
        if [kinds[k] for k, _ in rows] != wanted or refused or parts.passages(size) > PASSAGES:
            return None
        try:
            said = {k: self._said(features[k]) for k in kinds}
            masks = parts.draw(size)
        except (BadEntryError, InvalidInstancesError):
            return None
        border.note(index, [one._replace(instance=first + k) for k, one in cut.items()], first)
        number = {k: n for n, k in enumerate(said)}
        of = np.array([number[k] for k, _ in rows])
        scores = [one.score for one in said.values()]
        return Instances(
            masks,
            np.array([one.label for one in said.values()], np.int64)[of],
            self.classes,
            np.array(scores, np.float64)[of] if scored else None,
            None if free is None else np.array([own if is_int64(own) else next(free) for _, own in rows], np.int64),
            np.array([one.crowd for one in said.values()], bool)[of],
            _attributes(said, rows, of),
        )


def _attributes(said: dict[int, _Said], rows: list[tuple[int, Any]], of: Array) -> dict[str, Array]:
    """Return what objects say besides, each by the feature it is of and its id, which counts where it is a name."""
    for k, own in reversed(rows):
        if _is_name(own):
            said[k].extras["feature_id"] = own
    found = taken(table([one.extras for one in said.values()], ()), of)
    if "feature_id" in found:
        names = [own if _is_name(own) else said[k].extras.get("feature_id") for k, own in rows]
        found |= taken({"feature_id": column(names)}, np.arange(len(names)))
    return found


def _is_name(own: Any) -> bool:
    return own is not None and not is_int64(own)
