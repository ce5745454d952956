"""``monitor.html``: has a model in use begun to fail? The verdict, the tests, and images to look at, on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from apiece._arrays import Float
from apiece._atomic import write_text
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw import overlay
from apiece.draw.charts import Chart, Line, lines_svg
from apiece.draw.page import html_page, picture, scaled
from apiece.draw.tables import PageTable, table_html
from apiece.monitor._drift import Drift, Unlike
from apiece.monitor._profile import Profile
from apiece.monitor._signals import SIGNALS

Picture = tuple[Unlike, Image, Instances]

_CHARTS = 6
_SIDE = 300
_STYLE = """
.odd { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 1rem; }
.odd figure { margin: 0; }
.odd img { width: 100%; display: block; border-radius: 6px; }
.odd figcaption { overflow-wrap: anywhere; }
"""
_NOTE = (
    "Before and now: medians of signals, shares of anything else. p: the chance of such a difference without drift; "
    "corrected: for the number of tests; below {alpha:g} is an alarm."
)


def write_page(
    path: Path | str, drift: Drift, baseline: Profile, now: Profile, pictures: Sequence[Picture], title: str
) -> None:
    """Write the page, whole or not at all.

    Parameters
    ----------
    pictures : images to look at, with what was found on them, in the order of ``drift.unlike``.
    """
    verdict = "alarm" if drift.alarm else "no alarm"
    headline = [(verdict, "is it still what it was?")]
    headline += [(f"{n:,}", what) for n, what in zip(drift.images, ("images before", "images now"), strict=True)]
    tests = PageTable("", *table_of_tests(drift), note=_NOTE.format(alpha=drift.alpha))
    sections = [("tests", "Tests", "".join(f"<p>{escape(n)}.</p>" for n in drift.notes) + table_html(tests))]
    sections.append(("signals", "Signals that differ most", _charts(drift, baseline, now)))
    if pictures:
        sections.append(("odd", "Images to look at", _pictures(pictures)))
    subtitle = f"whatever the tests have to do with each other, a false alarm has a chance of {drift.alpha:.0%} at most"
    write_text(Path(path), html_page(title, subtitle, headline, sections, _STYLE))


def table_of_tests(drift: Drift) -> tuple[list[str], list[list[str]]]:
    """Return (columns, rows): every test, the likeliest change first."""
    rows = [
        [t.name, _number(t.before), _number(t.now), t.method, _p(t.p), _p(t.adjusted), "alarm" if t.alarm else ""]
        for t in drift.tests
    ]
    return ["", "before", "now", "test", "p", "corrected", ""], rows


def why(unlike: Unlike) -> str:
    """Return what sets an image apart, in words."""
    parts = [f"{name} {'+' if by > 0 else '−'}{abs(by):.1f}" for name, by in unlike.signals.items()]
    return ", ".join(parts) or "nothing by itself"


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _p(value: float) -> str:
    return "< 0.0001" if value < 1e-4 else f"{value:.4f}"


def _charts(drift: Drift, baseline: Profile, now: Profile) -> str:
    """Share of the images up to each value, before and now, of the signals that differ most."""
    known = {signal.name: (k, signal.summary) for k, signal in enumerate(SIGNALS)}
    charts = []
    for name in [t.name for t in drift.tests if t.name in known][:_CHARTS]:
        column, summary = known[name]
        lines = [_steps(side, p.values[:, column]) for side, p in (("before", baseline), ("now", now))]
        chart = Chart(name, summary, "share of the images", lines, y_range=(0.0, 1.0))
        charts.append(lines_svg(chart))
    return f'<div class="charts">{"".join(charts)}</div>'


def _steps(name: str, values: Float) -> Line:
    there = np.sort(values[~np.isnan(values)])
    share = np.arange(1, len(there) + 1) / max(len(there), 1)
    return Line(name, there.tolist(), share.tolist())


def _pictures(pictures: Sequence[Picture]) -> str:
    cards = []
    for unlike, image, found in pictures:
        shown = scaled(image, found, _SIDE / max(*image.size, 1))
        words = f"{len(found):,} instances; as odd as {unlike.rank:.1%} of the baseline; {why(unlike)}"
        caption = f"<b>{escape(unlike.name)}</b><br>{escape(words)}"
        drawn = overlay(*shown, fill=False, names=False)
        cards.append(picture(drawn, f"{unlike.name} with its instances outlined", caption))
    note = (
        "The least like the baseline first. Behind each signal: how far it lies from the most similar image there, in "
        "standard deviations."
    )
    return f'<p>{note}</p><div class="odd">{"".join(cards)}</div>'
