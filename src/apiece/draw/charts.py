"""Small charts as SVG text: lines and grouped bars, coloured by the page's own CSS, so that dark mode and print work.

The n-th series has class ``s1`` to ``s8``; text and axes take ``currentColor``. Every mark has a ``<title>``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

__all__ = [
    "Axes", "Bars", "Chart", "Line", "bars_svg", "figure", "lines_svg", "log_ticks", "number", "path", "text", "ticks",
]  # fmt: skip

_SIZE = (430.0, 250.0)
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 10.0, 44.0
_SERIES = 8

Keys = list[tuple[str, str]]
"""Style and name of each series of a legend."""


@dataclass(frozen=True)
class Line:
    """One curve of a chart.

    Attributes
    ----------
    name : as the legend says it.
    x, y : the points, in order; points that are not finite break the line.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Chart:
    """Curves that share two axes.

    Attributes
    ----------
    title : above the chart.
    x_label, y_label : what the axes show, with units.
    lines : the curves.
    x_range, y_range : (least, most) shown; by default what the curves span.
    """

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    x_range: tuple[float, float] | None = None
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Bars:
    """Groups of bars that share two axes.

    Attributes
    ----------
    title, x_label, y_label : as of a `Chart`.
    series : name of each series and one value per group; no bar where it is not finite.
    groups : name of each group of bars; with ``edges`` left empty.
    edges : for a histogram instead: the G + 1 edges of its bins.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[tuple[str, Sequence[float]]]
    groups: Sequence[str] = ()
    edges: Sequence[float] = ()


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Return round numbers within [low, high], about so many: steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if not (np.isfinite(span) and span > 0):
        return [low] if np.isfinite(low) else []
    power = 10.0 ** np.floor(np.log10(span / about))
    step = next(float(m * power) for m in (1, 2, 2.5, 5, 10, 20) if span / (m * power) <= about)
    first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers within [low, high] for a logarithmic axis: 1, 2 and 5 times powers of ten, or more.

    Raises
    ------
    ValueError
        unless 0 < low < high.
    """
    if not 0 < low < high < np.inf:
        raise ValueError(f"a logarithmic axis needs 0 < low < high, got {low} and {high}")
    powers = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    found = [t for p in powers for m in (1, 2, 5) if low <= (t := m * 10.0**p) <= high]
    return found if len(found) > 2 else [t for t in ticks(low, high, about=6) if t > 0]


def number(value: float) -> str:
    """Return a number as axes and hints say it."""
    return f"{value:,.10g}" if abs(value) < 1e6 else f"{value:.3g}"


