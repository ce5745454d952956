"""Images too large to be read whole: their objects are read once, asked for by tile, and changed as all others are."""

from __future__ import annotations

import gzip
import json
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.errors import ConfigError, DataError
from apiece.images import write_image
from apiece.serve import Guard, studio_app
from apiece.serve.studio import routes, workspace
from apiece.serve.studio.edits import At, Click, Delete, Draw, Edit, Fill, Merge, Order, Relabel, compute, keys_in
from apiece.serve.studio.large import LargeSheet, thinned
from apiece.serve.studio.sets import Source
from apiece.serve.studio.wire import decode_masks
from apiece.serve.studio.workspace import Workspace

SIZE = (300, 400)
LARGE = 100  # pixels from which on an image is too large here


def cells(count: int = 40, seed: int = 0) -> Instances:
    """Discs of many sizes that overlap, some with a hole, of two classes."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    middle, radius = rng.uniform(0, SIZE, (count, 2)), rng.uniform(1, 30, count)
    far = np.hypot(rows - middle[:, :1, None], columns - middle[:, 1:, None])
    stack = (far <= radius[:, None, None]) & (far >= np.where(np.arange(count) % 5 == 0, radius / 2, 0)[:, None, None])
    kept = stack.any((1, 2))
    return Instances(Masks.from_dense(stack[kept]), rng.integers(0, 2, kept.sum()), ("bolt", "nut"))


def write(folder: Path, found: Instances, name: str = "labels.json") -> None:
    apiece.write([(ImageRef(folder / "a.png", "a.png", SIZE), found)], folder / name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 90, (*SIZE, 3), np.uint8)
    pixels[100:150, 200:260] = 220
    write_image(tmp_path / "a.png", pixels)
    write(tmp_path, cells())
    return tmp_path


def opened(folder: Path, out: str = "work", name: str = "labels.json") -> Workspace:
    return Workspace(Source(folder / name), folder / out)


def large(space: Workspace) -> LargeSheet:
    for _ in range(600):
        found = space.large(0)
        if isinstance(found, LargeSheet):
            return found
        assert found is not None
        time.sleep(0.05)
    raise AssertionError("the labels were never read")


def make(space: Workspace, *edits: Edit) -> None:
    for edit in edits:
        space.change(0, space.revision(0), "", lambda sheet, e=edit: compute(sheet, e), keys_in(edit))


def line_over(found: Instances, row: int) -> list[list[float]]:
    """Return a line across the middle of an object."""
    x0, y0, x1, y1 = found.boxes[row].tolist()
    return [[x0, (y0 + y1) / 2], [x1, (y0 + y1) / 2]]


EDITS: list[Edit] = [
    Draw(how="new", points=[[20.0, 15.0], [80.0, 15.0], [80.0, 62.0]], label="nut"),
    Draw(how="add", points=[[50.0, 200.0], [90.0, 210.0]], radius=7, key=3),
    Draw(how="cut", points=[[0.0, 0.0], [400.0, 300.0]], radius=3, key=7),
    Fill(key=5),
    Merge(keys=[9, 11]),
    Delete(keys=[12, 13]),
    Relabel(keys=[14, 2], label="bolt"),
    Order(keys=[15, 3], to="front"),
    Order(keys=[16], to="back"),
]


def same(some: LargeSheet, space: Workspace) -> None:
    """Hold the objects of a large image, asked for in each way, against the same objects, kept whole."""
    want = space.sheet(0)[0]
    part = some.part(want.keys.tolist())
    assert part.keys.tolist() == want.keys.tolist()
    assert part.instances.masks == want.instances.masks
    assert part.instances.names == want.instances.names
    for one, other in ((part.orders, want.orders), (part.instances.ids, want.instances.ids)):
        assert np.array_equal(one, other) if one is not None and other is not None else one is other
    columns = some.columns()
    assert columns.keys.tolist() == want.keys.tolist()
    assert columns.areas.tolist() == want.instances.masks.area.tolist()
    assert columns.boxes.tolist() == want.instances.masks.runs.boxes.tolist()
    assert columns.labels.tolist() == want.instances.labels.tolist()


def test_changes_of_a_large_image_are_those_of_any_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = opened(folder, "whole")
    make(whole, *EDITS)
    with monkeypatch.context() as patch:
        patch.setattr(workspace, "MAX_PIXELS", LARGE)
        space = opened(folder)
        assert space.is_large(0)
        large(space)
        make(space, *EDITS)
        same(large(space), whole)
        for back in (True, True, True, False):
            for one in (space, whole):
                before, after = one.step(0, one.revision(0), "", back)
                assert after.revision == before.revision + 1
            same(large(space), whole)
        space.journal.close()
        again = opened(folder)
        same(large(again), whole)
        exported = again.sheet(0)[0].instances
    assert exported.masks == whole.sheet(0)[0].instances.masks


@pytest.mark.parametrize("name", ["labels.json", "labels.geojson"])
def test_what_a_label_file_holds_is_there_also_after_it_has_changed(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workspace, "MAX_PIXELS", LARGE)
    count = len(cells())
    found = cells().replace(scores=np.linspace(0.1, 1, count), ids=np.arange(100, 100 + count))
    (folder / "labels.json").unlink()
    (folder / name).unlink(missing_ok=True)
    write(folder, found, name)
    space = opened(folder, name=name)
    first = large(space)
    assert first.columns().scores is not None
    assert first.whole(found[::-1]).instances.masks == found.masks  # known by their ids
    make(space, Draw(how="cut", points=line_over(found, 4), radius=2, key=4), Relabel(keys=[6], label="nut"))
    kept = large(space).part([4, 6]).instances.masks
    space.journal.close()
    (folder / name).unlink()
    others = cells(3, 9).replace(scores=np.ones(3), ids=np.arange(3))
    write(folder, Instances.concatenate([others, found[::-1]]), name)
    again = large(opened(folder, name=name))
    assert again.gone == 0
    assert again.part([4, 6]).instances.masks == kept
    assert len(again.columns().keys) == len(found) + 3


@given(st.integers(0, 2**16), st.integers(0, 4), st.integers(0, 3), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_thinned_masks_look_the_same(seed: int, level: int, column: int, row: int) -> None:
    masks, step = cells(12, seed).masks, 1 << level
    box = (64 * column, 64 * row, 64 * column + 64 * step, 64 * row + 64 * step)
    thin = thinned(masks, level, box)
    boxes = masks.runs.boxes

    def painted(some: Masks, i: int) -> np.ndarray:
        """Paint as the page does: of the columns that fall on a pixel the middle one, unless the object is narrow."""
        out = np.zeros((SIZE[0] // step + 1, SIZE[1] // step + 1), bool)
        runs = some.runs
        for r in range(runs.offsets[i], runs.offsets[i + 1]):
            x = int(runs.x[r])
            if boxes[i, 2] - boxes[i, 0] < 3 * step or level == 0 or x % step == step >> 1:
                out[runs.y0[r] >> level : ((runs.y1[r] - 1) >> level) + 1, x >> level] = True
        return out[:, box[0] >> level : box[2] >> level]

    for i in range(len(masks)):
        assert (painted(thin, i) == painted(masks, i)).all()
    assert len(thin.x) <= len(masks.x)


def test_a_tile_has_every_object_that_is_more_than_a_dot_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_PIXELS", LARGE)
    space = opened(folder)
    make_late = large(space)
    make(space, Delete(keys=[3]), Draw(how="new", points=[[130.0, 130.0], [180.0, 130.0], [180.0, 190.0]]))
    stands = large(space)
    assert stands is not make_late
    all_ = stands.part(stands.columns().keys.tolist())
    sides = all_.instances.masks.runs.boxes
    for level in range(4):
        box = (100, 100, 228, 228)
        window = all_.instances.masks.crop(*box).area > 0
        more = np.maximum(sides[:, 2] - sides[:, 0], sides[:, 3] - sides[:, 1]) >= (4 << level if level else 0)
        tile = stands.tile(level, box)
        assert set(all_.keys[window & more].tolist()) <= set(tile.keys.tolist())
        assert set(tile.keys.tolist()) <= set(all_.keys[more].tolist())
    assert 3 not in tile.keys


def told(data: bytes) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Return the header and the seven streams of all objects of a large image."""
    (length,) = struct.unpack_from("<I", data)
    header, values, value, shift = json.loads(data[4 : 4 + length]), [], 0, 0
    for byte in data[4 + length :]:
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            values.append(value)
            value = shift = 0
    return header, list(np.array(values, np.int64).reshape(-1, header["count"]))


