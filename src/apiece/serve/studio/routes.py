"""The studio's routes. Every path is of a number of an opened image; nothing that is sent becomes a path."""

from __future__ import annotations

import threading
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, BackgroundTasks, FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles

from apiece import formats
from apiece.core.instances import Instances
from apiece.draw import palette
from apiece.errors import ApieceError, ConfigError, UnknownNameError
from apiece.images import image_size
from apiece.monitor import Profile
from apiece.serve.app import new_app
from apiece.serve.guards import Guard
from apiece.serve.schema import problem_of
from apiece.serve.studio.asked import by_of, space_of
from apiece.serve.studio.compared import comparable
from apiece.serve.studio.decide_routes import DECIDE
from apiece.serve.studio.edits import Accept, Click, Copy, compute, copied, from_click, keys_in
from apiece.serve.studio.large import LargeSheet
from apiece.serve.studio.pictures import TILE, Look, Pictures, levels_of
from apiece.serve.studio.review import Review
from apiece.serve.studio.review_routes import REVIEW
from apiece.serve.studio.schema import (
    Classes,
    Export,
    Exported,
    ImageEntry,
    ImageInfo,
    LookInfo,
    Make,
    NewClass,
    SetAnswer,
    Tracks,
)
from apiece.serve.studio.sheet import Delta, Put, Sheet
from apiece.serve.studio.thumbs import Thumbs
from apiece.serve.studio.tracks import tracks_of
from apiece.serve.studio.wire import encode, encode_columns
from apiece.serve.studio.workspace import StaleError, Workspace

__all__ = ["ROUTER", "static_folder", "studio_app"]

ROUTER = APIRouter(prefix="/api")
_BINARY = "application/vnd.apiece.objects"
Seen = Annotated[int, Header(alias="If-Match", ge=0)]
"""The revision that the page shows."""


def studio_app(workspace: Workspace, guard: Guard, title: str, baseline: Profile | None = None) -> FastAPI:
    """Return the studio of a workspace: its routes and its page.

    Parameters
    ----------
    workspace : what is looked at.
    guard : who may ask.
    title : shown above the images.
    baseline : what images and answers were like on the model's good days; images that are unlike them are reviewed.

    Raises
    ------
    ConfigError
        If the page was not built, as in a copy of the repository.
    """
    app = new_app("apiece studio", guard, [ROUTER, REVIEW, DECIDE])
    app.state.workspace, app.state.title = workspace, title
    app.state.review = Review(workspace, baseline)
    pictures = app.state.pictures = Pictures(lambda number: workspace.item(number).ref)
    app.state.thumbs = Thumbs(
        workspace.out / "thumbs.sqlite",
        lambda number: workspace.item(number).ref,
        lambda: len(workspace.items),
        pictures.thumb,
    )
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


def _pictures(request: Request) -> Pictures:
    pictures: Pictures = request.app.state.pictures
    return pictures


@ROUTER.get("/set")
def opened(request: Request, later: BackgroundTasks) -> SetAnswer:
    """Return the set: classes, images, what can be asked."""
    space, model = space_of(request), space_of(request).model
    space.refresh()
    later.add_task(space.read_ids)  # so that the first object drawn need not wait for it
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
        comparable=model is not None and comparable(model.classes, space.classes),
        rules=space.rules is not None,
        tracks=space.tracked,
        notice=space.notice,
        formats=[name for name in formats.names() if formats.load(name).write is not None],
        tile=TILE,
    )


@ROUTER.get("/tracks")
def tracks(request: Request) -> Tracks:
    """Return in which images each object is."""
    return Tracks(tracks=tracks_of(space_of(request)))


@ROUTER.get("/images/{number}")
def info(request: Request, number: int) -> ImageInfo:
    """Return the size of an image, from its header; its pixels are read meanwhile."""
    threading.Thread(target=_pictures(request).open, args=(number,), daemon=True).start()
    ref = space_of(request).item(number).ref
    height, width = image_size(ref.path, page=ref.page)
    return ImageInfo(width=width, height=height, levels=levels_of((height, width)))