def text(x: float, y: float, words: str, anchor: str = "middle", style: str = "tick") -> str:
    """Return words as SVG."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'


def path(points: Iterable[tuple[float, float]], name: str, style: str) -> str:
    """Return a line as SVG; points that are not finite break it."""
    runs: list[list[str]] = [[]]
    for x, y in points:
        if np.isfinite(x) and np.isfinite(y):
            runs[-1].append(f"{x:.1f} {y:.1f}")
        else:
            runs.append([])
    # a round cap makes a line of one point visible
    drawn = "".join("M" + "L".join(run) + "l0 0" * (len(run) == 1) for run in runs if run)
    return f'<path class="line {style}" d="{drawn}"><title>{escape(name)}</title></path>'


def figure(title: str, summary: str, parts: Sequence[str], keys: Keys, size: tuple[float, float], kind: str) -> str:
    """Return a whole chart as HTML: heading, legend, drawing of (width, height)."""
    named = "".join(f'<span class="key"><i class="{style}"></i>{escape(name)}</span>' for style, name in keys)
    legend = f'<p class="legend">{named}</p>' if len(keys) > 1 else ""
    box = f'viewBox="0 0 {size[0]:g} {size[1]:g}" role="img" aria-label="{escape(summary)}"'
    drawing = f"<svg {box}>{''.join(parts)}</svg>"
    return f'<figure class="{kind}"><figcaption>{escape(title)}</figcaption>{legend}{drawing}</figure>'


class Axes:
    """Maps values to places on the drawing, and draws the axes.

    Parameters
    ----------
    x, y : least and most value shown.
    size : (width, height) of the drawing.
    top : height above the axes.
    log : whether x is logarithmic; then it must be above 0.
    """

    def __init__(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        size: tuple[float, float] = _SIZE,
        top: float = _TOP,
        log: bool = False,
    ) -> None:
        self.x, self.y = x if log else _spread(x), _spread(y)
        self.size, self.top, self.log = size, top, log
        self.left, self.right, self.floor = _LEFT, size[0] - _RIGHT, size[1] - _BOTTOM
        self.wide, self.high = self.right - self.left, self.floor - top

    def px(self, value: float) -> float:
        """Return where ``value`` lies across."""
        low, high = self.x
        share = np.log(value / low) / np.log(high / low) if self.log else (value - low) / (high - low)
        return float(self.left + share * self.wide)

    def py(self, value: float) -> float:
        """Return where ``value`` lies from the top."""
        return self.top + (self.y[1] - value) / (self.y[1] - self.y[0]) * self.high

    def grid(self, x_label: str, y_label: str, x_ticks: bool = True) -> list[str]:
        """Return lines, ticks and labels of both axes."""
        out, left, right, floor = [], self.left, self.right, self.floor
        for t in ticks(*self.y):
            y = self.py(t)
            out.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(text(left - 7, y + 3.5, number(t), "end"))
        across = log_ticks(*self.x) if self.log else ticks(*self.x, about=6)
        for t in across if x_ticks else ():
            x = self.px(t)
            out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
            out.append(text(x, floor + 17, number(t)))
        out.append(f'<line class="axis" x1="{left}" x2="{right}" y1="{floor}" y2="{floor}"/>')
        out.append(text(left + self.wide / 2, self.size[1] - 6, x_label, style="label"))
        turn = f'<g transform="translate(12 {self.top + self.high / 2}) rotate(-90)">'
        return [*out, turn, text(0, 0, y_label, style="label"), "</g>"]


def _spread(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    room = max(0.5, 1e-6 * abs(low))
    return (low, high) if high > low else (low - room, high + room)


def _range(values: Sequence[Sequence[float]], zero: bool = False) -> tuple[float, float]:
    """Least and most of all values, 0 among them if asked for, and a little room above."""
    every = np.concatenate([np.zeros(0), *values])
    every = every[np.isfinite(every)]
    if not every.size:
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    return (min(low, 0.0), max(high, 0.0) + 0.04 * (max(high, 0.0) - min(low, 0.0))) if zero else (low, high)


def _series(names: Sequence[str]) -> Keys:
    return [(f"s{i % _SERIES + 1}", name) for i, name in enumerate(names)]


def lines_svg(chart: Chart) -> str:
    """Return a line chart as an HTML figure with its SVG."""
    across = chart.x_range or _range([line.x for line in chart.lines])
    axes = Axes(across, chart.y_range or _range([line.y for line in chart.lines], zero=True))
    keys = _series([line.name for line in chart.lines])
    parts = axes.grid(chart.x_label, chart.y_label)
    for line, (style, name) in zip(chart.lines, keys, strict=True):
        parts.append(path(zip(map(axes.px, line.x), map(axes.py, line.y), strict=True), name, style))
    names = ", ".join(line.name for line in chart.lines)
    summary = f"{chart.title}: {chart.y_label} over {chart.x_label}; curves: {names}"
    return figure(chart.title, summary, parts, keys, axes.size, "chart")


def bars_svg(bars: Bars) -> str:
    """Return grouped bars, or a histogram, as an HTML figure with its SVG."""
    histogram = len(bars.edges) > 0
    edges = list(map(float, bars.edges if histogram else range(max(len(bars.groups), 1) + 1)))
    groups = [f"{number(a)} to {number(b)}" for a, b in itertools.pairwise(edges)]
    groups = groups if histogram else list(bars.groups)
    axes = Axes((edges[0], edges[-1]), _range([v for _, v in bars.series], zero=True))
    keys = _series([name for name, _ in bars.series])
    parts = axes.grid(bars.x_label, bars.y_label, x_ticks=histogram)
    for i, (name, values) in enumerate(bars.series):
        for k, value in enumerate(values):
            if not np.isfinite(value):
                continue
            left, right = axes.px(edges[k]), axes.px(edges[k + 1])
            margin = (right - left) * (0.04 if histogram else 0.16)
            wide = (right - left - 2 * margin) / len(bars.series)
            top, floor = axes.py(max(value, 0.0)), axes.py(min(value, 0.0))
            place = f'x="{left + margin + i * wide:.1f}" y="{top:.1f}"'
            extent = f'width="{max(wide - 1, 0.6):.1f}" height="{max(floor - top, 0):.1f}"'
            words = escape(f"{groups[k]}, {name}: {number(value)}")
            parts.append(f'<rect class="{keys[i][0]}" {place} {extent} rx="1.5"><title>{words}</title></rect>')
    if not histogram:
        parts.extend(_group_names(axes, groups))
    names = ", ".join(name for name, _ in bars.series)
    summary = f"{bars.title}: {bars.y_label} by {bars.x_label}; bars: {names}"
    return figure(bars.title, summary, parts, keys, axes.size, "chart")


def _group_names(axes: Axes, groups: Sequence[str]) -> list[str]:
    """Names under the groups, as long as fits, in two lines if that helps; every k-th where there are very many."""
    step = max(1, int(np.ceil(len(groups) / 18)))
    wide = axes.wide / max(len(groups), 1) * step
    room = max(3, int(wide / 6.8))
    lines = 2 if any(len(name) > room for name in groups) else 1
    room = int(wide * lines / 6.2) if lines > 1 else room
    out = []
    for i, k in enumerate(range(0, len(groups), step)):
        short = groups[k] if len(groups[k]) <= room else groups[k][: room - 1] + "…"
        hint = f"<g><title>{escape(groups[k])}</title>"
        out += [hint, text(axes.px(k + 0.5), axes.floor + 15 + 12 * (i % lines), short), "</g>"]
    return out
