"""Repairs: what is said is done, nothing else changes, nothing is written over."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.check.faulty_labels import HEIGHT, WIDTH, clean_set, faulty_set

from apiece import Instances, Masks, formats
from apiece.check import Finding, OpenLabels, Place, Report, check, kinds, open_labels
from apiece.check._engine.fix import CHANGES, fix
from apiece.core.image import ImageRef
from apiece.errors import ConfigError, LossyFormatError
from apiece.images import write_image


def report_of(*findings: Finding) -> Report:
    return Report(findings, kinds(), {"train": 1}, {"train": 1})


def write(tmp_path: Path, instances: Instances, format: str = "coco", name: str = "a.json") -> Path:
    ref = ImageRef(tmp_path / "a.png", "a.png", instances.size, 1 if format == "coco" else None)
    formats.write([(ref, instances)], tmp_path / name, format)
    return tmp_path / name


def test_the_faults_that_can_be_repaired_are_gone_and_the_rest_is_as_it_was(tmp_path: Path) -> None:
    path = faulty_set(tmp_path / "data")
    before = path.read_bytes()
    source = open_labels(path)
    found = check({"train": source}, only=["file", "overlaps"])
    made = fix({"train": source}, found, tmp_path / "out")
    assert path.read_bytes() == before
    assert made.files == {"train": tmp_path / "out" / "train.json"}
    again = open_labels(made.files["train"], path.parent / "images")
    after = check({"train": again}, only=["file", "overlaps"]).counts
    repaired = {"duplicate": 1, "stated_area": 1, "stated_box": 1, "empty_mask": 1, "refused": 3, "duplicate_id": 1}
    assert after == {k: n for k, m in found.counts.items() if (n := m - repaired.get(k, 0))}
    said = [(c.ids, c.done) for c in made.changes if c.image is not None]
    assert said == [
        ((3, 4), "area and box computed from the mask"),
        ((2,), "left out"),
        ((6,), "left out"),
    ]
    assert [c.kinds for c in made.changes if c.image is None] == [("refused",)] * 3
    original, copy = ({r.id: (r, i) for r, i in s.labels} for s in (source, again))
    for number, (ref, instances) in original.items():
        theirs = copy[number][1]
        assert copy[number][0].name == ref.name
        kept = instances[np.isin(instances.ids, theirs.ids)]
        assert set(instances.ids.tolist()) - set(theirs.ids.tolist()) <= {2, 6}
        assert kept.masks == theirs.masks
        assert kept.labels.tolist() == theirs.labels.tolist()
    categories = [json.loads(p.read_text())["categories"] for p in (path, made.files["train"])]
    assert categories[0] == categories[1]


def test_the_list_beside_the_labels_says_what_was_done(tmp_path: Path) -> None:
    source = open_labels(faulty_set(tmp_path / "data"))
    made = fix({"train": source}, check({"train": source}, only=["file"]), tmp_path / "out")
    listed = json.loads((tmp_path / "out" / CHANGES).read_text())
    assert listed["files"] == {"train": "train.json"}
    assert [c["done"] for c in listed["changes"]] == [c.done for c in made.changes]
    assert any("no category with id 77" in c["done"] for c in listed["changes"])


def test_dust_goes_and_the_object_stays(tmp_path: Path) -> None:
    stack = np.zeros((2, HEIGHT, WIDTH), bool)
    stack[0, 10:30, 10:30] = True
    stack[0, 40, 40:44] = True  # four pixels: dust
    stack[0, 50, 50:55] = True  # five are not
    stack[1, 5, 5] = stack[1, 8, 8] = True  # nothing but dust: it stays
    area = np.array([429, 2], np.int64)
    instances = Instances(Masks.from_dense(stack), ids=[1, 2], attributes={"area": area, "note": np.array(["a", "b"])})
    source = open_labels(write(tmp_path, instances))
    where = [Place("train", "a.png", 0, (i,)) for i in (0, 1)]
    made = fix(
        {"train": source}, report_of(*(Finding("dust", "", 1.0, p, repair="dust") for p in where)), tmp_path / "out"
    )
    ((_, found),) = formats.read(made.files["train"])
    stack[0, 40] = False
    assert found.masks == Masks.from_dense(stack)
    assert "area" not in found.attributes  # it was that of the mask, and still is
    assert found.attributes["note"].tolist() == ["a", "b"]
    assert [(c.ids, c.done) for c in made.changes] == [((1,), "4 pixels of dust taken off the mask")]


def test_of_a_pair_the_first_goes_and_of_three_copies_one_stays(tmp_path: Path) -> None:
    masks = Masks.from_boxes([[0, 0, 20, 20]] * 3 + [[40, 40, 60, 60]], (HEIGHT, WIDTH))
    source = open_labels(write(tmp_path, Instances(masks, ids=[5, 6, 7, 8])))
    report = check({"train": source}, images=False, only=["overlaps"])
    assert report.counts == {"duplicate": 3}
    made = fix({"train": source}, report, tmp_path / "out")
    ((_, found),) = formats.read(made.files["train"])
    assert found.ids is not None
    assert found.ids.tolist() == [5, 8]


def test_a_finding_without_an_image_repairs_every_one(tmp_path: Path) -> None:
    path = clean_set(tmp_path / "data", images=8)
    said = json.loads(path.read_text())
    for entry in said["annotations"]:
        entry["area"] = 4 * entry["area"]
    path.write_text(json.dumps(said))
    source = open_labels(path)
    made = fix({"train": source}, check({"train": source}, images=False, only=["file"]), tmp_path / "out")
    assert {c.image for c in made.changes} == {f"{i}.png" for i in range(8)}
    assert check({"train": made.files["train"]}, images=False, only=["file"]).counts == {}


@pytest.mark.parametrize("format", ["labelmap", "mask_files", "labelme", "rle_csv"])
def test_the_copy_has_the_format_that_was_read(tmp_path: Path, format: str) -> None:
    masks = Masks.from_boxes([[0, 0, 20, 20], [40, 40, 60, 60]], (HEIGHT, WIDTH))
    ids = None if format == "rle_csv" else np.array([1, 2])
    name = "a.csv" if format == "rle_csv" else "labels"
    path = write(tmp_path, Instances(masks, ids=ids), format, name)
    write_image(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    source = open_labels(path, tmp_path)
    index, ref = next((i, r) for i, r in enumerate(source.labels.refs) if r.name.startswith("a"))
    drop = Finding("duplicate", "", 1.0, Place("train", ref.name, index, (1, 0)), repair="drop")
    made = fix({"train": source}, report_of(drop), tmp_path / "out")
    assert made.files["train"] == tmp_path / "out" / name
    assert formats.detect(made.files["train"]) == format
    ((_, found),) = formats.read(made.files["train"], images=tmp_path)
    assert found.masks == masks[:1]


def test_label_files_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "data" / "annotations").mkdir(parents=True)
    sources = {}
    for split in ("train", "val"):
        path = clean_set(tmp_path / "data", split, 1)
        sources[split] = open_labels(path.rename(path.parent / "annotations" / path.name))
    made = fix(sources, check(sources, images=False), tmp_path / "out", root=tmp_path / "data")
    assert made.files["val"] == tmp_path / "out" / "annotations" / "val.json"
    assert made.changes == ()


def test_an_image_without_labels_to_be_had_is_left_out_and_told(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.zeros((HEIGHT, WIDTH), np.uint8))
    shape = {"name": "polygon", "all_points_x": [1, 20, 20], "all_points_y": [1, 1, 20]}
    regions = [{"shape_attributes": shape, "region_attributes": {"name": "nut"}}]
    said = {n: {"filename": n, "size": 1, "regions": regions, "file_attributes": {}} for n in ("a.png", "gone.png")}
    (tmp_path / "via.json").write_text(json.dumps(said))
    sources = {"train": open_labels(tmp_path / "via.json")}
    made = fix(sources, check(sources, only=["file"]), tmp_path / "out")
    (change,) = made.changes
    assert change.image == "gone.png"
    assert change.done.startswith("left out with its labels: ")
    ((ref, found),) = formats.read(made.files["train"], images=tmp_path)
    assert ref.name == "a.png"
    assert found == sources["train"].labels[0][1]


def test_label_files_of_one_name_stay_two(tmp_path: Path) -> None:
    sources = {}
    for split, count in (("train", 1), ("val", 2)):
        (tmp_path / split).mkdir()
        masks = Masks.from_boxes([[0, 0, 20, 20]] * count, (HEIGHT, WIDTH))
        sources[split] = open_labels(write(tmp_path / split, Instances(masks, ids=range(1, count + 1)), name="l.json"))
    made = fix(sources, report_of(), tmp_path / "out")
    assert made.files == {split: tmp_path / "out" / split / "l.json" for split in sources}
    assert [len(open_labels(path).labels[0][1]) for path in made.files.values()] == [1, 2]
    listed = json.loads((tmp_path / "out" / CHANGES).read_text())
    assert listed["files"] == {"train": "train/l.json", "val": "val/l.json"}


@pytest.mark.parametrize("there", [False, True])
def test_a_copy_is_whole_or_not_there(tmp_path: Path, there: bool) -> None:
    if there:
        (tmp_path / "out").mkdir()
    twice = Instances(Masks.from_boxes([[0, 0, 20, 20]] * 2, (HEIGHT, WIDTH)), ids=[1, 2])
    good = open_labels(write(tmp_path, twice))
    bad = OpenLabels(good.labels, path=tmp_path / "maps", format="labelmap")  # cannot hold overlap
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LossyFormatError) as caught:
        fix({"train": good, "val": bad}, report_of(), tmp_path / "out")
    assert caught.value.path.is_relative_to(tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before
    assert not there or not list((tmp_path / "out").iterdir())
    assert fix({"train": good}, report_of(), tmp_path / "out").files["train"].is_file()


def test_nothing_is_written_over_or_into_the_labels(tmp_path: Path) -> None:
    path = clean_set(tmp_path / "data")
    source, report = open_labels(path), report_of()
    with pytest.raises(ConfigError, match="is there already"):
        fix({"train": source}, report, tmp_path / "data")
    masks = Instances(Masks.from_boxes([[0, 0, 20, 20]], (HEIGHT, WIDTH)), ids=[1])
    folder = open_labels(write(tmp_path, masks, "labelmap", "maps"))
    with pytest.raises(ConfigError, match="lies within the labels"):
        fix({"train": folder}, report, tmp_path / "maps" / "out")
    assert not (tmp_path / "maps" / "out").exists()