@ROUTER.get("/images/{number}/look")
def look(request: Request, number: int) -> LookInfo:
    """Return what the pixels of an image are, and how they are shown."""
    channels, dtype, (low, high) = _pictures(request).look(number)
    return LookInfo(channels=channels, dtype=str(dtype), low=low, high=high)


@ROUTER.get("/images/{number}/thumb")
def thumb(request: Request, number: int) -> Response:
    """Return a small picture."""
    thumbs: Thumbs = request.app.state.thumbs
    return Response(thumbs.get(number), media_type="image/jpeg", headers=_SHORT)


@ROUTER.get("/images/{number}/tiles/{level}/{column}/{row}")
def tile(
    request: Request,
    number: int,
    level: int,
    column: int,
    row: int,
    channels: Annotated[list[int], Query(max_length=3)] = [],  # noqa: B006 -- FastAPI copies it
    low: float | None = None,
    high: float | None = None,
) -> Response:
    """Return a tile of the picture, of the channels and with the contrast that the person has chosen."""
    limits = None if low is None or high is None or not low < high else (low, high)
    data = _pictures(request).tile(number, level, column, row, Look(tuple(channels), limits))
    return Response(data, media_type="image/jpeg", headers=_SHORT)


_SHORT = {"Cache-Control": "private, max-age=300"}


@ROUTER.get("/images/{number}/objects")
def objects(request: Request, number: int) -> Response:
    """Return the objects of an image as they stand; of a large image without their masks, once they have been read."""
    space = space_of(request)
    space.refresh()
    large = space.large(number)
    if large is None:
        sheet, gone = space.sheet(number)
        return _objects(sheet, {"gone": gone, "notice": space.notice})
    if isinstance(large, int):
        nothing = Instances.empty((1, 1), space.classes)
        return _packed(encode(nothing, np.zeros(0, np.int64), {"revision": 0, "reading": large}), 0)
    told = {"revision": large.revision, "gone": large.gone, "notice": space.notice}
    return _packed(encode_columns(large.columns(), large.size, told), large.revision)


@ROUTER.get("/images/{number}/objects/{level}/{column}/{row}")
def objects_of_tile(request: Request, number: int, level: int, column: int, row: int) -> Response:
    """Return the masks of a large image that are more than dots in a tile, as they are seen there."""
    large = space_of(request).large(number)
    if not isinstance(large, LargeSheet) or not 0 <= level < levels_of(large.size):
        raise UnknownNameError("tile", f"{level}/{column}/{row}", ())
    side, (height, width) = TILE << level, large.size
    if not (0 <= column * side < width and 0 <= row * side < height):
        raise UnknownNameError("tile", f"{level}/{column}/{row}", ())
    box = (column * side, row * side, (column + 1) * side, (row + 1) * side)
    return _objects(large.tile(level, box), {})


@ROUTER.get("/images/{number}/masks")
def masks(request: Request, number: int, key: Annotated[list[int], Query(max_length=500)]) -> Response:
    """Return some objects, with whole masks."""
    return _objects(space_of(request).part(number, key), {})


@ROUTER.get("/images/{number}/predictions")
def predictions(request: Request, number: int) -> Response:
    """Return what the model finds on an image."""
    found = space_of(request).predicted(number)
    return _packed(encode(found, np.arange(len(found)), {"revision": 0, "classes": list(found.classes)}), 0)


@ROUTER.post("/images/{number}/edits")
def make(request: Request, number: int, asked: Make, seen: Seen) -> Response:
    """Make a change, save it, and return the objects that it changed."""
    edit = asked.edit
    change = space_of(request).change
    return _changed(*change(number, seen, by_of(request), lambda sheet: compute(sheet, edit), keys_in(edit)))


