"""The routes by which a person decides: labels beside predictions, measurements, and verdicts of rules."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Query, Request

from apiece._arrays import Int
from apiece.core.image import Image
from apiece.core.instances import Instances
from apiece.errors import ConfigError, ImageError
from apiece.measurements import measure
from apiece.metrics import MARKS
from apiece.rules import Verdict, judge
from apiece.serve.studio.asked import space_of
from apiece.serve.studio.compared import compared
from apiece.serve.studio.schema import Column, Comparison, Judged, JudgedFinding, JudgedRule, Measured
from apiece.serve.studio.workspace import Workspace

__all__ = ["DECIDE"]

DECIDE = APIRouter(prefix="/api/images/{number}")
Of = Literal["labels", "predictions"]
_KEY = "key in the studio"
Score = Annotated[float, Query(ge=0, le=1)]


@DECIDE.get("/compared")
def compare(request: Request, number: int, score: Score) -> Comparison:
    """Return what each label and each prediction is beside the other."""
    space = space_of(request)
    told = compared(space.sheet(number)[0].instances, space.predicted(number), score)
    return Comparison(meaning=MARKS, labels=told.labels, predictions=told.predictions, right=told.right.tolist())


@DECIDE.get("/measured")
def measured(request: Request, number: int, of: Of = "labels", score: Score = 0.0) -> Measured:
    """Return a row of measurements for each object; without intensities where the image cannot be read."""
    space = space_of(request)
    found, keys = _objects(space, number, of, score)
    table = measure(found, _image(space, number))
    columns = []
    for name, values in table.columns.items():
        if values.dtype.kind in "iuf" and name not in ("id", "score"):
            numbers = [v if np.isfinite(v) else None for v in values.astype(np.float64).tolist()]
            columns.append(Column(name=name, unit=table.units.get(name, ""), values=numbers))
    return Measured(keys=keys.tolist(), columns=columns)


@DECIDE.get("/judged")
def judged(request: Request, number: int, of: Of = "labels", score: Score = 0.0) -> Judged:
    """Return what the rules say of the objects."""
    space = space_of(request)
    if space.rules is None:
        raise ConfigError("no rules are open; name a file of rules when the studio is started")
    found, keys = _objects(space, number, of, score)
    # findings name positions among the objects that rules see: those whose score is not far too low
    found = found.replace(attributes={**found.attributes, _KEY: keys})
    told = judge(space.rules, found, partial(space.image, number), name=space.item(number).ref.name)
    seen = told.scene.instances.attributes[_KEY]
    return Judged(outcome=told.outcome, rules=[_rule(verdict, seen) for verdict in told.verdicts])


def _objects(space: Workspace, number: int, of: Of, score: float) -> tuple[Instances, Int]:
    """Return the labels as they stand, or the predictions with at least a score, and the keys of each."""
    if space.is_large(number):
        name = space.item(number).ref.name
        raise ConfigError(
            f"{name} is too large to be measured or judged while you wait: run `apiece measure` on the labels"
        )
    if of == "labels":
        sheet = space.sheet(number)[0]
        return sheet.instances, sheet.keys
    found = space.predicted(number)
    kept = np.arange(len(found)) if found.scores is None else np.flatnonzero(found.scores >= score)
    return found[kept], kept


def _image(space: Workspace, number: int) -> Image | None:
    try:
        image = space.image(number)
    except ImageError:
        return None
    return image if image.size == space.sheet(number)[0].instances.size else None


def _rule(verdict: Verdict, keys: Int) -> JudgedRule:
    findings = [
        JudgedFinding(outcome=one.outcome, text=one.text, keys=keys[list(one.objects)].tolist(), spot=one.spot)
        for one in verdict.findings
    ]
    return JudgedRule(
        rule=verdict.rule, kind=verdict.kind, outcome=verdict.outcome, checked=verdict.checked, findings=findings
    )
