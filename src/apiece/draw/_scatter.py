"""A scatter plot as SVG text: named dots, a logarithmic x axis, a line through the best, labels that do not collide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from apiece._arrays import Bool, Float
from apiece.draw.charts import Axes
from apiece.errors import ConfigError

_SIZE = (860.0, 440.0)
_TOP = 34.0  # room for the legend of areas
_RADIUS = (3.0, 20.0)
_LETTER, _LINE = 7.0, 15.0  # what one letter, and a line of text, takes up at most
_GAPS = (3.0, 9.0, 18.0, 30.0, 46.0, 66.0)
_LEADER = 8.0  # from this gap on, a thin line joins dot and label


@dataclass(frozen=True)
class Dot:
    """One dot.

    Attributes
    ----------
    name : its label.
    x, y : where it lies.
    area : what its area shows, 0 or more.
    words : what a hint says beside its name.
    marked : whether the line goes through it.
    """

    name: str
    x: float
    y: float
    area: float
    words: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Scatter:
    """Dots over a logarithmic x axis; a line joins the marked ones.

    Attributes
    ----------
    title : above the plot.
    x_label, y_label : what the axes show, with units.
    dots : at least one; ``x`` above 0, everything finite.
    line : what the line is called.
    area_label : what the dots' areas show.
    areas : (name, area) of the dots of the legend.
    """

    title: str
    x_label: str
    y_label: str
    dots: Sequence[Dot]
    line: str = ""
    area_label: str = ""
    areas: Sequence[tuple[str, float]] = ()

    def __post_init__(self) -> None:
        if not self.dots:
            raise ConfigError(f"the plot {self.title!r} needs at least one dot")
        for dot in self.dots:
            good = all(map(math.isfinite, (dot.x, dot.y, dot.area))) and dot.x > 0 and dot.area >= 0
            if not good:
                raise ConfigError(
                    f"dot {dot.name!r} of {self.title!r} needs finite numbers, x above 0 and an area of 0 or more, "
                    f"got x {dot.x}, y {dot.y}, area {dot.area}"
                )


def scatter_svg(plot: Scatter) -> str:
    """The plot as an HTML figure with its SVG."""
    frame = _frame(plot.dots)
    largest = max([dot.area for dot in plot.dots] + [area for _, area in plot.areas]) or 1.0
    circles = np.array([(frame.px(d.x), frame.py(d.y), _radius(d.area, largest)) for d in plot.dots])
    marked = [circles[i] for i in np.argsort([d.x for d in plot.dots]) if plot.dots[i].marked]
    path = np.array(marked)[:, :2] if marked else np.zeros((0, 2))
    parts = frame.grid(plot.x_label, plot.y_label)
    parts.extend(_area_legend(plot, frame, largest))
    if len(path) > 1:
        points = "L".join(f"{x:.1f} {y:.1f}" for x, y in path)
        parts.append(f'<path class="line s1 front" d="M{points}"><title>{escape(plot.line)}</title></path>')
    # small dots on top of large ones
    for i in np.argsort(-circles[:, 2], kind="stable"):
        dot, (x, y, r) = plot.dots[i], circles[i]
        style = "dot s1" if dot.marked else "dot s8"
        words = escape(f"{dot.name}: {dot.words}" if dot.words else dot.name)
        parts.append(f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"><title>{words}</title></circle>')
    bounds = (frame.left, frame.top, frame.right, frame.floor)
    boxes = place_labels([d.name for d in plot.dots], circles, bounds, path)
    for dot, circle, box in zip(plot.dots, circles, boxes, strict=True):
        parts.extend(_label(dot, circle, box))
    summary = f"{plot.title}: {plot.y_label} over {plot.x_label}; " + ", ".join(d.name for d in plot.dots)
    keys = f'<span class="key"><i class="s1"></i>{escape(plot.line)}</span>' if marked and plot.line else ""
    legend = f'<p class="legend">{keys}<span class="key"><i class="s8"></i>others</span></p>' if keys else ""
    drawing = (
        f'<svg viewBox="0 0 {_SIZE[0]:g} {_SIZE[1]:g}" role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'
    )
    return f'<figure class="chart wide"><figcaption>{escape(plot.title)}</figcaption>{legend}{drawing}</figure>'


def _frame(dots: Sequence[Dot]) -> Axes:
    """Axes with room around the dots; y from 0 only where that costs no resolution."""
    x = np.array([d.x for d in dots])
    y = np.array([d.y for d in dots])
    margin = max((x.max() / x.min()) ** 0.1, 1.25)
    span = max(y.max() - y.min(), 0.25 * abs(y.max()), 1e-9) if y.any() else 0.05
    low = y.min() - 0.18 * span
    if y.min() >= 0 and low < 0.3 * span:
        low = min(0.0, y.min() - 0.12 * span)
    high = y.max() + (0.18 if y.any() else 1.0) * span
    across = (float(x.min() / margin), float(x.max() * margin))
    return Axes(across, (float(low), float(high)), _SIZE, _TOP, log=True)


def _radius(area: float, largest: float) -> float:
    return max(_RADIUS[0], _RADIUS[1] * math.sqrt(area / largest))


def _area_legend(plot: Scatter, frame: Axes, largest: float) -> list[str]:
    """Dots of known areas in the top right corner."""
    out, x, y = [], frame.right, _TOP / 2 - 4
    for name, area in reversed(plot.areas):
        out.append(f'<text class="tick" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="end">{escape(name)}</text>')
        r = _radius(area, largest)
        x -= len(name) * _LETTER + 4 + r
        out.append(f'<circle class="dot s8" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}"/>')
        x -= r + 14
    if plot.areas:
        words = escape(plot.area_label)
        out.append(f'<text class="tick" x="{x:.1f}" y="{y + 4:.1f}" text-anchor="end">{words}</text>')
    return out


# ---------------------------------------------------------------- labels


def place_labels(names: Sequence[str], circles: Float, bounds: tuple[float, float, float, float], path: Float) -> Float:
    """Where each name goes: near its circle, within bounds, over no circle and no other name; over the path only if
    nothing else is near.

    Parameters
    ----------
    names : N names.
    circles : (N, 3): centre x, centre y, radius.
    bounds : x0, y0, x1, y1 that names stay within.
    path : (P, 2): corners of a line.

    Returns
    -------
    boxes (N, 4): x0, y0, x1, y1. Where the plot is so full that no place is left, a name lies beside its circle.
    """
    steps = np.linspace(0, 1, 33)[:, None, None]
    along = (path[:-1] + steps * (path[1:] - path[:-1])).reshape(-1, 2) if len(path) > 1 else np.zeros((0, 2))
    boxes = np.zeros((len(names), 4))
    placed: list[int] = []
    # the crowded ones first: they have the fewest places to choose from
    distance = np.hypot(*(circles[:, None, :2] - circles[None, :, :2]).transpose(2, 0, 1))
    order = np.argsort(np.partition(distance, min(1, len(names) - 1), axis=1)[:, min(1, len(names) - 1)], kind="stable")
    for i in order:
        wide = len(names[i]) * _LETTER
        found, best = None, math.inf
        for box, cost in _candidates(circles[i], wide, bounds):
            if cost >= best or not _free(box, circles, boxes[placed]):
                continue
            crossing = np.any(_inside(along, box))
            if cost + 40.0 * crossing < best:
                found, best = box, cost + 40.0 * crossing
        boxes[i] = next(_candidates(circles[i], wide, bounds))[0] if found is None else found
        placed.append(int(i))
    return boxes


def _candidates(circle: Float, wide: float, bounds: tuple[float, float, float, float]) -> Iterator[tuple[Float, float]]:
    """Boxes around a circle, and what each costs: right and left first, then above and below, then all about, farther
    and farther; at last anywhere in the plot."""
    x, y, r = circle
    for gap in _GAPS:
        for k in (0, 8, 12, 4, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11):
            cos, sin = math.cos(k * math.pi / 8), math.sin(k * math.pi / 8)
            # the box's nearest side touches the circle of radius r + gap
            middle_x = x + (r + gap) * cos + 0.5 * wide * np.clip(1.5 * cos, -1, 1)
            middle_y = y + (r + gap) * sin + 0.5 * _LINE * np.clip(1.5 * sin, -1, 1)
            box = _box(middle_x, middle_y, wide)
            if _within(box, bounds):
                yield box, gap + (0 if k == 0 else 1 if k == 8 else 2)
    x0, y0, x1, y1 = bounds
    for middle_y in np.arange(y0 + _LINE / 2, y1 - _LINE / 2 + 1e-9, _LINE / 2):
        for middle_x in np.arange(x0 + wide / 2, x1 - wide / 2 + 1e-9, 12.0):
            yield _box(middle_x, middle_y, wide), 100.0 + math.hypot(middle_x - x, middle_y - y)
    yield _box(x + r + _GAPS[0] + wide / 2, y, wide), math.inf


def _box(x: float, y: float, wide: float) -> Float:
    return np.array([x - wide / 2, y - _LINE / 2, x + wide / 2, y + _LINE / 2])


def _within(box: Float, bounds: tuple[float, float, float, float]) -> bool:
    return bool(box[0] >= bounds[0] and box[1] >= bounds[1] and box[2] <= bounds[2] and box[3] <= bounds[3])


def _free(box: Float, circles: Float, boxes: Float) -> bool:
    """Whether a box touches no circle and no other box."""
    near = np.clip(circles[:, :2], box[:2], box[2:])
    apart = np.hypot(*(near - circles[:, :2]).T) >= circles[:, 2] + 1
    overlaps = (boxes[:, :2] < box[2:]).all(1) & (boxes[:, 2:] > box[:2]).all(1)
    return bool(apart.all() and not overlaps.any())


def _inside(points: Float, box: Float) -> Bool:
    x, y = points.T
    return (x >= box[0]) & (x <= box[2]) & (y >= box[1]) & (y <= box[3])


def _label(dot: Dot, circle: Float, box: Float) -> list[str]:
    """The name, and the thin line to its dot where it lies farther off."""
    out = []
    near = np.clip(circle[:2], box[:2], box[2:])
    apart = near - circle[:2]
    length = float(np.hypot(*apart))
    if length - circle[2] > _LEADER:
        begin = circle[:2] + apart / length * circle[2]
        out.append(
            f'<line class="leader" x1="{begin[0]:.1f}" y1="{begin[1]:.1f}" x2="{near[0]:.1f}" y2="{near[1]:.1f}"/>'
        )
    # the text itself is narrower than its box: it keeps to the side of its dot
    middle = (box[0] + box[2]) / 2
    side = "start" if middle > circle[0] + 4 else "end" if middle < circle[0] - 4 else "middle"
    x = {"start": box[0], "end": box[2], "middle": middle}[side]
    style = "name marked" if dot.marked else "name"
    out.append(f'<text class="{style}" x="{x:.1f}" y="{box[3] - 4:.1f}" text-anchor="{side}">{escape(dot.name)}</text>')
    return out
