"""The routes of the review: the queue of findings, what a person says of them, and the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from fastapi import APIRouter, Request, Response

from apiece.draw import overlay
from apiece.errors import UnknownNameError
from apiece.serve.studio.asked import by_of, space_of
from apiece.serve.studio.review import Found, Review, repairable
from apiece.serve.studio.schema import Decide, FindingEntry, Happened, ReportAnswer, ReviewAnswer, Said
from apiece.serve.studio.workspace import Workspace

__all__ = ["REVIEW"]

REVIEW = APIRouter(prefix="/api")
_PICTURE = 192  # pixels of its longer side
_LINES = 2000  # of the report, in the page; the CSV file has all


def _review(request: Request) -> Review:
    review: Review = request.app.state.review
    return review


@REVIEW.get("/review")
def queue(request: Request) -> ReviewAnswer:
    """Return the queue as far as it is; the first request begins the check."""
    review = _review(request)
    if review.state == "none":
        review.begin()
    return _answer(review, space_of(request))


@REVIEW.post("/review")
def again(request: Request) -> ReviewAnswer:
    """Check again, the labels as they stand now."""
    _review(request).begin()
    return _answer(_review(request), space_of(request))


@REVIEW.get("/review/{id}/picture")
def picture(request: Request, id: str) -> Response:
    """Return a small picture of where a finding is, with the outlines of its objects."""
    one, space = _review(request).one(id), space_of(request)
    if one.number is None:
        raise UnknownNameError("picture of finding", id, ())
    sheet = space.sheet(one.number)[0]
    rows = np.flatnonzero(np.isin(sheet.keys, one.keys))
    box = _around(one.finding.place.box, sheet.instances.size)
    shown = one.predicted if one.predicted is not None and not len(rows) else sheet.instances[rows]
    part = request.app.state.pictures.part(one.number, box)
    x0, y0, x1, y1 = box
    cut = shown.replace(masks=shown.masks.crop(x0, y0, x1, y1), full=None)
    scale = _PICTURE / max(x1 - x0, y1 - y0)
    drawn = overlay(part, cut, fill=False, names=False)
    size = max(round((x1 - x0) * scale), 1), max(round((y1 - y0) * scale), 1)
    small = cv2.resize(drawn, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    data = cv2.imencode(".jpg", small[:, :, ::-1])[1].tobytes()
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "no-cache"})


def _around(box: tuple[float, ...] | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the box with as much again around it, within the image."""
    height, width = size
    if box is None:
        return 0, 0, width, height
    margin = max(box[2] - box[0], box[3] - box[1], 16) / 2
    x0, y0 = max(int(box[0] - margin), 0), max(int(box[1] - margin), 0)
    x1, y1 = min(int(np.ceil(box[2] + margin)), width), min(int(np.ceil(box[3] + margin)), height)
    return min(x0, width - 1), min(y0, height - 1), max(x1, x0 + 1), max(y1, y0 + 1)


@REVIEW.post("/review/{id}")
def decide(request: Request, id: str, asked: Decide) -> Said:
    """Keep what a person says of a finding; repair it, if that is what she says."""
    review = _review(request)
    if asked.what == "repair":
        review.repair(id, by_of(request))
    else:
        review.decide(id, asked.what, asked.reason, by_of(request))
    return _said(review.said[id])


@REVIEW.get("/report")
def report(request: Request) -> ReportAnswer:
    """Return what was changed, and who changed it."""
    lines = list(_lines(space_of(request)))
    return ReportAnswer(lines=lines[::-1][:_LINES], total=len(lines))


@REVIEW.get("/report.csv")
def report_file(request: Request) -> Response:
    """Return the whole report as a CSV file, the oldest line first."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [name for name in Happened.model_fields if name != "image"], lineterminator="\n")
    writer.writeheader()
    for line in _lines(space_of(request)):
        row = line.model_dump(exclude={"image"})
        # a spreadsheet would take these for formulas
        writer.writerow(
            {k: f"'{v}" if isinstance(v, str) and v[:1] in ("=", "+", "-", "@") else v for k, v in row.items()}
        )
    headers = {"Content-Disposition": 'attachment; filename="studio-report.csv"'}
    return Response(out.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def _answer(review: Review, space: Workspace) -> ReviewAnswer:
    said = review.said
    findings = [_entry(review, space, one, said.get(one.id)) for one in review.found.values()]
    return ReviewAnswer(state=review.state, done=review.done, total=review.total, told=review.told, findings=findings)


def _entry(review: Review, space: Workspace, one: Found, said: Mapping[str, Any] | None) -> FindingEntry:
    finding, kind = one.finding, review.kinds[one.finding.kind]
    return FindingEntry(
        id=one.id,
        queue=one.queue,
        kind=kind.name,
        level=kind.level,
        message=finding.message,
        sure=round(finding.sure, 3),
        fix=kind.fix,
        image=one.number,
        name=finding.place.image or finding.place.split,
        keys=list(one.keys),
        box=None if finding.place.box is None else list(finding.place.box),
        others=[other.image for other in finding.others if other.image],
        repair=repairable(one),
        said=None if said is None or said["what"] == "reopen" else _said(said),
    )


def _said(entry: Mapping[str, Any]) -> Said:
    return Said(what=entry["what"], reason=entry.get("reason", ""), by=entry.get("by", ""), at=entry["at"])


def _lines(space: Workspace) -> Iterator[Happened]:
    names: dict[str | None, tuple[int | None, str]] = {
        item.key: (number, item.ref.name) for number, item in enumerate(space.items)
    }
    for entry in space.journal.entries:
        image = entry.get("image", entry.get("about"))
        number, name = names.get(image, (None, image or ""))
        what = entry["kind"]
        if what == "finding":
            what = f"{entry['what']}: {entry['finding']}: {entry['message']}"
        elif what == "class":
            what = f"new class {entry['name']}"
        yield Happened(
            at=entry.get("at", ""),
            by=entry.get("by", ""),
            what=what,
            image=number,
            name=name,
            objects=len(entry.get("put", [])) + len(entry.get("remove", [])),
            reason=entry.get("reason", ""),
        )
