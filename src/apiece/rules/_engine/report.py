"""`Inspection`: the verdicts of a run as JSON, as pictures and as a page."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from apiece._atomic import write_text
from apiece._strict_json import dump
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.draw.page import html_page, picture
from apiece.draw.tables import PageTable, table_html
from apiece.errors import DataError
from apiece.images import write_image
from apiece.rules._engine.file import RuleSet
from apiece.rules._engine.pictures import COLOURS, draw_verdicts
from apiece.rules._engine.trust import Share, Tolerance, Trust
from apiece.rules._engine.verdicts import Finding, Verdict, Verdicts
from apiece.rules.contract import Outcome, Scene

__all__ = ["Inspection", "tolerance_text", "verdicts_as_dict"]

_ON_PAGE = 100  # pictures on the page; the folder has all
_SIDE = 640  # longer side of a picture on the page
_NO_SCENE = Scene(Instances.empty((1, 1)))


@dataclass(eq=False)
class Inspection:
    """All verdicts of a run. Pictures that do not pass are drawn as they come, and none is kept.

    Attributes
    ----------
    rules : the rules.
    folder : where pictures and page go; None for no report.
    pictures : verdicts on each picture, in order, without what they were judged on.
    rows : the same as JSON.
    batch : verdicts on the whole.
    refused : name and reason of each picture that could not be judged.
    trust, better : how right the verdicts are, and tolerances that would have been better, where the truth is known.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import Inspection, judge, read_rules
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - presence: bolt\\n")
    >>> run = Inspection(read_rules("rules.yaml"))
    >>> run.add(judge(run.rules, apiece.Instances.empty((8, 8), ("bolt",)), name="a.png"))
    >>> run.to_dict()["fail"]
    1
    """

    rules: RuleSet
    folder: Path | None = None
    pictures: list[Verdicts] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    batch: Sequence[Verdict] = ()
    refused: list[tuple[str, str]] = field(default_factory=list)
    trust: Sequence[Trust] = ()
    better: Sequence[Tolerance] = ()
    _shown: list[tuple[Outcome, str]] = field(default_factory=list)

    def add(self, judged: Verdicts, image: Callable[[], Image] | None = None) -> None:
        """Add the verdicts on a picture; ``image`` reads its pixels, to be drawn on."""
        self.rows.append(verdicts_as_dict(judged))
        if self.folder is not None and judged.outcome != "pass":
            drawn = draw_verdicts(self.rules, judged, None if image is None else image())
            path = _below(self.folder / "pictures", judged.image)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, drawn)
            if len(self._shown) < _ON_PAGE:
                self._shown.append((judged.outcome, _figure(judged, drawn)))
        self.pictures.append(replace(judged, scene=_NO_SCENE))

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many pictures fail, are unsure and pass."""
        found = Counter(one.outcome for one in self.pictures)
        return {outcome: found[outcome] for outcome in ("fail", "unsure", "pass")}

    def fails(self, level: str) -> bool:
        """Return whether any picture or batch fails, or with ``"unsure"`` is unsure; one that is refused counts."""
        bad = {"fail"} if level == "fail" else {"fail", "unsure"}
        outcomes = {one.outcome for one in self.pictures} | {one.outcome for one in self.batch}
        return bool(self.refused or outcomes & bad)

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON knows it: counts, every verdict, batch and trust."""
        found: dict[str, Any] = {
            "images": len(self.pictures),
            **dict(self.counts.items()),
            "pictures": self.rows,
            "batch": [_verdict_row(one, None) for one in self.batch],
            "refused": [{"image": name, "reason": why} for name, why in self.refused],
        }
        if self.trust:
            found["trust"] = [_trust_row(one) for one in self.trust]
            found["better_tolerances"] = [asdict(one) for one in self.better]
        return found

    def write(self, title: str, facts: str) -> None:
        """Write ``verdicts.json`` and ``report.html`` into the folder."""
        assert self.folder is not None
        write_text(self.folder / "verdicts.json", dump(self.to_dict()))
        write_text(self.folder / "report.html", self._page(title, facts))

    def _page(self, title: str, facts: str) -> str:
        counts = self.counts
        sections = [("rules", "Rules", table_html(self._rules_table()))]
        if self.batch:
            rows = [(one.rule, one.outcome, one.text) for one in self.batch]
            sections.append(("batch", "Batch", table_html(PageTable("", ("rule", "verdict", "why"), rows))))
        if self.trust:
            sections.append(("trust", "How right the verdicts are", self._trust_html()))
        if self.refused:
            table = PageTable("", ("picture", "why"), self.refused)
            sections.append(("refused", "Not judged", table_html(table)))
        for outcome, heading in (("fail", "Failed"), ("unsure", "For a person to decide")):
            shown = [html for one, html in self._shown if one == outcome]
            if shown:
                left = counts[outcome] - len(shown)  # type: ignore[index]
                more = f'<p class="note">and {left:,} more, in the folder pictures</p>' if left else ""
                sections.append((outcome, heading, "".join(shown) + more))
        headline: list[tuple[str, str]] = [(f"{counts[outcome]:,}", outcome) for outcome in counts]
        if self.refused:
            headline.append((f"{len(self.refused):,}", "not judged"))
        style = "".join(f".o-{name}{{color:rgb{rgb};font-weight:bold}}" for name, rgb in COLOURS.items())
        return html_page(title, facts, headline, sections, style)

    def _rules_table(self) -> PageTable:
        rows = []
        for k, name in enumerate(rule.name for rule in self.rules.rules if rule.kind.read is not None):
            told = Counter(one.verdicts[k].outcome for one in self.pictures)
            rows.append((name, told["fail"], told["unsure"], told["pass"]))
        return PageTable("", ("rule", "fail", "unsure", "pass"), rows)

    def _trust_html(self) -> str:
        heads = ("rule", "right", "false accepts", "false rejects", "unsure")
        shares = [(t.rule, *map(_share, (t.right, t.false_accepts, t.false_rejects, t.unsure))) for t in self.trust]
        note = "95% intervals by Clopper and Pearson; a picture is the unit."
        html = table_html(PageTable("", heads, shares, note))
        return html + "".join(f"<p>{escape(tolerance_text(one))}</p>" for one in self.better)


def tolerance_text(one: Tolerance) -> str:
    """Return a better tolerance in one sentence."""
    unit = f" {one.unit}" if one.unit else ""
    limits = [
        f"{name} {value:.4g}{unit}" for name, value in (("min", one.least), ("max", one.most)) if math.isfinite(value)
    ]
    return (
        f"{one.rule}: with {' and '.join(limits)}, {one.wrong} in place of {one.before} pictures would lie on the "
        "wrong side"
    )


def _share(one: Share) -> str:
    return f"{one.count} of {one.of}, {one.value:.1%} ({one.low:.1%} to {one.high:.1%})" if one.of else "-"


def _trust_row(one: Trust) -> dict[str, Any]:
    shares = {name: getattr(one, name) for name in ("right", "false_accepts", "false_rejects", "unsure")}
    return {"rule": one.rule} | {
        name: {"count": s.count, "of": s.of, "value": s.value, "low": s.low, "high": s.high}
        for name, s in shares.items()
    }


def verdicts_as_dict(judged: Verdicts) -> dict[str, Any]:
    """Return the verdicts on one picture as JSON knows them, with the number, the limit and the objects of each.

    Examples
    --------
    >>> from pathlib import Path
    >>> from apiece.rules import judge, read_rules, verdicts_as_dict
    >>> _ = Path("rules.yaml").write_text("rules:\\n  - count: bolt\\n    equals: 2\\n")
    >>> found = apiece.Instances.empty((8, 8), ("bolt",))
    >>> verdicts_as_dict(judge(read_rules("rules.yaml"), found))["verdict"]
    'fail'
    """
    return {
        "image": judged.image,
        "verdict": judged.outcome,
        "reasons": judged.reasons,
        "rules": [_verdict_row(one, judged.scene.instances) for one in judged.verdicts],
    }


def _verdict_row(one: Verdict, found: Instances | None) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "kind": one.kind,
        "verdict": one.outcome,
        "checked": one.checked,
        "findings": [_finding_row(finding, found) for finding in one.findings],
    }


def _finding_row(one: Finding, found: Instances | None) -> dict[str, Any]:
    numbers = {"number": one.number, "low": one.low, "high": one.high, "min": one.least, "max": one.most}
    row: dict[str, Any] = {"verdict": one.outcome, "what": one.what, "unit": one.unit, **numbers, "text": one.text}
    if found is not None:
        row["objects"] = [_object_row(found, k) for k in one.objects]
    if one.spot is not None:
        row["spot"] = list(one.spot)
    return row


def _object_row(found: Instances, k: int) -> dict[str, Any]:
    return {
        "index": k,
        "id": None if found.ids is None else int(found.ids[k]),
        "class": found.classes[found.labels[k]],
        "score": None if found.scores is None else float(found.scores[k]),
        "box": found.masks.runs.boxes[k].tolist(),
    }


def _figure(judged: Verdicts, drawn: np.ndarray[Any, np.dtype[np.uint8]]) -> str:
    factor = min(_SIDE / max(drawn.shape[:2]), 1.0)
    size = max(round(drawn.shape[1] * factor), 1), max(round(drawn.shape[0] * factor), 1)
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA) if factor < 1 else drawn
    lines = "".join(f"<br>{escape(reason)}" for reason in judged.reasons[:8])
    more = f"<br>and {len(judged.reasons) - 8} more rules" if len(judged.reasons) > 8 else ""
    caption = f'<span class="o-{judged.outcome}">{judged.outcome}</span> <b>{escape(judged.image)}</b>{lines}{more}'
    return picture(np.ascontiguousarray(small), f"{judged.image}: {judged.outcome}", caption)


def _below(folder: Path, name: str) -> Path:
    """Return where the drawn picture goes; a name that leads out of the folder is refused."""
    path = folder / (name if name.lower().endswith(".png") else f"{name}.png")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"the image name {name!r} leads out of the folder")
    return path
