"""Instances that share pixels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tests.check.drawn_labels import asked, box, kinds, of

import apiece
from apiece import Instances, Masks
from apiece.check import Labelled, Settings, load
from apiece.check import check as check_labels
from apiece.core.image import ImageRef

SIZE = (40, 60)
BIG = box(SIZE, 5, 5, 25, 25)  # 400 pixels


def test_the_same_pixels_twice_and_the_later_one_goes() -> None:
    (found,) = asked("overlaps", of(BIG, BIG))
    assert (found.kind, found.sure, found.repair) == ("duplicate", 1.0, "drop")
    assert found.place.instances == (1, 0)
    assert found.place.box == (5, 5, 25, 25)


def test_nearly_the_same_pixels_are_left_to_a_person() -> None:
    other = box(SIZE, 5, 5, 25, 24)
    (found,) = asked("overlaps", of(BIG, other))
    assert (found.kind, found.repair) == ("duplicate", None)
    assert found.sure == pytest.approx(380 / 400)
    assert "IoU 0.95" in found.message
    assert kinds(asked("overlaps", of(BIG, other), settings=Settings(duplicate_iou=0.95))) == [("contained", (1, 0))]


def test_one_object_under_two_names_is_never_dropped() -> None:
    (found,) = asked("overlaps", of(BIG, BIG, labels=[0, 1], classes=("nut", "bolt")))
    assert (found.kind, found.repair) == ("two_classes", None)
    assert found.message.startswith("nut and bolt")


def test_contained_names_the_smaller_first_and_both_sizes() -> None:
    inside = box(SIZE, 15, 15, 26, 24)  # 99 pixels, 90 of them inside
    (found,) = asked("overlaps", of(BIG, inside))
    assert (found.kind, found.place.instances) == ("contained", (1, 0))
    assert found.sure == pytest.approx(90 / 99)
    assert "99 pixels" in found.message
    assert "400" in found.message
    assert asked("overlaps", of(BIG, inside, labels=[0, 1], classes=("nut", "bolt"))) == []


def test_slivers_of_neighbours_but_not_true_overlaps() -> None:
    (found,) = asked("overlaps", of(BIG, box(SIZE, 24, 5, 44, 25)))
    assert (found.kind, found.place.instances) == ("sliver", (0, 1))
    assert "share 20 pixels, 5.0%" in found.message
    assert asked("overlaps", of(BIG, box(SIZE, 15, 5, 35, 25))) == []
    assert asked("overlaps", of(BIG, box(SIZE, 25, 5, 45, 25))) == []


def test_a_crowd_may_lie_over_everything() -> None:
    crowd = np.array([False, True])
    assert asked("overlaps", of(BIG, BIG, crowd=crowd)) == []


def test_three_of_one_are_three_pairs() -> None:
    assert kinds(asked("overlaps", of(BIG, BIG, BIG))) == [
        ("duplicate", (1, 0)),
        ("duplicate", (2, 0)),
        ("duplicate", (2, 1)),
    ]


def test_of_two_objects_one_lies_in_front() -> None:
    left, right = box(SIZE, 5, 5, 35, 25), box(SIZE, 15, 5, 45, 25)  # 600 pixels each, 400 shared
    masks = Masks.from_dense(np.stack([left, right]))
    below = Masks.from_dense(np.stack([left & ~right, right]))  # the right one in front
    assert asked("overlaps", Instances(below, full=masks)) == []
    upper = np.arange(SIZE[0])[:, None] < 15
    woven = Masks.from_dense(np.stack([left & (~right | upper), right & (~left | ~upper)]))
    (found,) = asked("overlaps", Instances(woven, full=masks))
    assert (found.kind, found.place.instances) == ("crossed", (0, 1))
    assert "each of two objects hides 200 or more pixels of the other, 33% of the smaller" in found.message


def test_ground_of_two_classes_and_a_class_in_two_pieces() -> None:
    sky, sea = box(SIZE, 0, 0, 60, 21), box(SIZE, 0, 20, 30, 40)
    more_sea, boat = box(SIZE, 30, 22, 60, 40), box(SIZE, 10, 15, 20, 30)
    drawn = of(sky, sea, more_sea, boat, labels=[0, 1, 1, 2], classes=("sky", "sea", "boat"))
    check = load("overlaps")
    assert check.look is not None
    ref = ImageRef(Path("a.png"), "a.png", SIZE)
    overlap, segments = check.look(Labelled("train", 0, ref, drawn, stuff=("sky", "sea")), Settings())
    assert (overlap.kind, overlap.place.instances) == ("stuff_overlap", (0, 1))
    assert "sky and sea: both regions hold the same 30 pixels" in overlap.message
    assert (segments.kind, segments.place.instances) == ("stuff_segments", (1, 2))
    assert not list(check.look(Labelled("train", 0, ref, drawn), Settings()))


def test_the_label_file_says_what_is_stuff(tmp_path: Path) -> None:
    drawn = of(box(SIZE, 0, 0, 60, 21), box(SIZE, 0, 20, 60, 40), labels=[0, 1], classes=("sky", "sea"))
    path = tmp_path / "labels.json"
    apiece.write([(ImageRef(Path("a.png"), "a.png", SIZE), drawn)], path, format="coco", classes=drawn.classes)
    said = json.loads(path.read_text())
    for name, kind in ((1, []), (0, ["stuff_overlap"])):
        for row in said["categories"]:
            row["isthing"] = name
        path.write_text(json.dumps(said))
        report = check_labels({"train": apiece.read(path)}, images=False, only=["overlaps"])
        assert [f.kind for f in report.findings if f.kind.startswith("stuff")] == kind
