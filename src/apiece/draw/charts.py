"""Small charts as SVG text: lines and grouped bars, coloured by the page's own CSS, so that dark mode and print work.

The n-th series has class ``s1`` to ``s8``; text and axes take ``currentColor``. Every mark has a ``<title>``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

__all__ = ["Axes", "Bars", "Chart", "Line", "bars_svg", "lines_svg", "log_ticks", "number", "ticks"]

_WIDTH, _HEIGHT = 430.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 12.0, 10.0, 44.0
_SERIES = 8


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
    title : above the chart.
    x_label, y_label : what the axes show, with units.
    groups : name of each group of bars; with ``edges`` left empty.
    series : name of each series and one value per group; no bar where it is not finite.
    edges : for a histogram instead: the G + 1 edges of its bins.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[tuple[str, Sequence[float]]]
    groups: Sequence[str] = ()
    edges: Sequence[float] = ()


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high], about so many: steps of 1, 2, 2.5 or 5 times a power of ten."""
    span = high - low
    if not (np.isfinite(span) and span > 0):
        return [low] if np.isfinite(low) else []
    power = 10.0 ** np.floor(np.log10(span / about))
    step = next(float(m * power) for m in (1, 2, 2.5, 5, 10, 20) if span / (m * power) <= about)
    first = int(np.ceil(low / step - 1e-9))
    last = int(np.floor(high / step + 1e-9))
    return [i * step for i in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers within [low, high] for a logarithmic axis: 1, 2 and 5 times powers of ten, or more in a short span.

    Raises
    ------
    ValueError
        unless 0 < low < high.
    """
    if not 0 < low < high < np.inf:
        raise ValueError(f"a logarithmic axis needs 0 < low < high, got {low} and {high}")
    powers = range(int(np.floor(np.log10(low))), int(np.floor(np.log10(high))) + 1)
    coarse = [m * 10.0**p for p in powers for m in (1, 2, 5)]
    found = [t for t in coarse if low <= t <= high]
    return found if len(found) > 2 else [t for t in ticks(low, high, about=6) if t > 0]


def number(value: float) -> str:
    """As axes and hints say it."""
    return f"{value:,.10g}" if abs(value) < 1e6 else f"{value:.3g}"


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
        size: tuple[float, float] = (_WIDTH, _HEIGHT),
        top: float = _TOP,
        log: bool = False,
    ) -> None:
        self.x, self.y = x if log else _spread(x), _spread(y)
        self.width, self.height, self.top, self.log = *size, top, log
        self.left, self.right, self.floor = _LEFT, self.width - _RIGHT, self.height - _BOTTOM
        self.wide, self.high = self.right - self.left, self.floor - top

    def px(self, value: float) -> float:
        """Where ``value`` lies across."""
        low, high = self.x
        if self.log:
            return float(self.left + np.log(value / low) / np.log(high / low) * self.wide)
        return self.left + (value - low) / (high - low) * self.wide

    def py(self, value: float) -> float:
        """Where ``value`` lies from the top."""
        return self.top + (self.y[1] - value) / (self.y[1] - self.y[0]) * self.high

    def grid(self, x_label: str, y_label: str, x_ticks: bool = True) -> list[str]:
        """Lines, ticks and labels of both axes."""
        out = []
        for t in ticks(*self.y):
            y = self.py(t)
            out.append(f'<line class="grid" x1="{self.left}" x2="{self.right}" y1="{y:.1f}" y2="{y:.1f}"/>')
            out.append(f'<text class="tick" x="{self.left - 7}" y="{y + 3.5:.1f}" text-anchor="end">{number(t)}</text>')
        floor = self.floor
        if x_ticks:
            for t in log_ticks(*self.x) if self.log else ticks(*self.x, about=6):
                x = self.px(t)
                out.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{floor}" y2="{floor + 4}"/>')
                out.append(f'<text class="tick" x="{x:.1f}" y="{floor + 17}" text-anchor="middle">{number(t)}</text>')
        out.append(f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{floor}" y2="{floor}"/>')
        x, y = self.left + self.wide / 2, self.height - 6
        out.append(f'<text class="label" x="{x}" y="{y}" text-anchor="middle">{escape(x_label)}</text>')
        y = self.top + self.high / 2
        turn = f'transform="translate(12 {y}) rotate(-90)"'
        out.append(f'<text class="label" {turn} text-anchor="middle">{escape(y_label)}</text>')
        return out


def _spread(span: tuple[float, float]) -> tuple[float, float]:
    low, high = span
    room = max(0.5, 1e-6 * abs(low))
    return (low, high) if high > low else (low - room, high + room)


def _range(values: Sequence[Sequence[float]], given: tuple[float, float] | None, zero: bool) -> tuple[float, float]:
    if given is not None:
        return given
    every = np.concatenate([np.asarray(v, np.float64) for v in values] or [np.zeros(0)])
    every = every[np.isfinite(every)]
    if not every.size:
        return 0.0, 1.0
    low, high = float(every.min()), float(every.max())
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high + (0.04 * (high - low) if zero else 0.0)


def _wrap(parts: Sequence[str], title: str, summary: str, names: Sequence[str]) -> str:
    """The whole figure: heading, legend, drawing."""
    keys = "".join(
        f'<span class="key"><i class="s{i % _SERIES + 1}"></i>{escape(name)}</span>' for i, name in enumerate(names)
    )
    legend = f'<p class="legend">{keys}</p>' if len(names) > 1 else ""
    drawing = (
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'
    )
    return f'<figure class="chart"><figcaption>{escape(title)}</figcaption>{legend}{drawing}</figure>'


def lines_svg(chart: Chart) -> str:
    """A line chart as an HTML figure with its SVG."""
    frame = Axes(
        _range([line.x for line in chart.lines], chart.x_range, zero=False),
        _range([line.y for line in chart.lines], chart.y_range, zero=True),
    )
    parts = frame.grid(chart.x_label, chart.y_label)
    for i, line in enumerate(chart.lines):
        style = f"s{i % _SERIES + 1}"
        points = [(float(x), float(y)) for x, y in zip(line.x, line.y, strict=True)]
        runs: list[list[str]] = [[]]
        for x, y in points:
            if np.isfinite(x) and np.isfinite(y):
                runs[-1].append(f"{frame.px(x):.1f} {frame.py(y):.1f}")
            elif runs[-1]:
                runs.append([])
        path = "".join("M" + "L".join(run) for run in runs if run)
        # a round cap makes a line of one point visible
        path = "".join(f"{m}l0 0" if "L" not in m else m for m in ("M" + p for p in path.split("M")[1:]))
        parts.append(f'<path class="line {style}" d="{path}"><title>{escape(line.name)}</title></path>')
    names = [line.name for line in chart.lines]
    summary = f"{chart.title}: {chart.y_label} over {chart.x_label}; curves: {', '.join(names)}"
    return _wrap(parts, chart.title, summary, names)


def bars_svg(bars: Bars) -> str:
    """Grouped bars, or a histogram, as an HTML figure with its SVG."""
    histogram = len(bars.edges) > 0
    count = len(bars.edges) - 1 if histogram else len(bars.groups)
    across = (float(bars.edges[0]), float(bars.edges[-1])) if histogram else (0.0, float(max(count, 1)))
    frame = Axes(across, _range([v for _, v in bars.series], None, zero=True))
    parts = frame.grid(bars.x_label, bars.y_label, x_ticks=histogram)
    for i, (name, values) in enumerate(bars.series):
        for k, value in enumerate(values):
            if not np.isfinite(value):
                continue
            left = frame.px(float(bars.edges[k]) if histogram else float(k))
            right = frame.px(float(bars.edges[k + 1]) if histogram else float(k + 1))
            margin = (right - left) * (0.04 if histogram else 0.16)
            wide = (right - left - 2 * margin) / len(bars.series)
            top, floor = frame.py(max(value, 0.0)), frame.py(min(value, 0.0))
            where = f"{number(bars.edges[k])} to {number(bars.edges[k + 1])}" if histogram else bars.groups[k]
            place = f'x="{left + margin + i * wide:.1f}" y="{top:.1f}"'
            extent = f'width="{max(wide - 1, 0.6):.1f}" height="{max(floor - top, 0):.1f}"'
            words = escape(f"{where}, {name}: {number(value)}")
            parts.append(f'<rect class="s{i % _SERIES + 1}" {place} {extent} rx="1.5"><title>{words}</title></rect>')
    if not histogram:
        parts.extend(_group_names(frame, bars.groups))
    names = [name for name, _ in bars.series]
    summary = f"{bars.title}: {bars.y_label} by {bars.x_label}; bars: {', '.join(names)}"
    return _wrap(parts, bars.title, summary, names)


def _group_names(frame: Axes, groups: Sequence[str]) -> list[str]:
    """Names under the groups, as long as fits, in two lines if that helps; every k-th where there are very many."""
    step = max(1, int(np.ceil(len(groups) / 18)))
    room = max(3, int(frame.wide / max(len(groups), 1) * step / 6.8))
    lines = 2 if any(len(name) > room for name in groups) else 1
    room = int(frame.wide / max(len(groups), 1) * step * lines / 6.2) if lines > 1 else room
    out = []
    for i, k in enumerate(range(0, len(groups), step)):
        short = groups[k] if len(groups[k]) <= room else groups[k][: room - 1] + "…"
        x, y = frame.px(k + 0.5), _HEIGHT - _BOTTOM + 15 + 12 * (i % lines)
        text = f"{escape(short)}<title>{escape(groups[k])}</title>"
        out.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="middle">{text}</text>')
    return out
