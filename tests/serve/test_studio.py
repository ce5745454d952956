"""The studio's work: what is drawn is saved, survives a crash, two tabs and a changed file, and is exported whole."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.errors import ApieceError, ConfigError, DataError, UnknownNameError
from apiece.images import write_image
from apiece.serve import Guard, studio_app
from apiece.serve.studio import routes
from apiece.serve.studio.edits import Cut, Delete, Draw, Edit, Fill, Merge, Order, Relabel, compute
from apiece.serve.studio.journal import Journal
from apiece.serve.studio.sets import Source, open_sets
from apiece.serve.studio.sheet import Known, marks_of, replay
from apiece.serve.studio.wire import decode_masks, encode
from apiece.serve.studio.workspace import StaleError, Workspace

SIZE = (24, 30)


def dense(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    out = np.zeros((len(boxes), *SIZE), bool)
    for canvas, (x0, y0, x1, y1) in zip(out, boxes, strict=True):
        canvas[y0:y1, x0:x1] = True
    return out


def scene() -> Instances:
    """A ring with a hole, an object in two parts, and one that overlaps the ring."""
    stack = dense((2, 2, 12, 12), (15, 2, 18, 10), (8, 8, 16, 16))
    stack[0, 5:9, 5:9] = False
    stack[1, 5:7] = False
    masks = Masks.from_dense(stack)
    attributes = {"note": np.array(["a", "b", "c"], object)}
    return Instances(
        masks, [0, 1, 0], ("bolt", "nut"), ids=[7, 3, 11], crowd=[False, False, True], attributes=attributes
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    write_image(tmp_path / "a.png", pixels)
    write_image(tmp_path / "b.png", pixels[::-1])
    records = [(ImageRef(tmp_path / n, n, SIZE), scene()) for n in ("a.png", "b.png")]
    apiece.write(records, tmp_path / "labels.json", format="coco")
    return tmp_path


def opened(folder: Path) -> Workspace:
    return Workspace(Source(folder / "labels.json"), folder / "work")


def made(space: Workspace, *edits: Edit, image: int = 0) -> Instances:
    for edit in edits:
        space.change(image, space.revision(image), "", lambda sheet, e=edit: compute(sheet, e))
    return space.sheet(image)[0].instances


SQUARE = [[20.0, 15.0], [28.0, 15.0], [28.0, 22.0], [20.0, 22.0]]


# ---------------------------------------------------------------- over the wire


@given(st.integers(0, 2**32 - 1), st.integers(0, 6), st.integers(1, 40), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_masks_come_out_of_the_wire_as_they_went_in(seed: int, count: int, width: int, height: int) -> None:
    rng = np.random.default_rng(seed)
    masks = Masks.from_dense(rng.random((count, height, width)) < rng.random())
    header, back = decode_masks(encode(Instances(masks), np.arange(count), {"revision": 4}))
    assert back == masks
    assert header["areas"] == masks.area.tolist()
    assert header["revision"] == 4


# ---------------------------------------------------------------- edits against pixels


def test_draw_add_cut_and_fill(folder: Path) -> None:
    space = opened(folder)
    found = made(space, Draw(how="new", points=SQUARE, label="nut"))
    want = dense((20, 15, 28, 22))[0]
    assert (found.masks[3].to_dense()[0] == want).all()
    assert (found.names[3], found.crowd[3], found.attributes["note"][3]) == ("nut", False, "")
    assert len(set(found.ids.tolist())) == 4
    hole = [[22.0, 17.0], [25.0, 17.0], [25.0, 20.0], [22.0, 20.0]]
    want[17:20, 22:25] = False
    assert (made(space, Draw(how="cut", points=hole, key=3)).masks[3].to_dense()[0] == want).all()
    want[17:20, 22:25] = True
    assert (made(space, Fill(key=3)).masks[3].to_dense()[0] == want).all()
    grown = made(space, Draw(how="add", points=[[20.5, 10.5]], radius=0.5, key=3)).masks[3].to_dense()[0]
    want[10, 20] = True
    assert (grown == want).all()
    rest = made(space).masks[:3]
    assert rest == scene().masks  # nothing else has changed


def test_fill_keeps_parts_and_takes_every_hole(folder: Path) -> None:
    masks = made(opened(folder), Fill(key=0), Fill(key=1)).masks
    assert masks.holes.tolist() == [0, 0, 0]
    assert masks.parts.tolist() == [1, 2, 1]
    assert masks.area.tolist() == [100, 18, 64]


@pytest.mark.parametrize("radius", [1, 2.5, 4])
def test_a_stroke_is_what_lies_near_its_line(radius: float, folder: Path) -> None:
    line = [[6.0, 6.0], [20.0, 13.0]]
    drawn = made(opened(folder), Draw(how="new", points=line, radius=radius)).masks[3].to_dense()[0]
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    (ax, ay), (bx, by) = line
    along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / ((bx - ax) ** 2 + (by - ay) ** 2), 0, 1)
    far = np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay))
    assert drawn[far < radius - 1].all()
    assert not drawn[far > radius + 1].any()


def test_split_loses_no_pixel_and_merge_undoes_it(folder: Path) -> None:
    space = opened(folder)
    whole = scene().masks[0].to_dense()[0]
    found = made(space, Cut(key=0, points=[[0.0, 7.0], [14.0, 7.0]]))
    pieces = found[np.array([0, 3])].masks.to_dense()
    assert (pieces.sum(0) == whole).all()
    assert found.names[3] == "bolt"
    assert found.attributes["note"][3] == "a"
    assert not (pieces[0] & pieces[1]).any()
    again = made(space, Merge(keys=[0, 3]))
    assert (again.masks[0].to_dense()[0] == whole).all()
    assert again.attributes["note"].tolist() == ["a", "b", "c"]


def test_delete_relabel_and_what_cannot_be_done(folder: Path) -> None:
    space = opened(folder)
    found = made(space, Relabel(keys=[0, 2], label="nut"), Delete(keys=[1]))
    assert (found.names, found.ids.tolist()) == (["nut", "nut"], [7, 11])
    before = space.revision(0)
    for edit, error in (
        (Delete(keys=[1]), UnknownNameError),
        (Relabel(keys=[0], label="screw"), UnknownNameError),
        (Draw(how="new", points=[[1.0, 1.0], [2.0, 2.0]]), ConfigError),
        (Draw(how="new", points=[[100.0, 1.0], [120.0, 2.0], [110.0, 9.0]]), ConfigError),
        (Draw(how="add", points=SQUARE), ConfigError),
        (Cut(key=0, points=[[0.0, 0.0], [1.0, 0.0]]), ConfigError),
    ):
        with pytest.raises(error):
            made(space, edit)
    assert space.revision(0) == before
    assert len(made(space, Draw(how="cut", points=[[0.0, 0.0], [15.0, 12.0]], radius=40, key=0))) == 1


# ---------------------------------------------------------------- undo, tabs, crashes


def test_objects_are_put_above_and_below_others_and_stay_there(folder: Path) -> None:
    space = opened(folder)
    assert space.sheet(0)[0].orders is None
    made(space, Order(keys=[0], to="front"), Order(keys=[1], to="back"), Order(keys=[2, 1], to="front"))
    stroke = Draw(how="add", key=0, points=[[20.0, 20.0]], radius=2)  # what is drawn keeps its place
    after = made(space, stroke)
    assert after.attributes["z_order"].tolist() == [1, 2, 2]
    space.step(0, space.revision(0), "", back=True)
    space.step(0, space.revision(0), "", back=True)
    now = space.sheet(0)[0]
    assert now.orders is not None
    assert now.orders.tolist() == [1, -1, 0]
    assert now.instances.masks == scene().masks
    space.export("cvat", "cvat", allow_lossy=True)
    ((_, found), *_) = apiece.read(next((space.out / "exports" / "cvat").rglob("*.xml")))
    assert sorted(found.attributes["z_order"].tolist()) == [-1, 0, 1]


def test_undo_and_redo_go_all_the_way(folder: Path) -> None:
    space = opened(folder)
    states = [space.sheet(0)[0].instances]
    for edit in (Fill(key=0), Delete(keys=[2]), Draw(how="new", points=SQUARE), Merge(keys=[0, 3])):
        states.append(made(space, edit))
    for back in (True, False):
        for state in states[-2::-1] if back else states[1:]:
            assert space.step(0, space.revision(0), "", back)[1].instances == state
    revision = space.revision(0)
    space.step(0, revision, "", back=False)
    assert space.revision(0) == revision  # there was nothing to redo
    space.journal.close()
    assert opened(folder).sheet(0)[0].instances == states[-1]


def test_a_tab_that_lags_behind_overwrites_nothing(folder: Path) -> None:
    space = opened(folder)
    made(space, Delete(keys=[0]))
    with pytest.raises(StaleError, match=r"a\.png was changed elsewhere"):
        space.change(0, 0, "", lambda sheet: compute(sheet, Delete(keys=[1])))
    assert len(made(space)) == 2
    space.change(1, 0, "", lambda sheet: compute(sheet, Delete(keys=[1])))  # another image is free


def test_one_studio_at_a_time_has_the_journal(folder: Path) -> None:
    space = opened(folder)
    with pytest.raises(ConfigError, match="is open in another studio"):
        opened(folder)
    space.journal.close()
    opened(folder)


KILLED = """
import os, sys
from pathlib import Path
from apiece.serve.studio.journal import Journal
journal = Journal(Path(sys.argv[1]))
for n in range(10**6):
    journal.add({"image": "train/a.png", "kind": "edit", "n": n, "filler": "x" * 400})
    os.write(1, b"%d\\n" % n)