def test_the_page_of_a_large_image_is_told_what_it_needs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_PIXELS", LARGE)
    monkeypatch.setattr(routes, "static_folder", lambda: folder)
    space = opened(folder)
    client = TestClient(studio_app(space, Guard("127.0.0.1", 8000, ""), "a"), base_url="http://127.0.0.1:8000")
    first = client.get("/api/images/0/objects")
    assert decode_masks(gzip.compress(first.content))[0]["reading"] == 0
    sheet = large(space)
    header, (keys, labels, areas, x, y, wide, high) = told(client.get("/api/images/0/objects").content)
    want = cells()
    assert (header["count"], header["size"], header["revision"]) == (len(want), list(SIZE), 0)
    assert np.cumsum(keys).tolist() == sheet.keys.tolist()
    assert (labels.tolist(), areas.tolist()) == (want.labels.tolist(), want.masks.area.tolist())
    x, y = (np.cumsum((v >> 1) ^ -(v & 1)) for v in (x, y))
    assert np.stack([x, y, x + wide, y + high], 1).tolist() == want.masks.runs.boxes.tolist()

    tile = client.get("/api/images/0/objects/0/0/0")
    masks = decode_masks(gzip.compress(tile.content))[1]
    assert masks == want.masks
    whole = client.get("/api/images/0/masks", params={"key": [7, 5]})
    assert decode_masks(gzip.compress(whole.content))[1] == want.masks[[5, 7]]
    for beyond in ("9/0/0", "0/-1/0", f"0/0/{10**30}"):
        assert client.get(f"/api/images/0/objects/{beyond}").status_code == 404
    seen = {"if-match": "0"}
    edit = {"op": "draw", "how": "cut", "points": line_over(want, 5), "radius": 3, "key": 5}
    changed = client.post("/api/images/0/edits", json={"edit": edit}, headers=seen)
    assert decode_masks(gzip.compress(changed.content))[0]["keys"] == [5]
    assert client.post("/api/images/0/edits", json={"edit": edit}, headers=seen).status_code == 409
    assert "apiece measure" in client.get("/api/images/0/measured").json()["message"]


