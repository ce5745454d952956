"""`write_page`: every kind of finding with pictures, in one HTML file that loads nothing and runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html import escape
from importlib import resources
from itertools import groupby, zip_longest
from pathlib import Path

from apiece._atomic import write_text
from apiece.check._engine.finding_pictures import FIRST, OTHERS, PREDICTED, SECOND, thumbnails
from apiece.check._engine.open_labels import OpenLabels
from apiece.check._engine.report import Report
from apiece.check.contract import LEVELS, Finding, Kind
from apiece.draw.page import html_page

PER_KIND = 200
"""Default of the most findings of a kind on the page."""
MOST = 20_000_000
"""Bytes that a page stays below, unless a number of pictures is asked for."""
_PLACES = 8  # further places of a finding that are named
_DRAWN = 1500  # findings of which pictures are drawn at most, before the page's size decides

_Groups = list[tuple[Kind, list[Finding]]]


def write_page(
    path: Path,
    report: Report,
    sources: Mapping[str, OpenLabels],
    *,
    title: str = "Label check",
    limit: int | None = PER_KIND,
    pictures: int | None = None,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Write a self-contained HTML page of the findings with pictures, whole or not at all.

    The page says how many findings it leaves out, and how many have no picture.

    Parameters
    ----------
    path : the file to write.
    report : what `check` found.
    sources : by split, the labels that were checked, from `open_labels`; the page reads their images again.
    title : title of the page.
    limit : most findings of each kind on the page, the surest; None for all that keep the page below `MOST` bytes.
    pictures : findings of each kind with pictures, the surest; by default as many as keep the page below `MOST` bytes.
    step : called after each finding that has a picture.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.check import check, open_labels, write_page
    >>> sources = {"train": open_labels("data/train.json")}
    >>> write_page(Path("check.html"), check(sources), sources)
    """
    groups = [(report.kinds[name], [f for f in report.findings if f.kind == name]) for name in report.counts]
    most = max((len(found) for _, found in groups), default=0)
    limit = most if limit is None else min(limit, most)
    while len(page := _page(report, title, groups, limit, {})) > MOST // 2:
        limit //= 2
    wanted = _surest(groups, limit if pictures is None else pictures)[: _DRAWN if pictures is None else None]
    drawn = zip(wanted, thumbnails(wanted, sources, report, step), strict=True)
    kept, room = {}, MOST - len(page.encode())
    for finding, own in drawn:
        room -= sum(len(_image(picture, report.where(finding.place))) for picture in own)
        if room < 0 and pictures is None:
            break
        kept[finding] = own
    write_text(path, _page(report, title, groups, limit, kept))


def _surest(groups: _Groups, most: int) -> list[Finding]:
    """Return the surest findings of each kind that concern an image: the first of every kind, then the second ones."""
    rows = zip_longest(*([f for f in found if f.place.index is not None][:most] for _, found in groups))
    return [finding for row in rows for finding in row if finding is not None]


def _page(report: Report, title: str, groups: _Groups, limit: int, pictures: Mapping[Finding, list[str]]) -> str:
    sections = [("kinds", "What was found", _summary(report, groups))]
    for kind, found in groups:
        name = f"{kind.name.replace('_', ' ')} <small>{len(found):,}</small>"
        sections.append((f"k-{kind.name}", name, _group(kind, found, limit, report, pictures)))
    if report.unasked:
        sections.append(("notes", "Notes", _notes(report)))
    images, instances = sum(report.images.values()), sum(report.instances.values())
    headline = [(f"{number:,}", f"{level}s") for level, number in report.levels.items()]
    subtitle = f"{images:,} images, {instances:,} instances; splits: {', '.join(report.images)}"
    style = resources.files("apiece.check._engine").joinpath("check.css").read_text(encoding="utf-8") + _rules(groups)
    return html_page(title, subtitle, headline, sections, style)


def _summary(report: Report, groups: _Groups) -> str:
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
        f'<td class="n">{len(found):,}</td><td class="words">{_words(kind.summary)}</td></tr>'
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


def _words(text: str) -> str:
    """Return text as HTML, with what stands in backticks as code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _badge(level: str) -> str:
    return f'<span class="badge is-{level}">{level}</span>'


def _group(kind: Kind, found: list[Finding], limit: int, report: Report, pictures: Mapping[Finding, list[str]]) -> str:
    listed, left = found[:limit], len(found[limit:])
    notes = [f"These are the {len(listed):,} surest; {left:,} more are left out."] if left else []
    bare = sum(f.place.index is not None and f not in pictures for f in listed)
    if bare:
        notes.append(f"{bare:,} of these have no picture here; <code>--pictures {len(listed)}</code> draws all.")
    cards = {True: "", False: ""}
    for finding in listed:
        cards[bool(pictures.get(finding))] += _card(finding, report, pictures.get(finding, []))
    return (
        f"<p>{_badge(kind.level)} {_words(kind.summary)}</p><p><b>What to do:</b> {_words(kind.fix)}</p>"
        f"{''.join(f'<p class=note>{note}</p>' for note in notes)}"
        f'<div class="findings">{cards[True]}</div><div class="listed">{cards[False]}</div>'
    )


def _card(finding: Finding, report: Report, pictures: list[str]) -> str:
    where = [words for place in (finding.place, *finding.others[:_PLACES]) if (words := report.where(place))]
    images = "".join(_image(picture, words) for picture, words in zip(pictures, where, strict=False))
    if len(finding.others) > _PLACES:
        where.append(f"and {len(finding.others) - _PLACES:,} more")
    shown = f'<div class="pictures">{images}</div>' if images else ""
    repair = '<span class="safe">--fix repairs it</span>' if finding.repair is not None else ""
    return (
        f'<article class="finding">{shown}<p class="what">{escape(finding.message)}</p>'
        f'<p class="note">{"<br>".join(map(escape, where))}</p>'
        f'<p class="note">sure: {finding.sure:.2f} {repair}</p></article>'
    )


def _image(picture: str, where: str) -> str:
    return f'<img src="{picture}" loading="lazy" alt="{escape(where)}">'


def _notes(report: Report) -> str:
    by_need = sorted(report.unasked.items(), key=lambda item: item[1])
    lines = [
        f"<p>The check could not look for these kinds without {escape(need)}: {', '.join(n for n, _ in members)}.</p>"
        for need, members in groupby(by_need, key=lambda item: item[1])
    ]
    return "".join(lines)


def _rules(groups: _Groups) -> str:
    """Return CSS by which a box that is not ticked hides its findings, without a script."""
    rules = [f"body:has(#show-k-{k.name}:not(:checked)) #k-{k.name}{{display:none}}" for k, _ in groups]
    for level in LEVELS:
        members = ",".join(f"#k-{kind.name}" for kind, _ in groups if kind.level == level)
        if members:
            rules.append(f"body:has(#show-{level}:not(:checked)) :is({members}){{display:none}}")
    return "\n".join(rules)