"""


@pytest.mark.parametrize("after", [1, 7, 40])
def test_kill_9_loses_nothing_that_was_confirmed(tmp_path: Path, after: int) -> None:
    path = tmp_path / "journal.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        confirmed = [int(child.stdout.readline()) for _ in range(after)][-1]
        os.kill(child.pid, signal.SIGKILL)
        confirmed = max([confirmed, *map(int, child.stdout.read().split())])
    numbers = [entry["n"] for entry in Journal(path).entries]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > confirmed


def test_a_line_that_a_crash_cut_is_cut_off_and_a_broken_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"kind":"class","name":"a"}\n{"kind":"cla')
    journal = Journal(path)
    journal.add({"kind": "class", "name": "µ"})
    journal.close()
    assert [entry["name"] for entry in Journal(path).entries] == ["a", "µ"]
    other = tmp_path / "other.jsonl"
    other.write_bytes(b'{"kind":"class","name":"a"}\nnothing\n{}\n')
    with pytest.raises(DataError, match="line 2 is no entry"):
        Journal(other)


def test_a_full_disk_is_told_and_the_state_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = opened(folder)
    made(space, Delete(keys=[0]))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the change is not saved: No space left"):
        made(space, Delete(keys=[1]))
    monkeypatch.undo()
    assert len(made(space)) == 2
    assert len(made(space, Delete(keys=[1]))) == 1
    assert len((folder / "work" / "journal.jsonl").read_text().splitlines()) == 2


def test_labels_that_changed_on_disk_are_joined_with_the_work(folder: Path) -> None:
    space = opened(folder)
    made(space, Delete(keys=[1]), Relabel(keys=[2], label="nut"))
    mine = space.sheet(0)[0].instances
    space.journal.close()
    ref, found = apiece.read(folder / "labels.json")[0]
    extra = Instances(Masks.from_boxes([[20, 18, 25, 22]], SIZE), [0], found.classes, ids=[99], crowd=[False])
    both = Instances.concatenate([extra, found[np.array([1, 2])]])  # one new, one gone, the rest in other places
    apiece.write([(ref, both)], folder / "labels.json", format="coco")
    sheet, gone = opened(folder).sheet(0)
    assert gone == 1
    assert sorted(sheet.instances.masks.area.tolist()) == sorted([mine.masks.area[1], 20])
    assert sheet.instances.names.count("nut") == 1


def any_edit(kind: int, keys: list[int], rng: np.random.Generator) -> Edit:
    points = rng.uniform(-3, 33, (4, 2)).tolist()
    if kind in (0, 1, 2):
        how, key = ("new", "add", "cut")[kind], None if kind == 0 else int(rng.choice(keys))
        return Draw(how=how, points=points, radius=kind, key=key)
    if kind == 3:
        return Cut(key=int(rng.choice(keys)), points=points[:2])
    return Merge(keys=keys[:2]) if kind == 4 else Delete(keys=keys[:1])


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_any_history_is_replayed_to_the_same_state(steps: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    base, entries = scene(), []
    sheet, _ = replay(base, entries, None)
    known = Known.after(None, {"base": marks_of(base)})
    for step in steps:
        keys = sheet.keys.tolist()
        try:
            delta = compute(sheet, any_edit(step, keys, rng))
        except (ApieceError, ValueError):
            continue
        entries.append({"kind": "edit", **json.loads(json.dumps(delta.to_json()))})
        sheet, gone = replay(base, entries, known)
        assert gone == 0
        assert (sheet.instances.masks.area > 0).all()
        assert len(set(sheet.keys.tolist())) == len(sheet.keys)
        assert len(set(sheet.instances.ids.tolist())) == len(sheet.keys)


# ---------------------------------------------------------------- export, routes


@pytest.mark.parametrize("format", ["coco", "labelme", "geojson", "datumaro"])
def test_holes_parts_and_overlaps_survive_the_export(folder: Path, format: str) -> None:
    space = opened(folder)
    made(space, Draw(how="new", points=SQUARE, label="nut"), Draw(how="cut", points=[[24.0, 18.0]], radius=1.5, key=3))
    want = space.sheet(0)[0].instances
    written = space.export("out", format, allow_lossy=True)
    (back,) = (found for ref, found in apiece.read(next(iter(written.values())).path) if ref.name.startswith("a"))
    assert sorted(map(repr, back.masks.to_coco())) == sorted(map(repr, want.masks.to_coco()))
    assert back.masks.holes.sum() == 2
    assert back.masks.parts.max() == 2


def test_a_changed_object_is_exported_with_its_own_area(folder: Path) -> None:
    labels = json.loads((folder / "labels.json").read_text())
    for one in labels["annotations"]:
        one["area"] = 55
    (folder / "labels.json").write_text(json.dumps(labels))
    space = opened(folder)
    made(space, Draw(how="cut", points=[[0.0, 0.0], [5.0, 0.0], [5.0, 24.0], [0.0, 24.0]], key=0))
    written = next(iter(space.export("out", "coco", allow_lossy=False).values()))
    first = json.loads(written.path.read_text())["annotations"][:3]
    assert [one["area"] for one in first] == [54, 55, 55]
    assert first[0]["bbox"] == [5, 2, 7, 10]


def test_objects_are_copied_into_the_next_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space = opened(folder)
    asked = client(space, monkeypatch, folder)
    body = {"source": 0, "keys": [2, 0]}
    assert asked.post("/api/images/1/copied", json=body, headers={"if-match": "0"}).status_code == 200
    found = space.sheet(1)[0].instances
    assert found.names[3:] == ["bolt", "bolt"]
    assert found.masks[np.array([3, 4])] == scene().masks[np.array([2, 0])]
    wrong = {"source": 0, "keys": [77]}
    assert asked.post("/api/images/1/copied", json=wrong, headers={"if-match": "1"}).status_code == 404


def client(space: Workspace, monkeypatch: pytest.MonkeyPatch, folder: Path) -> TestClient:
    page = folder / "page"
    page.mkdir(exist_ok=True)
    (page / "index.html").write_text("<!doctype html>")
    monkeypatch.setattr(routes, "static_folder", lambda: page)
    return TestClient(studio_app(space, Guard(), "a set"), base_url="http://127.0.0.1:8000")


def test_the_routes_look_change_and_export(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client(opened(folder), monkeypatch, folder)
    told = asked.get("/api/set").json()
    assert ([i["name"] for i in told["images"]], told["classes"]) == (["a.png", "b.png"], ["bolt", "nut"])
    assert asked.get("/api/images/0/thumb").headers["content-type"] == "image/jpeg"
    assert asked.get("/api/images/0/tiles/0/0/0").status_code == 200
    for path in ("tiles/0/1/0", "tiles/0/0/-1", "tiles/9/0/0", "tiles/-1/0/0"):
        assert asked.get(f"/api/images/0/{path}").status_code == 404, path
    assert asked.get("/api/images/2/objects").status_code == 404
    assert asked.get("/api/images/..%2F..%2Fa.png/thumb").status_code in (404, 422)
    assert asked.get("/api/images/0/objects").headers["etag"] == '"0"'
    edit = {"edit": {"op": "delete", "keys": [1]}}
    assert asked.post("/api/images/0/edits", json=edit).status_code == 422  # without a revision nothing is changed
    assert (
        asked.post("/api/images/0/edits", json=edit, headers={"if-match": "0", "x-by": "Ada%20%C5%81"}).headers["etag"]
        == '"1"'
    )
    stale = asked.post("/api/images/0/edits", json=edit, headers={"if-match": "0"})
    assert (stale.status_code, stale.json()["kind"]) == (409, "StaleError")
    assert asked.post("/api/images/0/undo", headers={"if-match": "1"}).headers["etag"] == '"2"'
    clicked = {"points": [{"x": 9.5, "y": 10.5}], "label": "nut"}
    assert asked.post("/api/images/0/clicks", json=clicked, headers={"if-match": "2"}).headers["etag"] == '"3"'
    wand = {"points": [{"x": 3.5, "y": 3.5}], "wand": True}
    assert asked.post("/api/images/0/clicks", json=wand, headers={"if-match": "3"}).headers["etag"] == '"4"'
    order = {"edit": {"op": "order", "keys": [2], "to": "front"}}
    header, changed = decode_masks(
        gzip.compress(asked.post("/api/images/0/edits", json=order, headers={"if-match": "4"}).content)
    )
    assert (header["keys"], header["orders"], len(changed)) == ([2], [1], 1)
    assert asked.post("/api/classes", json={"name": "washer"}).json()["classes"] == ["bolt", "nut", "washer"]
    lossy = asked.post("/api/export", json={"format": "yolo", "name": "yolo"})
    assert (lossy.status_code, lossy.json()["kind"]) == (422, "LossyFormatError")
    for name in ("../out", "/tmp/out", ".", "", "a/b"):
        assert asked.post("/api/export", json={"format": "coco", "name": name}).status_code == 422, name
    written = asked.post("/api/export", json={"format": "coco", "name": "coco"}).json()
    assert (written["images"], written["instances"]) == (2, 8)
    assert '"by":"Ada Ł"' in (folder / "work" / "journal.jsonl").read_text(encoding="utf-8")


def test_images_without_labels_are_opened(folder: Path) -> None:
    (folder / "labels.json").unlink()
    space = Workspace(Source(folder, classes=("bolt",)), folder / "work")
    assert [item.ref.name for item in space.items] == ["a.png", "b.png"]
    assert made(space, Draw(how="new", points=SQUARE)).names == ["bolt"]
    with pytest.raises(DataError):
        open_sets(folder / "nothing")


def test_an_image_that_has_gone_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = client(opened(folder), monkeypatch, folder)
    (folder / "b.png").unlink()
    assert "b.png" in asked.get("/api/images/1/tiles/0/0/0").json()["message"]
    assert asked.get("/api/images/1/objects").status_code == 200  # the labels can still be worked on


def test_without_its_page_the_studio_says_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(routes.resources, "files", lambda package: tmp_path)
    with pytest.raises(ConfigError, match="npm ci && npm run build"):
        routes.static_folder()