def test_a_click_on_a_large_image_sees_a_window_of_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = opened(folder, "whole")
    clicks = [
        Click(points=[At(x=230.5, y=120.5)], wand=True),
        Click(points=[At(x=201, y=101), At(x=259, y=149)], wand=True),
        Click(box=[195.0, 90.0, 262.0, 155.0], wand=True),
    ]
    want = [whole.clicks.answer(0, click).masks for click in clicks[:2]]
    monkeypatch.setattr(workspace, "MAX_PIXELS", LARGE)
    monkeypatch.setattr("apiece.serve.studio.clicks._WINDOW", 128)
    monkeypatch.setattr("apiece.serve.studio.clicks._GRID", 32)
    space = opened(folder)
    for click, masks in zip(clicks, want, strict=False):
        assert space.clicks.answer(0, click).masks == masks
    boxed = space.clicks.answer(0, clicks[2]).masks
    assert boxed.size == SIZE
    assert boxed.area[0] == boxed.crop(200, 100, 260, 150).area[0] >= 0.9 * 50 * 60


def test_labels_that_cannot_be_read_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workspace, "MAX_PIXELS", LARGE)
    space = opened(folder)
    (folder / "labels.json").write_text("{}")
    with pytest.raises(DataError, match=r"labels\.json"):
        large(space)
    space.model = object()  # type: ignore[assignment]  # it is never asked
    with pytest.raises(ConfigError, match="apiece predict"):
        space.predicted(0)
