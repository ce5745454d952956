"""The studio's review: findings are repaired, accepted or dismissed, and what was dismissed stays dismissed."""

from __future__ import annotations

import csv
import io
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

import apiece
from apiece import ImageRef, Instances, Masks
from apiece.errors import ConfigError
from apiece.images import write_image
from apiece.monitor import Profile, profile
from apiece.serve import Guard, studio_app
from apiece.serve.studio import routes
from apiece.serve.studio.compared import compared, in_classes_of
from apiece.serve.studio.edits import Delete, compute
from apiece.serve.studio.review import Review, repairable
from apiece.serve.studio.sets import Source
from apiece.serve.studio.workspace import Workspace

SIZE = (40, 50)


def faulty(shift: int = 0) -> Instances:
    """A label that stands twice, one with a speck of dust, and one that is right."""
    stack = np.zeros((4, *SIZE), bool)
    stack[0, 2:12, 2:12] = True
    stack[1] = stack[0]
    stack[2, 20:30, 5:15] = True
    stack[2, 36, 45] = True
    stack[3, 20:32, 25 + shift : 40] = True
    return Instances(Masks.from_dense(stack), [0, 0, 1, 1], ("bolt", "nut"), ids=[1, 2, 3, 4])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)
    write_image(tmp_path / "a.png", pixels)
    write_image(tmp_path / "b.png", pixels[:, ::-1] // 2)
    written(tmp_path, faulty())
    return tmp_path


def written(folder: Path, first: Instances) -> None:
    images = {"a.png": first, "b.png": faulty()[np.array([3])]}
    records = [(ImageRef(folder / name, name, SIZE), found) for name, found in images.items()]
    (folder / "labels.json").unlink(missing_ok=True)
    apiece.write(records, folder / "labels.json", format="coco")


class Finder:
    """What the workspace asks of a model, with the answer given."""

    thresholds = (0.5, 0.5)

    def __init__(self, found: Instances) -> None:
        self.found, self.classes = found, found.classes

    def predict(self, image: object, conf: float) -> Instances:
        return self.found


def checked(folder: Path, model: object = None) -> tuple[Workspace, Review]:
    space = Workspace(Source(folder / "labels.json"), folder / "work", model)  # type: ignore[arg-type]
    review = Review(space)
    review.begin()
    waited(review)
    return space, review


def waited(review: Review) -> None:
    for _ in range(600):
        if review.state != "running":
            break
        time.sleep(0.05)
    assert review.state == "done", review.told


def of_kind(review: Review, kind: str) -> str:
    return next(id for id, one in review.found.items() if one.finding.kind == kind)


def test_a_safe_repair_is_a_change_that_can_be_undone(folder: Path) -> None:
    space, review = checked(folder)
    review.repair(of_kind(review, "duplicate"), "Ada")
    assert len(space.sheet(0)[0].keys) == 3
    review.repair(of_kind(review, "dust"), "Ada")
    assert space.sheet(0)[0].instances.masks.area.tolist()[-2:] == [100, 180]
    assert [entry["what"] for entry in review.said.values()] == ["repair", "repair"]
    space.step(0, space.revision(0), "", back=True)
    space.step(0, space.revision(0), "", back=True)
    assert space.sheet(0)[0].instances.masks == faulty().masks


def test_what_was_dismissed_stays_dismissed(folder: Path) -> None:
    space, review = checked(folder)
    dust, duplicate = of_kind(review, "dust"), of_kind(review, "duplicate")
    with pytest.raises(ConfigError, match="say why"):
        review.decide(dust, "dismiss", "  ", "")
    review.decide(dust, "dismiss", "it is a splinter", "Ada")
    space.change(0, 0, "", lambda sheet: compute(sheet, Delete(keys=[0])))  # positions move, keys stay
    review.begin()
    waited(review)
    assert dust in review.found
    assert duplicate not in review.found
    space.journal.close()
    written(folder, Instances.concatenate([faulty()[np.array([3])], faulty()[np.array([0, 1, 2])]]))  # another order
    _, again = checked(folder)
    assert of_kind(again, "dust") == dust
    assert again.said[dust]["reason"] == "it is a splinter"


def test_a_finding_whose_object_has_gone_is_not_repaired(folder: Path) -> None:
    space, review = checked(folder)
    space.change(0, 0, "", lambda sheet: compute(sheet, Delete(keys=[2])))
    with pytest.raises(Exception, match="has gone since the check"):
        review.repair(of_kind(review, "dust"), "")


def test_labels_that_a_model_contradicts_are_findings(folder: Path) -> None:
    right = faulty(shift=2)[np.array([0, 2, 3])].replace(ids=None)
    written(folder, faulty()[np.array([0, 2])])
    seen = right.replace(scores=np.array([0.9, 0.9, 0.9]))
    space, review = checked(folder, Finder(seen))
    missing = review.found[of_kind(review, "missing_label")]
    assert repairable(missing) == "model"
    review.repair(missing.id, "")
    after = space.sheet(missing.number or 0)[0].instances
    assert (after.names[-1], int(after.masks.area[-1])) == ("nut", int(right.masks.area[2]))


def test_predictions_without_classes_take_them_from_labels() -> None:
    labels = faulty()[np.array([0, 3])]
    found = Instances(Masks.concatenate([labels.masks, faulty().masks[2]]), classes=("object",), scores=[0.9, 0.8, 0.7])
    assert in_classes_of(found, labels).names == ["bolt", "nut", "bolt"]
    told = compared(labels, found, 0.75)
    assert told.labels == ["found", "found"]
    assert told.predictions == ["found", "found", ""]
    assert told.right.tolist() == [True, True, False]


def test_images_on_which_a_model_is_unsure_are_findings_that_stay_dismissed(folder: Path) -> None:
    seen = faulty()[np.array([0, 2, 3])].replace(ids=None, scores=np.array([0.95, 0.45, 0.6]))
    space, review = checked(folder, Finder(seen))
    unsure = [one for one in review.found.values() if one.queue == "unsure"]
    assert [one.number for one in unsure] == [0, 1]
    assert "0.9 of 3 decisions" in unsure[0].finding.message  # 0.05 + 0.45 + 0.4
    assert "nut 0.45" in unsure[0].finding.message
    assert unsure[0].predicted is not None
    assert unsure[0].predicted.masks == seen.masks[1:]
    assert repairable(unsure[0]) == ""
    review.decide(unsure[0].id, "dismiss", "labelled", "Ada")
    space.model = Finder(seen.replace(scores=np.array([0.5, 0.5, 0.5])))  # type: ignore[assignment]
    space._found.clear()
    review.begin()
    waited(review)
    assert review.said[next(one.id for one in review.found.values() if one.queue == "unsure")]["reason"] == "labelled"


def test_images_that_are_unlike_the_baseline_are_findings(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    found = faulty()[np.array([2, 3])].replace(ids=None, scores=np.array([0.9, 0.9]))

    def ordinary() -> apiece.Image:
        return apiece.Image(rng.integers(90, 120, (*SIZE, 3), np.uint8))

    good = profile(((f"{n}", ordinary(), found) for n in range(60)), found.classes, conf=(0.5, 0.5))
    for n in range(9):
        write_image(tmp_path / f"{n}.png", ordinary().pixels if n != 4 else rng.integers(0, 255, (*SIZE, 3), np.uint8))
    records = [(ImageRef(tmp_path / f"{n}.png", f"{n}.png", SIZE), found.replace(scores=None)) for n in range(9)]
    apiece.write(records, tmp_path / "labels.json", format="coco")
    space = Workspace(Source(tmp_path / "labels.json"), tmp_path / "work", Finder(found))  # type: ignore[arg-type]
    review = Review(space, good)
    review.begin()
    waited(review)
    unlike = [one for one in review.found.values() if one.queue == "unlike"]
    assert unlike[0].number == 4
    assert "as unlike the others" in unlike[0].finding.message
    space.journal.close()
    few = Review(Workspace(Source(tmp_path / "labels.json"), tmp_path / "work", Finder(found)), good_of(good, 3))  # type: ignore[arg-type]
    few.begin()
    waited(few)
    assert "too few" in few.told
    assert not any(one.queue == "unlike" for one in few.found.values())


def good_of(whole: Profile, count: int) -> Profile:
    return replace(
        whole,
        names=whole.names[:count],
        values=whole.values[:count],
        counts=whole.counts[:count],
        unsure=whole.unsure[:count],
    )


def test_objects_that_are_new_in_a_changed_file_keep_their_keys_from_then_on(folder: Path) -> None:
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    space.change(0, 0, "", lambda sheet: compute(sheet, Delete(keys=[0])))
    space.journal.close()
    extra = Instances(Masks.from_boxes([[30, 2, 36, 8]], SIZE), [0], ("bolt", "nut"), ids=[9])
    written(folder, Instances.concatenate([extra, faulty()]))
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    (new,) = set(space.sheet(0)[0].keys.tolist()) - {0, 1, 2, 3}
    space.change(0, 1, "", lambda sheet: compute(sheet, Delete(keys=[new])))
    space.journal.close()
    again = Workspace(Source(folder / "labels.json"), folder / "work")
    assert again.sheet(0)[0].keys.tolist() == [1, 2, 3]


def test_labels_that_change_while_the_studio_runs_are_read_again(folder: Path) -> None:
    space = Workspace(Source(folder / "labels.json"), folder / "work")
    space.change(0, 0, "", lambda sheet: compute(sheet, Delete(keys=[0])))
    written(folder, faulty()[np.array([0, 1, 2])])
    space._looked -= 10
    space.refresh()
    assert "were read again" in space.notice
    assert space.sheet(0)[0].keys.tolist() == [1, 2]
    (folder / "labels.json").write_text("{")
    space._looked -= 10
    space.refresh()
    assert "cannot be read" in space.notice
    assert space.sheet(0)[0].keys.tolist() == [1, 2]


def test_the_routes_of_the_review(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "page").mkdir()
    (folder / "page" / "index.html").write_text("<!doctype html>")
    monkeypatch.setattr(routes, "static_folder", lambda: folder / "page")
    (folder / "rules.yaml").write_text("rules:\n  - count: nut\n    max: 1\n")
    space = Workspace(Source(folder / "labels.json"), folder / "work", rules=folder / "rules.yaml")
    asked = TestClient(studio_app(space, Guard(), "a set"), base_url="http://127.0.0.1:8000")
    assert asked.get("/api/review").json()["state"] == "running"
    waited(asked.app.state.review)  # type: ignore[attr-defined]
    told = asked.get("/api/review").json()
    dust = next(f for f in told["findings"] if f["kind"] == "dust")
    assert (dust["image"], dust["keys"], dust["repair"], dust["said"]) == (0, [2], "repair", None)
    assert dust["queue"] == "labels"
    name = {"x-by": "%3DAda"}
    assert asked.post(f"/api/review/{dust['id']}", json={"what": "dismiss"}, headers=name).status_code == 422
    assert asked.post("/api/review/nothing", json={"what": "accept"}).status_code == 404
    said = asked.post(f"/api/review/{dust['id']}", json={"what": "dismiss", "reason": "so"}, headers=name).json()
    assert (said["what"], said["by"]) == ("dismiss", "=Ada")
    assert asked.post(f"/api/review/{dust['id']}", json={"what": "reopen"}).status_code == 200
    told = asked.get("/api/review").json()
    assert all(f["said"] is None for f in told["findings"])
    lines = asked.get("/api/report").json()["lines"]
    assert [line["reason"] for line in lines] == ["", "so"]
    rows = list(csv.DictReader(io.StringIO(asked.get("/api/report.csv").text)))
    assert rows[0]["by"] == "'=Ada"  # no formula in a spreadsheet
    judged = asked.get("/api/images/0/judged").json()
    assert (judged["outcome"], judged["rules"][0]["findings"][0]["keys"]) == ("fail", [2, 3])
    measured = asked.get("/api/images/0/measured").json()
    area = next(column for column in measured["columns"] if column["name"] == "area")
    assert (measured["keys"], area["values"], area["unit"]) == ([0, 1, 2, 3], [100, 100, 101, 180], "px2")
