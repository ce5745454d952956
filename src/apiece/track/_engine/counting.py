"""Count what crosses lines and what stays in zones; objects that tremble on a border count once.

The whole mask decides, not the corner of a box: an object has crossed a line once 85% of its mask lie beyond it, after
85% lay before it. In between it belongs to the side where it was. The line has two ends: the way of the mask's centroid
must pass between them. An object that was hidden while it crossed counts when it is seen again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, Option
from apiece.ops import intersections
from apiece.track._engine.uncertain import Recall

__all__ = ["Counter", "Event", "Line", "Zone"]

_LINE = re.compile(r"\s*(?:(.*?)\s*:)?\s*([-\d.]+)\s*,\s*([-\d.]+)\s+([-\d.]+)\s*,\s*([-\d.]+)\s*")
_FORGET = 600  # frames after which an object that is not seen any more is forgotten


@dataclass(frozen=True)
class Line:
    """A line from ``start`` to ``end``, x and y in pixels. Seen along it, objects cross to its ``right`` or ``left``.

    A line from the left of the image to its right has its right-hand side below.
    """

    name: str
    start: tuple[float, float]
    end: tuple[float, float]

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise ConfigError(f"the line {self.name!r} begins where it ends, at {self.start}")

    @classmethod
    def parse(cls, text: str, name: str = "line") -> Line:
        """Return the line that ``"exit: 100,400 900,400"`` means: a name, which may be left out, and two points.

        Raises
        ------
        ConfigError
            If the text is no line.

        Examples
        --------
        >>> Line.parse("exit: 100,400 900,400")
        Line(name='exit', start=(100.0, 400.0), end=(900.0, 400.0))
        """
        match = _LINE.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            x0, y0, x1, y1 = (float(match[k]) for k in range(2, 6))
        except ValueError:
            raise ConfigError(
                Option("line", text) + " is no line; write a name and two points, x,y in pixels: exit: 100,400 900,400"
            ) from None
        return cls(match[1] or name, (x0, y0), (x1, y1))

    def right(self, masks: Masks) -> Float:
        """Return the share of each mask that lies to the right of the line: float64 (N,)."""
        (x0, y0), (x1, y1) = self.start, self.end
        owner, x, top, bottom = masks.runs.loose
        # the cross product of the line's direction and the way to a pixel's centre is linear down a column
        slope, base = x1 - x0, -(y1 - y0) * (x + 0.5 - x0) - (x1 - x0) * (y0 - 0.5)
        if slope:
            border = np.clip(-base / slope, -(2**40), 2**40)  # row, as a fraction, where the sign changes
            below = np.clip(bottom - np.maximum(top, np.floor(border) + 1), 0, None)
            above = np.clip(np.minimum(bottom, np.ceil(border)) - top, 0, None)
            inside = below if slope > 0 else above
        else:
            inside = np.where(base > 0, bottom - top, 0)
        return np.bincount(owner, inside, len(masks)) / np.maximum(masks.area, 1)

    def passed(self, before: Float, after: Float) -> Float:
        """Return whether each way from ``before`` to ``after``, (N, 2), passes between the ends: bool (N,)."""
        start, end = np.array(self.start), np.array(self.end)
        way, along = after - before, end - start
        across = way[:, 0] * along[1] - way[:, 1] * along[0]
        apart = start - before
        where = (apart[:, 0] * way[:, 1] - apart[:, 1] * way[:, 0]) / np.where(across == 0, np.inf, across)
        # `where` along the line: 0 at its start, 1 at its end
        return (where >= 0) & (where <= 1) & (across != 0)


@dataclass(frozen=True)
class Zone:
    """An area; an object enters it with 60% of its mask, and has left it once less than 40% are inside.

    Attributes
    ----------
    name : as it is counted.
    rings : polygons, each x, y, x, y ... in pixels; of rings that lie in each other every second is a hole.
    """

    name: str
    rings: tuple[tuple[float, ...], ...]

    @classmethod
    def from_geojson(cls, content: Mapping[str, Any]) -> list[Zone]:
        """Return the zones of a GeoJSON object: its polygons, coordinates in pixels, named by the property ``name``.

        Raises
        ------
        DataError
            If it holds anything else than polygons.

        Examples
        --------
        >>> square = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [9, 9], [0, 9], [0, 0]]]}
        >>> Zone.from_geojson({"type": "Feature", "properties": {"name": "shelf"}, "geometry": square})[0].name
        'shelf'
        """
        kind = content.get("type") if isinstance(content, Mapping) else None
        features = content.get("features") if kind == "FeatureCollection" else [content]
        found = []
        for k, feature in enumerate(features if isinstance(features, list) else []):
            try:
                geometry = feature["geometry"] if feature.get("type") == "Feature" else feature
                parts = {"Polygon": [geometry["coordinates"]], "MultiPolygon": geometry["coordinates"]}[
                    geometry["type"]
                ]
                rings = tuple(tuple(float(v) for at in ring for v in at[:2]) for part in parts for ring in part)
            except (AttributeError, KeyError, TypeError, ValueError):
                raise DataError(f"zone {k + 1} is no polygon of GeoJSON; draw zones as polygons in pixels") from None
            if any(len(ring) < 6 or not np.isfinite(ring).all() for ring in rings):
                raise DataError(f"zone {k + 1} has a ring of fewer than three points")
            properties = feature.get("properties") or {}
            found.append(cls(str(properties.get("name") or f"zone {k + 1}"), rings))
        if not found:
            raise DataError("there are no zones: no polygon in it")
        return found

    def mask(self, size: tuple[int, int]) -> Masks:
        """Return the zone as one mask; holes are cut out."""
        rings = Masks.from_polygons([[list(ring)] for ring in self.rings], size)
        count = rings.to_dense().sum(0) if len(rings) > 1 else rings.to_dense()[0]
        return Masks.from_dense((count % 2 == 1)[None])


@dataclass(frozen=True)
class Event:
    """One crossing, arrival or departure.

    Attributes
    ----------
    where : name of the line or zone.
    what : ``"right"`` or ``"left"`` of a line, ``"enter"`` or ``"leave"`` of a zone.
    id, label : the object and its class.
    frame, seconds : when.
    dwell : seconds between enter and leave; None for other events.
    """

    where: str
    what: str
    id: int
    label: str
    frame: int
    seconds: float
    dwell: float | None = None


@dataclass
class _Totals:
    """Counts of one line or zone."""

    counts: dict[str, int] = field(default_factory=dict)
    classes: dict[str, dict[str, int]] = field(default_factory=dict)
    minutes: dict[int, dict[str, int]] = field(default_factory=dict)
    dwell: list[float] = field(default_factory=lambda: [0.0, 0.0])  # sum, longest
    left: int = 0  # visits that have ended

    def add(self, event: Event) -> None:
        minute = self.minutes.setdefault(int(event.seconds // 60), {})
        for counts in (self.counts, self.classes.setdefault(event.label, {}), minute):
            counts[event.what] = counts.get(event.what, 0) + 1
        if event.dwell is not None:
            self.left += 1
            self.dwell = [self.dwell[0] + event.dwell, max(self.dwell[1], event.dwell)]


class Counter:
    """Count the tracked objects of one video, frame by frame.

    Parameters
    ----------
    lines, zones : what to count at; names are unique.
    margin : by how much more than half of a mask must lie beyond a line before it counts (default 0.35).
    recall : what share of what passes is counted, as known from elsewhere; `summary` then has intervals.

    Examples
    --------
    >>> counter = Counter([Line("door", (10, 0), (10, 20))])
    >>> for k, x in enumerate((1, 7, 8, 7, 13)):
    ...     found = apiece.Instances(apiece.Masks.from_boxes([[x, 5, x + 5, 10]], (20, 30)), ids=[1])
    ...     for event in counter.update(found, seconds=k / 10):
    ...         print(event.where, event.what, event.id, event.seconds)
    door left 1 0.4
    """

    def __init__(
        self,
        lines: Iterable[Line] = (),
        zones: Iterable[Zone] = (),
        *,
        margin: float = 0.35,
        recall: Recall | None = None,
    ) -> None:
        self.lines, self.zones, self.margin, self.recall = tuple(lines), tuple(zones), margin, recall
        names = [*(line.name for line in self.lines), *(zone.name for zone in self.zones)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two lines or zones are called {twice!r}; give each a name of its own")
        if not 0 <= margin < 0.5:
            raise ConfigError(f"margin must be from 0 to below 0.5, got {margin}")
        self.totals = {name: _Totals() for name in names}
        self._size: tuple[int, int] | None = None
        self._areas = Masks.empty((1, 1))
        many, zones_ = len(self.lines), len(self.zones)
        self._ids, self._seen = np.zeros(0, np.int64), np.zeros(0, np.int64)
        self._side, self._anchor = np.zeros((0, many), np.int8), np.zeros((0, many, 2))
        self._since = np.full((0, zones_), np.nan)  # when it entered
        self._last = np.zeros(0)  # when it was seen last
        self._label = np.zeros(0, np.int64)
        self._frame = 0

    def update(self, tracked: Instances, seconds: float, frame: int | None = None) -> list[Event]:
        """Take in a frame, objects with ``ids``, shown at ``seconds``; return what happened in it.

        Raises
        ------
        DataError
            If the objects have no ids.
        """
        if tracked.ids is None:
            raise DataError("objects without ids cannot be counted; track them first")
        tracked = tracked[tracked.masks.area > 0]
        assert tracked.ids is not None
        self._frame = self._frame + 1 if frame is None else frame
        rows = self._rows(tracked.ids)
        self._label[rows] = tracked.labels
        events = [*self._crossings(tracked, rows, seconds), *self._visits(tracked, rows, seconds)]
        self._seen[rows], self._last[rows] = self._frame, seconds
        events += self._forget(tracked.classes)
        for event in events:
            self.totals[event.where].add(event)
        return events

    def _rows(self, ids: Int) -> Int:
        """Return the row of each object; new ones get one."""
        fresh = np.setdiff1d(ids, self._ids)
        if len(fresh):
            count = len(fresh)
            self._ids = np.concatenate([self._ids, fresh])
            self._seen = np.pad(self._seen, (0, count))
            self._side = np.pad(self._side, ((0, count), (0, 0)))
            self._anchor = np.pad(self._anchor, ((0, count), (0, 0), (0, 0)))
            self._since = np.pad(self._since, ((0, count), (0, 0)), constant_values=np.nan)
            self._last, self._label = np.pad(self._last, (0, count)), np.pad(self._label, (0, count))
        order = np.argsort(self._ids)
        found: Int = order[np.searchsorted(self._ids, ids, sorter=order)]
        return found

    def _crossings(self, tracked: Instances, rows: Int, seconds: float) -> list[Event]:
        events = []
        centre = tracked.masks.centroids
        for k, line in enumerate(self.lines):
            share = line.right(tracked.masks)
            side = np.where(share >= 0.5 + self.margin, 1, np.where(share <= 0.5 - self.margin, -1, 0))
            crossed = self._side[rows, k] * side == -1
            crossed &= line.passed(self._anchor[rows, k], centre)
            for i in np.flatnonzero(crossed).tolist():
                events.append(self._event(line.name, "right" if side[i] > 0 else "left", tracked, i, seconds))
            sure = side != 0
            self._side[rows[sure], k], self._anchor[rows[sure], k] = side[sure], centre[sure]
        return events

    def _visits(self, tracked: Instances, rows: Int, seconds: float) -> list[Event]:
        if not self.zones:
            return []
        if self._size != tracked.size:
            self._size = tracked.size
            self._areas = Masks.concatenate([zone.mask(tracked.size) for zone in self.zones])
        inside = intersections(tracked.masks, self._areas).toarray() / tracked.masks.area[:, None]
        since, events = self._since[rows], []
        came, left = np.isnan(since) & (inside >= 0.6), ~np.isnan(since) & (inside < 0.4)
        for i, k in np.argwhere(came).tolist():
            events.append(self._event(self.zones[k].name, "enter", tracked, i, seconds))
        for i, k in np.argwhere(left).tolist():
            dwell = seconds - float(since[i, k])
            events.append(self._event(self.zones[k].name, "leave", tracked, i, seconds, dwell))
        self._since[rows] = np.where(came, seconds, np.where(left, np.nan, since))
        return events

    def _event(
        self, where: str, what: str, tracked: Instances, i: int, seconds: float, dwell: float | None = None
    ) -> Event:
        assert tracked.ids is not None
        label = tracked.classes[tracked.labels[i]]
        return Event(where, what, int(tracked.ids[i]), label, self._frame, seconds, dwell)

    def _forget(self, classes: Sequence[str]) -> list[Event]:
        """Let go of objects that are gone for long; who was in a zone left it when it was seen last."""
        gone = self._frame - self._seen > _FORGET
        return self._leave(gone, classes) if gone.any() else []

    def _leave(self, gone: Any, classes: Sequence[str]) -> list[Event]:
        events = []
        for i, k in np.argwhere(gone[:, None] & ~np.isnan(self._since)).tolist():
            last, label = float(self._last[i]), classes[self._label[i]]
            dwell = last - float(self._since[i, k])
            at = int(self._seen[i])
            events.append(Event(self.zones[k].name, "leave", int(self._ids[i]), label, at, last, dwell))
        kept = ~gone
        for name in ("_ids", "_seen", "_side", "_anchor", "_since", "_last", "_label"):
            setattr(self, name, getattr(self, name)[kept])
        return events

    def inside(self) -> dict[str, int]:
        """Return how many objects of the last frame are in each zone."""
        there = ~np.isnan(self._since) & (self._seen == self._frame)[:, None]
        return {zone.name: int(count) for zone, count in zip(self.zones, there.sum(0), strict=True)}

    def summary(self) -> dict[str, Any]:
        """Return totals, by class and by minute, of each line and zone, as JSON knows them.

        Where the recall is known, ``interval`` says from how many to how many there were, with 95%; see `Recall`.
        """
        lines, zones = {}, {}
        inside = self.inside()
        for line in self.lines:
            totals = self.totals[line.name]
            lines[line.name] = _table(totals, ("right", "left"), self.recall)
        for zone in self.zones:
            totals = self.totals[zone.name]
            mean = totals.dwell[0] / totals.left if totals.left else None
            dwell = {"mean": mean, "longest": totals.dwell[1] if totals.left else None, "visits": totals.left}
            zones[zone.name] = _table(totals, ("enter", "leave"), self.recall) | {
                "inside": inside[zone.name],
                "dwell": dwell,
            }
        return {"lines": lines, "zones": zones}


def _table(totals: _Totals, kinds: Sequence[str], recall: Recall | None) -> dict[str, Any]:
    def row(counts: Mapping[str, int]) -> dict[str, int]:
        return {kind: counts.get(kind, 0) for kind in kinds}

    minutes = range(max(totals.minutes, default=-1) + 1)
    counted = row(totals.counts)
    spans = {} if recall is None else {"interval": {kind: list(recall.interval(n)) for kind, n in counted.items()}}
    return {
        **counted,
        **spans,
        "classes": {name: row(counts) for name, counts in sorted(totals.classes.items())},
        "minutes": [{"minute": minute, **row(totals.minutes.get(minute, {}))} for minute in minutes],
    }
