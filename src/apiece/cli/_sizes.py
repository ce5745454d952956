"""The page and the plots of a size distribution: `apiece measure --save html,png`."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from apiece._atomic import atomic, write_text
from apiece.errors import MissingExtraError

if TYPE_CHECKING:
    from apiece._arrays import Float
    from apiece.measurements import Table

_WEIGHTS = {"number": "Q0, by number", "area": "Q2, by area", "volume": "Q3, by volume"}
_BINS, _POINTS = 30, 200


def write_page(path: Path, table: Table, of: str, by: str, differences: Table | None) -> None:
    """Write one HTML file that loads nothing."""
    from apiece.draw.charts import Bars, Chart, Line, bars_svg, lines_svg
    from apiece.draw.page import html_page
    from apiece.draw.tables import PageTable, table_html
    from apiece.measurements import distribution

    found, label = distribution(table, of, by), _label(table, of)
    edges, shares = _histogram(table, of, by)
    bars = [(name, share.tolist()) for name, share in shares.items()]
    drawn = [bars_svg(Bars("Share of the objects", label, "%", bars, edges=edges.tolist()))]
    for weight, title in _WEIGHTS.items():
        curves = _curves(table, of, by, weight)
        lines = [Line(name, x.tolist(), (100 * y).tolist()) for name, (x, y) in curves.items()]
        drawn.append(lines_svg(Chart(title, label, "% smaller", lines, y_range=(0, 100))))
    numbers = [
        table_html(PageTable(title, ("group", "count", "D10", "D50", "D90", "span"), quantiles(found, by, weight)))
        for weight, title in _WEIGHTS.items()
    ]
    sections = [
        ("sizes", "Sizes", "".join(numbers)),
        ("curves", "Distributions", f'<div class="charts">{"".join(drawn)}</div>'),
        ("report", "Particle report", _facts(table, of, by, edges)),
    ]
    if differences is not None:
        rows = [tuple(row.values()) for row in differences.rows()]
        shown = PageTable(f"Difference of the mean {of} of images", tuple(differences.header()), rows, _NOTE)
        sections.insert(1, ("groups", "Groups", table_html(shown)))
    unit = table.units.get(of, "")
    middle = distribution(table.with_column("of", np.full(len(table), "all")), of, "of")
    headline = [(f"{len(table):,}", "objects")]
    headline += [(f"{middle[f'{w}_d50'][0]:.4g} {unit}", f"D50 by {w}") for w in ("number", "volume") if len(table)]
    page = html_page("Sizes", f"{of} by {by}", headline, sections)
    write_text(path, page)


_NOTE = "Each image counts once, with the mean of its objects; 95% intervals and p of Welch's test."


def write_plots(path: Path, table: Table, of: str, by: str) -> None:
    """Write a PNG file: the histogram, and the cumulative curves by number and by volume."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError("matplotlib", "tables") from None
    figure, label = Figure((10, 4), layout="constrained"), _label(table, of)
    left, right = figure.subplots(1, 2)
    edges, shares = _histogram(table, of, by)
    for name, share in shares.items():
        left.stairs(share, edges, label=name, fill=len(shares) == 1)
    left.set(xlabel=label, ylabel="% of the objects")
    for weight, style in (("number", "-"), ("volume", "--")):
        right.set_prop_cycle(None)
        for name, (x, y) in _curves(table, of, by, weight).items():
            right.plot(x, 100 * y, style, label=f"{name}, {_WEIGHTS[weight]}")
    right.set(xlabel=label, ylabel="% smaller", ylim=(0, 100))
    right.legend(fontsize="small")
    with atomic(path) as temporary, temporary.open("wb") as out:
        FigureCanvasAgg(figure).print_png(out, metadata={"Software": None})


def _label(table: Table, of: str) -> str:
    unit = table.units.get(of)
    return f"{of.replace('_', ' ')} in {unit}" if unit else of.replace("_", " ")


def _curves(table: Table, of: str, by: str, weight: str) -> dict[str, tuple[Float, Float]]:
    """Return cumulative curves of at most `_POINTS` points."""
    from apiece.measurements import cumulative

    out = {}
    for name, (sizes, share) in cumulative(table, of, by, weight).items():
        some = np.unique(np.linspace(0, max(len(sizes) - 1, 0), _POINTS).round().astype(int))[: len(sizes)]
        out[name] = sizes[some], share[some]
    return out


def _histogram(table: Table, of: str, by: str) -> tuple[Float, dict[str, Float]]:
    """Return the edges of bins that all groups share, and the share of each group's objects in each, in %."""
    from apiece.measurements import cumulative

    groups = {name: sizes for name, (sizes, _) in cumulative(table, of, by).items()}
    every = np.concatenate([*groups.values(), np.zeros(0)])
    edges = (
        np.histogram_bin_edges(every, min(_BINS, max(5, round(len(every) ** 0.5)))) if len(every) else np.arange(2.0)
    )
    return edges, {name: 100 * np.histogram(v, edges)[0] / max(len(v), 1) for name, v in groups.items()}


def quantiles(found: Table, by: str, weight: str) -> list[tuple[str | float, ...]]:
    """Return group, count, D10, D50, D90 and span of one weight, a row for each group."""
    columns = [found[by], found["count"], *(found[f"{weight}_{q}"] for q in ("d10", "d50", "d90", "span"))]
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _facts(table: Table, of: str, by: str, edges: Float) -> str:
    """Return what ISO 9276-1 and ISO 13322-1 ask a report to state, as far as the table knows it."""
    sizes = table[of]
    cut = int(table["cut_by_border"].sum()) if "cut_by_border" in table.columns else None
    facts: Mapping[str, object] = {
        "Size": f"{_label(table, of)}, measured on the projection of each object",
        "Types of quantity": "number (r = 0), area (r = 2), volume (r = 3, taken as the third power of the size)",
        "Objects counted": f"{int((np.isfinite(sizes) & (sizes > 0)).sum()):,}",
        "Images": f"{len(np.unique(table['image'])):,}",
        "Groups": f"by {by}",
        "Least and greatest size": f"{np.nanmin(sizes):.4g} and {np.nanmax(sizes):.4g}" if len(sizes) else "none",
        "Cumulative share": "at the middle of each object's weight; linear between objects",
        "Classes of the histogram": f"{len(edges) - 1} of width {edges[1] - edges[0]:.4g}, from {edges[0]:.4g}",
        "Objects that the image border cuts": "unknown"
        if cut is None
        else f"{cut:,}, counted with the part that is seen",
        "Least number of pixels of an object": f"{int(table['pixels'].min()):,}" if len(sizes) else "none",
    }
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(fact))}</td></tr>" for name, fact in facts.items())
    return f"<table>{rows}</table>"
