"""The studio's routes. Every path is of a number of an opened image; nothing that is sent becomes a path."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from apiece import formats
from apiece.draw import palette
from apiece.errors import ConfigError
from apiece.serve.app import new_app
from apiece.serve.guards import Guard
from apiece.serve.schema import problem_of
from apiece.serve.studio.edits import Accept, Click, compute, from_click, prompts_of
from apiece.serve.studio.pictures import TILE, Pictures
from apiece.serve.studio.schema import Classes, Export, Exported, ImageEntry, Make, NewClass, SetAnswer
from apiece.serve.studio.sheet import Delta, Put, Sheet
from apiece.serve.studio.wire import encode
from apiece.serve.studio.workspace import StaleError, Workspace

__all__ = ["ROUTER", "static_folder", "studio_app"]

ROUTER = APIRouter(prefix="/api")
_BINARY = "application/vnd.apiece.objects"
Seen = Annotated[int, Header(alias="If-Match", ge=0)]
"""The revision that the page shows."""
By = Annotated[str, Header(alias="X-By", max_length=100)]


def studio_app(workspace: Workspace, guard: Guard, title: str) -> FastAPI:
    """Return the studio of a workspace: its routes and its page.

    Parameters
    ----------
    workspace : what is looked at.
    guard : who may ask.
    title : shown above the images.

    Raises
    ------
    ConfigError
        If the page was not built, as in a copy of the repository.
    """
    app = new_app("apiece studio", guard, [ROUTER])
    app.state.workspace, app.state.title = workspace, title
    app.state.pictures = Pictures(workspace.image)
    app.add_exception_handler(StaleError, _stale)
    app.mount("/", StaticFiles(directory=static_folder(), html=True))
    return app


def static_folder() -> Path:
    """Return the folder of the built page."""
    folder = Path(str(resources.files("apiece.serve"))) / "static"
    if not (folder / "index.html").is_file():
        raise ConfigError(
            "the studio's page is not built; in the repository's folder studio, run: npm ci && npm run build"
        )
    return folder


async def _stale(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StaleError)
    return JSONResponse(problem_of(error).model_dump(), 409)


def _space(request: Request) -> Workspace:
    workspace: Workspace = request.app.state.workspace
    return workspace


@ROUTER.get("/set")
def opened(request: Request) -> SetAnswer:
    """Return the set: classes, images, what can be asked."""
    space, model = _space(request), _space(request).model
    rgb = palette.colours(np.arange(len(space.classes)))
    return SetAnswer(
        title=request.app.state.title,
        classes=list(space.classes),
        colours=[f"#{r:02x}{g:02x}{b:02x}" for r, g, b in rgb.tolist()],
        images=[
            ImageEntry(name=item.ref.name, split=item.split, revision=space.revision(n))
            for n, item in enumerate(space.items)
        ],
        model=None if model is None else list(model.classes),
        thresholds=None if model is None or model.thresholds is None else list(model.thresholds),
        formats=[name for name in formats.names() if formats.load(name).write is not None],
        tile=TILE,
    )


@ROUTER.get("/images/{number}/thumb")
def thumb(request: Request, number: int) -> Response:
    """Return a small picture."""
    _space(request).item(number)
    return Response(request.app.state.pictures.thumb(number), media_type="image/jpeg", headers=_SHORT)


@ROUTER.get("/images/{number}/tiles/{level}/{column}/{row}")
def tile(request: Request, number: int, level: int, column: int, row: int) -> Response:
    """Return a tile of the picture."""
    _space(request).item(number)
    data = request.app.state.pictures.tile(number, level, column, row)
    return Response(data, media_type="image/jpeg", headers=_SHORT)


_SHORT = {"Cache-Control": "private, max-age=300"}


@ROUTER.get("/images/{number}/objects")
def objects(request: Request, number: int) -> Response:
    """Return the objects of an image as they stand."""
    sheet, gone = _space(request).sheet(number)
    return _objects(sheet, {"gone": gone})


@ROUTER.get("/images/{number}/predictions")
def predictions(request: Request, number: int) -> Response:
    """Return what the model finds on an image."""
    found = _space(request).predicted(number)
    return _packed(encode(found, np.arange(len(found)), {"revision": 0, "classes": list(found.classes)}), 0)


@ROUTER.post("/images/{number}/edits")
def make(request: Request, number: int, asked: Make, seen: Seen) -> Response:
    """Make a change, save it, and return the objects that it changed."""
    edit = asked.edit
    return _changed(*_space(request).change(number, seen, asked.by, lambda sheet: compute(sheet, edit)))


@ROUTER.post("/images/{number}/clicks")
def click(request: Request, number: int, asked: Click, seen: Seen, by: By = "") -> Response:
    """Ask for the object at a click or in a box, and save the answer as an object."""
    space = _space(request)
    answer = space.session(number).ask(prompts_of(asked))
    return _changed(*space.change(number, seen, by, lambda sheet: from_click(sheet, asked, answer)))


@ROUTER.post("/images/{number}/accepted")
def accepted(request: Request, number: int, asked: Accept, seen: Seen, by: By = "") -> Response:
    """Take over predictions as labels."""
    space = _space(request)
    found = space.predicted(number)
    wanted = found[np.array(asked.predictions, np.int64)]
    for name in wanted.names:
        if name not in space.classes:
            space.add_class(name)

    def taken(sheet: Sheet) -> Delta:
        return Delta(put=tuple(Put(sheet.next_key + k, n, wanted.masks[k]) for k, n in enumerate(wanted.names)))

    return _changed(*space.change(number, seen, by, taken))


@ROUTER.post("/images/{number}/undo")
def undo(request: Request, number: int, seen: Seen, by: By = "") -> Response:
    """Undo the last change of an image that stands."""
    return _changed(*_space(request).step(number, seen, by, back=True))


@ROUTER.post("/images/{number}/redo")
def redo(request: Request, number: int, seen: Seen, by: By = "") -> Response:
    """Do again what was undone last."""
    return _changed(*_space(request).step(number, seen, by, back=False))


@ROUTER.post("/classes")
def new_class(request: Request, asked: NewClass) -> Classes:
    """Add a class."""
    _space(request).add_class(asked.name)
    return Classes(classes=list(_space(request).classes))


@ROUTER.post("/export")
def export(request: Request, asked: Export) -> Exported:
    """Write all labels as they stand in a format."""
    written = _space(request).export(asked.name, asked.format, asked.allow_lossy).values()
    return Exported(
        paths=[str(one.path) for one in written],
        images=sum(one.images for one in written),
        instances=sum(one.instances for one in written),
        lost=[line for one in written for line in one.lost],
    )


def _changed(before: Sheet, after: Sheet) -> Response:
    """Return the objects of ``after`` that are new or other than before, and the keys that are gone."""
    old, new = before.instances, after.instances
    place = {key: i for i, key in enumerate(before.keys.tolist())}
    rows = np.array([place.get(key, -1) for key in after.keys.tolist()], np.int64)
    same = rows >= 0
    kept = np.flatnonzero(same)
    a, b = new.masks[kept], old.masks[rows[kept]]
    equal = (a.area == b.area) & (new.labels[kept] == old.labels[rows[kept]])
    if not np.array_equal(a.offsets, b.offsets) or a != b:
        some = np.flatnonzero(equal)
        equal[some] = [a[i] == b[i] for i in some.tolist()]
    same[kept] = equal
    gone = np.setdiff1d(before.keys, after.keys).tolist()
    fresh = np.flatnonzero(~same)
    part = Sheet(new[fresh], after.keys[fresh], after.revision, after.next_key)
    return _objects(part, {"removed": gone})


def _objects(sheet: Sheet, more: dict[str, object]) -> Response:
    data = encode(sheet.instances, sheet.keys, {"revision": sheet.revision, **more})
    return _packed(data, sheet.revision)


def _packed(data: bytes, revision: int) -> Response:
    headers = {"Content-Encoding": "gzip", "ETag": f'"{revision}"', "Cache-Control": "no-store"}
    return Response(data, media_type=_BINARY, headers=headers)
