"""`write_page`: every kind of finding with pictures, in one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from importlib import resources
from itertools import groupby
from pathlib import Path

from apiece._atomic import atomic
from apiece.check._engine.finding_pictures import FIRST, OTHERS, PREDICTED, SECOND, thumbnails
from apiece.check._engine.open_labels import OpenLabels
from apiece.check._engine.report import Report
from apiece.check.contract import LEVELS, Finding, Kind
from apiece.draw.page import html_page

PER_KIND = 200
"""Default of the most findings of a kind on the page."""


def write_page(
    path: Path,
    report: Report,
    sources: Mapping[str, OpenLabels],
    *,
    title: str = "Label check",
    limit: int | None = PER_KIND,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Write a self-contained HTML page of the findings with pictures, whole or not at all.

    Parameters
    ----------
    path : the file to write.
    report : what `check` found.
    sources : by split, the labels that were checked, from `open_labels`; the page reads their images again.
    title : title of the page.
    limit : most findings of each kind on the page, the surest; None for all. The page says how many are left out.
    step : called after each finding that has a picture.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.check import check, open_labels, write_page
    >>> sources = {"train": open_labels("data/train.json")}
    >>> write_page(Path("check.html"), check(sources), sources)
    """
    groups = [(report.kinds[name], [f for f in report.findings if f.kind == name]) for name in report.counts]
    shown = [f for _, found in groups for f in found[:limit]]
    pictures = thumbnails(shown, sources, report, step)
    sections = [("kinds", "What was found", _summary(report, groups))]
    done = 0
    for kind, found in groups:
        count = len(found[:limit])
        sections.append(
            (f"k-{kind.name}", _heading(kind, len(found)), _group(kind, found, report, pictures[done:][:count]))
        )
        done += count
    notes = _notes(report)
    if notes:
        sections.append(("notes", "Notes", notes))
    images, instances = sum(report.images.values()), sum(report.instances.values())
    headline = [(f"{number:,}", f"{level}s") for level, number in report.levels.items()]
    subtitle = f"{images:,} images, {instances:,} instances; splits: {', '.join(report.images)}"
    style = resources.files("apiece.check._engine").joinpath("check.css").read_text(encoding="utf-8") + _rules(groups)
    page = html_page(title, subtitle, headline, sections, style)
    with atomic(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _summary(report: Report, groups: list[tuple[Kind, list[Finding]]]) -> str:
    if not groups:
        return f"<p>Nothing, of {len(report.kinds) - len(report.unasked)} kinds of mistakes.</p>"
    levels = "".join(
        f'<label><input type="checkbox" id="show-{level}" checked>{_badge(level)}</label>'
        for level in LEVELS
        if report.levels[level]
    )
    rows = "".join(
        f'<tr><td><input type="checkbox" id="show-k-{kind.name}" checked aria-label="show {kind.name}"></td>'
        f'<th scope="row"><a href="#k-{kind.name}">{kind.name}</a></th><td>{_badge(kind.level)}</td>'
        f'<td class="n">{len(found):,}</td><td class="words">{escape(kind.summary)}</td></tr>'
        for kind, found in groups
    )
    head = '<th scope="col">show</th><th scope="col">kind</th><th scope="col">level</th>'
    head += '<th scope="col" class="n">found</th><th scope="col">what it is</th>'
    return (
        f'<fieldset class="levels"><legend>Show</legend>{levels}</fieldset>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{_legend(report)}'
    )


def _legend(report: Report) -> str:
    keys = [("in question", FIRST), ("together with it", SECOND), ("other labels", OTHERS)]
    if report.predicted:
        keys.insert(2, ("predicted", PREDICTED))
    marks = "".join(f'<span class="key"><i style="background:rgb{rgb}"></i>{name}</span>' for name, rgb in keys)
    return f'<p class="legend">Outlines: {marks}</p>'


def _badge(level: str) -> str:
    return f'<span class="badge is-{level}">{level}</span>'


def _heading(kind: Kind, count: int) -> str:
    return f"{kind.name.replace('_', ' ')} <small>{count:,}</small>"


def _group(kind: Kind, found: list[Finding], report: Report, pictures: list[list[str]]) -> str:
    left = len(found) - len(pictures)
    more = f'<p class="note">These are the {len(pictures):,} surest; {left:,} more are left out.</p>' if left else ""
    cards = "".join(_card(f, report, p) for f, p in zip(found, pictures, strict=False))
    return (
        f"<p>{_badge(kind.level)} {escape(kind.summary)}</p>"
        f'<p><b>What to do:</b> {escape(kind.fix)}</p>{more}<div class="findings">{cards}</div>'
    )


def _card(finding: Finding, report: Report, pictures: list[str]) -> str:
    places = [where for place in (finding.place, *finding.others) if (where := report.where(place))]
    images = "".join(
        f'<img src="{picture}" loading="lazy" alt="{escape(where)}">'
        for picture, where in zip(pictures, places, strict=False)
    )
    shown = f'<div class="pictures">{images}</div>' if images else ""
    repair = '<span class="safe">--fix repairs it</span>' if finding.repair is not None else ""
    return (
        f'<article class="finding">{shown}<p class="what">{escape(finding.message)}</p>'
        f'<p class="note">{"<br>".join(map(escape, places))}</p>'
        f'<p class="note">sure: {finding.sure:.2f} {repair}</p></article>'
    )


def _notes(report: Report) -> str:
    by_need = sorted(report.unasked.items(), key=lambda item: item[1])
    lines = [
        f"<p>The check could not look for these kinds without {escape(need)}: {', '.join(n for n, _ in members)}.</p>"
        for need, members in groupby(by_need, key=lambda item: item[1])
    ]
    return "".join(lines)


def _rules(groups: list[tuple[Kind, list[Finding]]]) -> str:
    """Return CSS by which a box that is not ticked hides its findings, without a script."""
    rules = [f"body:has(#show-k-{k.name}:not(:checked)) #k-{k.name}{{display:none}}" for k, _ in groups]
    for level in LEVELS:
        members = ",".join(f"#k-{kind.name}" for kind, _ in groups if kind.level == level)
        if members:
            rules.append(f"body:has(#show-{level}:not(:checked)) :is({members}){{display:none}}")
    return "\n".join(rules)
