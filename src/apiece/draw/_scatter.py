"""A scatter plot as SVG text: named dots, a logarithmic x axis, a line through the best, labels that do not collide."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from apiece._arrays import Float
from apiece.draw.charts import Axes, figure, path, text
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
    """Return the plot as an HTML figure with its SVG."""
    axes = _axes(plot.dots)
    largest = max([dot.area for dot in plot.dots] + [area for _, area in plot.areas]) or 1.0
    circles = np.array([(axes.px(d.x), axes.py(d.y), _radius(d.area, largest)) for d in plot.dots])
    front = np.array([i for i in np.argsort([d.x for d in plot.dots]) if plot.dots[i].marked], np.int64)
    line = circles[front, :2]
    parts = axes.grid(plot.x_label, plot.y_label) + _area_legend(plot, axes, largest)
    if len(line) > 1:
        parts.append(path(line.tolist(), plot.line, "s1 front"))
    # small dots on top of large ones
    for i in np.argsort(-circles[:, 2], kind="stable"):
        dot = plot.dots[i]
        words = escape(f"{dot.name}: {dot.words}" if dot.words else dot.name)
        parts.append(_circle(circles[i], "s1" if dot.marked else "s8", f"<title>{words}</title>"))
    bounds = np.array([axes.left, axes.top, axes.right, axes.floor])
    boxes = place_labels([d.name for d in plot.dots], circles, bounds, line)
    for dot, circle, box in zip(plot.dots, circles, boxes, strict=True):
        parts.extend(_label(dot, circle, box))
    summary = f"{plot.title}: {plot.y_label} over {plot.x_label}; " + ", ".join(d.name for d in plot.dots)
    keys = [("s1", plot.line), ("s8", "others")] if len(front) and plot.line else []
    return figure(plot.title, summary, parts, keys, _SIZE, "chart wide")


def _axes(dots: Sequence[Dot]) -> Axes:
    """Axes with room around the dots; y from 0 only where that costs no resolution."""
    x, y = np.array([(d.x, d.y) for d in dots]).T
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


def _circle(place: Iterable[float], style: str, inside: str = "") -> str:
    x, y, r = place
    return f'<circle class="dot {style}" cx="{x:.1f}" cy="{y:.1f}" r="{r:.1f}">{inside}</circle>'


def _area_legend(plot: Scatter, axes: Axes, largest: float) -> list[str]:
    """Dots of known areas in the top right corner."""
    out, x, y = [], axes.right, _TOP / 2 - 4
    for name, area in reversed(plot.areas):
        r = _radius(area, largest)
        out.append(text(x, y + 4, name, "end"))
        x -= len(name) * _LETTER + 4 + r
        out.append(_circle((x, y, r), "s8"))
        x -= r + 14
    return [*out, text(x, y + 4, plot.area_label, "end")] if out else []


# ---------------------------------------------------------------- labels


def place_labels(names: Sequence[str], circles: Float, bounds: Float, path: Float) -> Float:
    """Return boxes where names go: near their circles (x, y, radius), within bounds, over no circle or name.

    Over the path (P, 2) only if nothing else is near. Where no place is left, a name lies beside its circle.
    """
    steps = np.linspace(0, 1, 33)[:, None, None]
    along = (path[:-1] + steps * (path[1:] - path[:-1])).reshape(-1, 2)
    # the crowded ones first: they have the fewest places to choose from
    distance = np.hypot(*(circles[:, None, :2] - circles[None, :, :2]).transpose(2, 0, 1))
    boxes, placed = np.zeros((len(names), 4)), np.zeros(len(names), bool)
    for i in np.argsort(np.sort(distance, axis=1)[:, :2].max(1), kind="stable"):
        size = np.array([len(names[i]) * _LETTER, _LINE])
        middle, cost = _candidates(circles[i], size, np.array(bounds))
        box = np.concatenate([middle - size / 2, middle + size / 2], 1)
        within = (box[:, :2] >= bounds[:2]).all(1) & (box[:, 2:] <= bounds[2:]).all(1)
        near = np.clip(circles[:, :2], box[:, None, :2], box[:, None, 2:])
        apart = np.all(np.hypot(*(near - circles[:, :2]).transpose(2, 0, 1)) >= circles[:, 2] + 1, 1)
        others = boxes[placed]
        over = np.all((others[:, :2] < box[:, None, 2:]) & (others[:, 2:] > box[:, None, :2]), 2)
        crossed = np.any(np.all((along >= box[:, None, :2]) & (along <= box[:, None, 2:]), 2), 1)
        free = within & apart & ~np.any(over, 1)
        boxes[i] = box[np.argmin(np.where(free, cost + 40.0 * crossed, np.inf))]
        placed[i] = True
    return boxes


def _candidates(circle: Float, size: Float, bounds: Float) -> tuple[Float, Float]:
    """Middles of boxes, and what each costs: right and left of the circle first, then above and below, then all about,
    farther and farther; at last anywhere in the plot."""
    centre, r = circle[:2], circle[2]
    turn = np.array((0, 8, 12, 4, 1, 15, 7, 9, 2, 14, 6, 10, 3, 13, 5, 11))
    way = np.stack([np.cos(turn * np.pi / 8), np.sin(turn * np.pi / 8)], 1)
    gaps = np.array(_GAPS)[:, None, None]
    # the box's nearest side touches the circle of radius r + gap
    around = (centre + (r + gaps) * way + 0.5 * size * np.clip(1.5 * way, -1, 1)).reshape(-1, 2)
    dearer = (gaps[:, :, 0] + np.where(turn == 0, 0, np.where(turn == 8, 1, 2))).ravel()
    first, last = bounds[:2] + size / 2, bounds[2:] - size / 2 + 1e-9
    across, down = np.arange(first[0], last[0], 12.0), np.arange(first[1], last[1], _LINE / 2)
    anywhere = np.stack(np.meshgrid(across, down), -1).reshape(-1, 2)
    far = 100.0 + np.hypot(*(anywhere - centre).T)
    return np.concatenate([around, anywhere]), np.append(dearer, far)


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
    return [*out, text(x, box[3] - 4, dot.name, side, "name marked" if dot.marked else "name")]
