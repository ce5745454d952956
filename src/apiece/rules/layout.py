"""Parts have to lie where a reference layout says: none missing, misplaced, turned, wrong or too many.

The file's section ``layout`` lists the places. A planogram of a shelf is a layout whose parts are products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from apiece._arrays import Float, Int
from apiece.core.instances import Instances
from apiece.rules._kit.layout import Layout, Place, Placement, assign, register
from apiece.rules.contract import CLASSES, SHARE, Needs, Quantity, Readings, RuleKind, Scene, choice, key, quantity
from apiece.rules.orientation import turned

__all__ = ["RULE"]


@dataclass(frozen=True)
class LayoutRule:
    """Keys of the rule."""

    layout: tuple[str, ...] = key(CLASSES, "the parts that are compared: a class, several, or any")
    within: Quantity = key(quantity("length"), "how far the centre of a part may lie from its place")
    turn: Quantity | None = key(
        quantity("degree"), "how far a part may be turned, where its place has an angle. By default any angle", None
    )
    size: float | None = key(
        SHARE, "how much larger or smaller a part's area may be, where its place has one. By default any", None
    )
    extra: str = key(choice("fail", "allowed"), "what parts do that belong to no place", "fail")


@dataclass(frozen=True, eq=False)
class _Compared:
    """Which part lies at which place."""

    places: Int  # in the layout
    parts: Int  # among the picture's objects, -1 for none
    wrong: Int  # another part that lies there, -1 for none
    far: Float  # pixels from each part to its place
    extra: Int  # parts without a place, those too whose score is just below the threshold
    doubled: Int  # for each of these the place in the layout, of the same part, that it lies at, or -1

    def of(self, layout: Layout, found: Instances, classes: tuple[str, ...]) -> _Compared:
        """Return what regards some classes. A part of theirs that lies at a place of other parts is without a place."""
        if "any" in classes:
            return self
        own = np.array([place.part in classes for place in layout.places])
        astray = self.wrong[~own & (self.wrong >= 0)]
        extra = np.append(self.extra, astray)
        asked = np.array([name in classes for name in found.classes])[found.labels[extra]]
        doubled = np.append(self.doubled, np.full(len(astray), -1))[asked]
        return _Compared(self.places[own], self.parts[own], self.wrong[own], self.far[own], extra[asked], doubled)


def _needs(rule: LayoutRule) -> Needs:
    asked = {"orientation": rule.turn, "area": rule.size}
    measures = frozenset(name for name, limit in asked.items() if limit is not None)
    return Needs(measures, frozenset(rule.layout), layout=True)


def _compare(scene: Scene, layout: Layout, placement: Placement) -> _Compared:
    """Match places with parts of their class: first what lies near, then what is left, however far."""
    found = scene.instances
    wanted = layout.parts(found.classes)
    places = np.arange(len(wanted))
    members = scene.members(("any",))
    points = placement(layout.points)
    centres = scene.centres[members.index]
    apart = np.hypot(*(points[:, None] - centres[None]).transpose(2, 0, 1))
    far = np.where(wanted[:, None] == found.labels[members.index][None], apart, np.inf)
    far = np.where(members.inside[None], far, far + layout.reach)  # an object below the threshold comes second
    at = np.full(len(places), -1)
    for reach in (layout.reach, np.inf):
        row, column = np.flatnonzero(at < 0), np.setdiff1d(np.arange(len(centres)), at)
        if len(row) and len(column):
            i, j = assign(far[np.ix_(row, column)], reach)
            at[row[i]] = column[j]
    left, wrong = np.setdiff1d(np.flatnonzero(members.inside), at), np.full(len(places), -1)
    empty = np.flatnonzero(at < 0)
    if len(empty) and len(left):
        i, j = assign(apart[np.ix_(empty, left)], layout.reach)
        wrong[empty[i]] = members.index[left[j]]
        left = np.delete(left, j)
    left = np.union1d(left, np.setdiff1d(np.flatnonzero(~members.inside), at))
    near = np.where(np.isfinite(far[:, left]), apart[:, left], np.inf)
    close = (near.min(0) <= layout.reach) if len(left) else np.zeros(0, bool)
    doubled = np.where(close, near.argmin(0) if close.any() else 0, -1)
    parts = np.where(at >= 0, members.index[at] if len(members.index) else -1, -1)
    distance = np.where(at >= 0, apart[places, at] if apart.size else np.inf, np.inf)
    return _Compared(places, parts, wrong, distance, members.index[left], doubled)


def _name(layout: Layout, place: int) -> str:
    one = layout.places[place]
    return one.name or f"{one.part} at {one.at[0]:g}, {one.at[1]:g}"


def _read(scene: Scene, rule: LayoutRule) -> Iterator[Readings]:
    layout, placement = scene.layout, scene.placement
    assert layout is not None
    if placement is None:
        words = [f"the layout of {len(layout.places)} parts is not found in the picture"]
        yield Readings.of("distance", scene.unit, [np.inf], most=0.0, words=words)
        return
    got = scene.kept("layout", lambda: _compare(scene, layout, placement))
    got = got.of(layout, scene.instances, rule.layout)
    yield _positions(scene, rule, layout, placement, got)
    if rule.turn is not None:
        yield from _turns(scene, rule.turn, layout, placement, got)
    if rule.size is not None:
        yield from _sizes(scene, rule.size, layout, placement, got)
    if rule.extra == "fail":
        yield _extras(scene, layout, got)


def _extras(scene: Scene, layout: Layout, got: _Compared) -> Readings:
    """Return how many parts belong to no place: certain parts alone, and with doubtful ones."""
    words = [
        f"extra {scene.instances.names[part]}" + (f", doubled at {_name(layout, at)}" * (at >= 0))
        for part, at in zip(got.extra.tolist(), got.doubled.tolist(), strict=True)
    ]
    counted, doubtful = scene.counted[got.extra], scene.doubtful[got.extra]
    objects = got.extra[None] if len(got.extra) else None
    return Readings.of(
        "extra parts", "", [counted.sum()], low=(counted & ~doubtful).sum(), high=len(words), most=0, objects=objects,
        words=["; ".join(words)], settled=True,
    )  # fmt: skip


def _positions(scene: Scene, rule: LayoutRule, layout: Layout, placement: Placement, got: _Compared) -> Readings:
    """Return how far each part lies from its place; infinitely, where it is missing, or may be."""
    words, found = [], scene.instances
    limit = scene.number(rule.within, np.inf)
    for place, part, wrong, far in zip(*(a.tolist() for a in (got.places, got.parts, got.wrong, got.far)), strict=True):
        name = _name(layout, place)
        if part >= 0:
            faults = ["is misplaced"] * (far * scene.scale > limit) + ["may be missing"] * bool(scene.doubtful[part])
            words.append(f"{name} {' or '.join(faults)}".strip())
        else:
            instead = f": {found.names[wrong]} in place of {layout.places[place].part}" if wrong >= 0 else " is missing"
            words.append(f"{name}{instead}")
    objects = np.where(got.parts >= 0, got.parts, got.wrong)[:, None]
    far, spread = got.far * scene.scale, (np.append(scene.edges.mean, 0.0)[got.parts] + placement.spread) * scene.scale
    high = np.where(np.append(scene.doubtful, False)[got.parts], np.inf, far + spread)
    return Readings.of(
        "distance", scene.unit, far, low=far - spread, high=high, most=limit, objects=objects, words=words,
        spots=placement(layout.points)[got.places], settled=True,
    )  # fmt: skip


def _turns(scene: Scene, turn: Quantity, layout: Layout, placement: Placement, got: _Compared) -> Iterator[Readings]:
    """Yield how far parts are turned, where their place has an angle."""
    angles = np.array([np.nan if one.angle is None else one.angle.value for one in layout.places])[got.places]
    some = np.flatnonzero((got.parts >= 0) & np.isfinite(angles))
    if not len(some):
        return
    parts = got.parts[some]
    angle, spread = (column[parts] for column in scene.measured("orientation"))
    off = turned(angle, angles[some] + placement.angle)
    words = [_name(layout, int(place)) for place in got.places[some]]
    yield Readings.of("turned by", "deg", off, spread, most=turn.value, objects=parts[:, None], words=words)


def _sizes(scene: Scene, most: float, layout: Layout, placement: Placement, got: _Compared) -> Iterator[Readings]:
    """Yield by which share areas are off, where their place has one."""
    areas = np.array([np.nan if one.area is None else one.area for one in layout.places])[got.places]
    some = np.flatnonzero((got.parts >= 0) & np.isfinite(areas))
    if not len(some):
        return
    parts, right = got.parts[some], areas[some] * (abs(placement.factor) * scene.scale) ** 2
    area, spread = (column[parts] for column in scene.measured("area"))
    words = [_name(layout, int(place)) for place in got.places[some]]
    off = area / right - 1
    yield Readings.of("area off by", "", off, spread / right, -most, most, parts[:, None], words)


@dataclass(frozen=True)
class Learned:
    """A layout that good examples show.

    Attributes
    ----------
    layout : its places, medians over the examples.
    far, turn, size : float64 (pictures, places), how far parts are from their place in pixels, turned in degrees, and
        how far their areas are off as shares; NaN where a part, or its angle, is not there.
    far_off, turn_off, size_off : float64 (places), how far each of these may be measured wrong (95%).
    """

    layout: Layout
    far: Float
    turn: Float
    size: Float
    far_off: Float
    turn_off: Float
    size_off: Float


def learned(scenes: Sequence[Scene]) -> Learned | None:
    """Return the layout that good examples show.

    None if the pictures do not show one layout: then nine of ten parts of the first have no like part elsewhere.
    """
    size = scenes[0].instances.size
    rest = [scene for scene in scenes if scene.instances.size == size]
    first = rest[0]
    found = first.instances
    if len(rest) < 2 or len(found) < 2:
        return None
    places = tuple(Place(found.names[k], (float(x), float(y))) for k, (x, y) in enumerate(first.centres))
    layout = Layout(places, (float(size[1]), float(size[0])))
    seen, angles, areas, spreads = [], [], [], []
    for scene in rest:
        placement = register(layout, scene.centres, scene.instances.labels, scene.instances.classes)
        if placement is None:
            return None
        placed = replace(scene, layout=layout)
        got = _compare(placed, layout, placement)
        part = np.maximum(got.parts, 0)
        back = (scene.centres[part] @ np.array([1, 1j]) - placement.shift) / placement.factor
        there = (got.parts >= 0) & (got.far <= layout.reach)
        seen.append(np.where(there, back, np.nan))
        angle, turn_off = (column[part] for column in scene.measured("orientation"))
        angles.append(np.where(there & (turn_off < 20), angle - placement.angle, np.nan))
        area, area_off = (column[part] for column in scene.measured("area"))
        areas.append(np.where(there, scene.instances.masks.area[part] / abs(placement.factor) ** 2, np.nan))
        spreads.append(np.where(there, [placement.spread + scene.edges.mean[part], turn_off, area_off / area], np.nan))
    return _typical(layout, np.array(seen), np.array(angles), np.array(areas), np.array(spreads))


def _typical(layout: Layout, seen: Float, angles: Float, areas: Float, spreads: Float) -> Learned | None:
    """Return the median place, angle and area of each part, with the differences from them."""
    usual = np.isfinite(seen).mean(0) >= 0.9
    if usual.mean() < 0.5:
        return None
    seen, angles, areas, spreads = seen[:, usual], angles[:, usual], areas[:, usual], spreads[:, :, usual]
    middle = np.nanmedian(seen.real, 0) + 1j * np.nanmedian(seen.imag, 0)
    area = np.nanmedian(areas, 0)
    known = np.isfinite(angles).mean(0) >= 0.9
    doubled = np.exp(2j * np.radians(angles))
    mean = np.nanmean(np.where(known, doubled, 1.0), 0)
    turn = np.degrees(np.angle(mean)) / 2 % 180
    # of parts that lie any way round the angles cancel out
    known &= np.abs(mean) > 0.9
    count: dict[str, int] = {}
    places = []
    for k, index in enumerate(np.flatnonzero(usual).tolist()):
        part = layout.places[index].part
        count[part] = count.get(part, 0) + 1
        angle = Quantity(round(float(turn[k]), 1), "deg", "degree") if known[k] else None
        at = (round(float(middle[k].real), 1), round(float(middle[k].imag), 1))
        places.append(Place(part, at, angle, round(float(area[k])), f"{part}-{count[part]}"))
    far, off, size = np.abs(seen - middle), np.where(known, turned(angles, turn), np.nan), np.abs(areas / area - 1)
    return Learned(replace(layout, places=tuple(places)), far, off, size, *np.nanmax(spreads, 0))


RULE = RuleKind(
    "parts lie where the layout says: none missing, misplaced, turned, wrong or extra",
    LayoutRule,
    _read,
    "layout: any\nwithin: 1.5 mm\nturn: 8 deg",
    _needs,
)