@ROUTER.post("/images/{number}/clicks")
def click(request: Request, number: int, asked: Click, seen: Seen) -> Response:
    """Ask for the object at a click or in a box, and save the answer as an object."""
    space = space_of(request)
    answer = space.clicks.answer(number, asked)
    keys = [] if asked.key is None else [asked.key]
    return _changed(*space.change(number, seen, by_of(request), lambda sheet: from_click(sheet, asked, answer), keys))


@ROUTER.post("/images/{number}/clicks/ready")
def ready(request: Request, number: int, later: BackgroundTasks) -> None:
    """Prepare for clicks on an image: the person has taken up the tool."""
    later.add_task(_prepare, space_of(request), number)


def _prepare(space: Workspace, number: int) -> None:
    with suppress(ApieceError, OSError):  # the click will tell
        space.clicks.prepare(number)


@ROUTER.post("/images/{number}/accepted")
def accepted(request: Request, number: int, asked: Accept, seen: Seen) -> Response:
    """Take over predictions as labels."""
    space = space_of(request)
    found = space.predicted(number)
    wanted = found[np.array(asked.predictions, np.int64)]
    names = wanted.names if asked.label is None else [asked.label] * len(wanted)
    for name in names:
        if name not in space.classes:
            space.add_class(name, by_of(request))

    def taken(sheet: Sheet) -> Delta:
        return Delta(put=tuple(Put(sheet.next_key + k, n, wanted.masks[k]) for k, n in enumerate(names)))

    return _changed(*space.change(number, seen, by_of(request), taken))


@ROUTER.post("/images/{number}/copied")
def copy(request: Request, number: int, asked: Copy, seen: Seen) -> Response:
    """Copy objects of another image into this one."""
    space = space_of(request)
    source = space.part(asked.source, asked.keys)

    def taken(sheet: Sheet) -> Delta:
        return copied(sheet, source, asked.keys, space.tracked)

    return _changed(*space.change(number, seen, by_of(request), taken))


@ROUTER.post("/images/{number}/undo")
def undo(request: Request, number: int, seen: Seen) -> Response:
    """Undo the last change of an image that stands."""
    return _changed(*space_of(request).step(number, seen, by_of(request), back=True))


@ROUTER.post("/images/{number}/redo")
def redo(request: Request, number: int, seen: Seen) -> Response:
    """Do again what was undone last."""
    return _changed(*space_of(request).step(number, seen, by_of(request), back=False))


@ROUTER.post("/classes")
def new_class(request: Request, asked: NewClass) -> Classes:
    """Add a class."""
    space_of(request).add_class(asked.name, by_of(request))
    return Classes(classes=list(space_of(request).classes))


@ROUTER.post("/export")
def export(request: Request, asked: Export) -> Exported:
    """Write all labels as they stand in a format."""
    written = space_of(request).export(asked.name, asked.format, asked.allow_lossy).values()
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
    if before.orders is not None or after.orders is not None:
        was, now = (np.zeros(len(s.keys), np.int64) if s.orders is None else s.orders for s in (before, after))
        equal &= now[kept] == was[rows[kept]]
    same[kept] = equal
    gone = np.setdiff1d(before.keys, after.keys).tolist()
    fresh = np.flatnonzero(~same)
    part = Sheet(new[fresh], after.keys[fresh], after.revision, after.next_key)
    return _objects(part, {"removed": gone})


def _objects(sheet: Sheet, more: dict[str, object]) -> Response:
    orders = None if sheet.orders is None else sheet.orders.tolist()
    data = encode(sheet.instances, sheet.keys, {"revision": sheet.revision, "orders": orders, **more})
    return _packed(data, sheet.revision)


def _packed(data: bytes, revision: int) -> Response:
    headers = {"Content-Encoding": "gzip", "ETag": f'"{revision}"', "Cache-Control": "no-store"}
    return Response(data, media_type=_BINARY, headers=headers)
