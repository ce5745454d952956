"""What there is of each class, on small sets drawn up by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apiece.check.balance import CHECK
from apiece.check.contract import Finding, Labelled, SetFacts, Settings
from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks

CLASSES = ("bolt", "nut", "washer")


def image(labels: list[int], crowd: list[int] | None = None) -> Instances:
    """An image with one pixel for each label."""
    boxes = np.array([[i, 0, i + 1, 1] for i in range(len(labels))], np.float64).reshape(-1, 4)
    flags = np.isin(np.arange(len(labels)), crowd or [])
    return Instances(Masks.from_boxes(boxes, (4, 2000)), np.array(labels, np.int64), CLASSES, crowd=flags)


def check(few: int = 3, **splits: list[Instances]) -> list[Finding]:
    settings, kept = Settings(few=few), []
    refs = {name: tuple(ImageRef(Path("x"), f"{name}{i}") for i in range(len(s))) for name, s in splits.items()}
    for name, images in splits.items():
        kept += [CHECK.remember(Labelled(name, i, refs[name][i], own), settings) for i, own in enumerate(images)]
    return list(CHECK.conclude(kept, SetFacts(CLASSES, refs, {}), settings))


def test_a_sound_set_has_no_finding() -> None:
    assert check(train=[image([0, 1, 2]), image([0, 1, 2])], val=[image([2, 1, 0])]) == []
    assert list(CHECK.conclude([], SetFacts(CLASSES, {}, {}), Settings())) == []


def test_few_instances_crowds_not_counted() -> None:
    found = check(few=3, train=[image([0, 0, 0, 1, 1, 1, 2], crowd=[5])], val=[image([0, 1])])
    few = [f for f in found if f.kind == "few_instances"]
    assert [f.message for f in few] == ["washer: 1 instance in the whole set"]
    assert few[0].sure == pytest.approx(2 / 3)
    assert few[0].place.image is None
    never = check(few=1, train=[image([0, 1])], val=[image([0, 1])])
    assert [f.message for f in never] == ["washer: 0 instances in the whole set"]
    assert never[0].sure == 1
    assert check(few=0, train=[image([0, 1])], val=[image([0, 1])]) == []


def test_a_class_in_one_split_only() -> None:
    found = check(few=0, train=[image([0] * 9 + [1] * 9)], val=[image([0, 2, 2])])
    assert [f.kind for f in found] == ["one_split", "one_split"]
    assert (
        found[0].message
        == "nut: all 9 instances are in train, none in val; a model can learn it, but not be judged on it"
    )
    assert found[1].message == "washer: all 2 instances are in val, none in train; a model never learns it"
    # two that lie in the small split by chance are less likely than nine in the large one
    assert found[1].sure > found[0].sure
    assert found[0].sure == pytest.approx(1 - (18 / 21) ** 9)
    # with one split there is nothing to compare
    assert check(few=0, train=[image([0, 1])]) == []


def test_outnumbered() -> None:
    (found,) = check(few=1, train=[image([0] * 202 + [1] * 4 + [2] * 5)])
    assert found.kind == "imbalance"
    assert "bolt has 202 instances, 50 times as many as the rarest: nut 4" in found.message
    assert "washer" not in found.message
    assert check(few=1, train=[image([0] * 200 + [1] * 4 + [2] * 5)]) == []


def test_unlabelled_images() -> None:
    found = check(few=0, train=[image([0, 1, 2])] * 9 + [image([])], val=[image([0, 1, 2]), image([])])
    assert [(f.kind, f.place.image) for f in found] == [("unlabelled_image", "train9"), ("unlabelled_image", "val1")]
    assert [f.sure for f in found] == [0.9, 0.5]
    assert found[0].message == "no instance on it, like 1 of 10 images in train"
    # a crowd is a label
    assert check(few=0, train=[image([0, 1, 2]), image([0], crowd=[0])]) == []
