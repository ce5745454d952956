from __future__ import annotations

import pickle

import numpy as np
import pytest

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import InvalidInstancesError, UnknownNameError

MASKS = Masks.from_label_map(np.array([[1, 1, 0], [0, 2, 2], [3, 0, 0]]))


def three(**fields: object) -> Instances:
    given = {
        "labels": [0, 1, 0],
        "classes": ("bolt", "nut"),
        "scores": [0.9, 0.8, 0.7],
        "ids": [10, 20, 30],
        "crowd": [False, False, True],
        "attributes": {"colour": ["red", "blue", "red"]},
    }
    return Instances(MASKS, **(given | fields))  # type: ignore[arg-type]


def test_every_field_follows_an_index() -> None:
    some = three()[[2, 0]]
    assert some.names == ["bolt", "bolt"]
    assert some.scores is not None
    assert some.scores.tolist() == [0.7, 0.9]
    assert some.ids is not None
    assert some.ids.tolist() == [30, 10]
    assert some.crowd.tolist() == [True, False]
    assert some.attributes["colour"].tolist() == ["red", "red"]
    assert some.boxes.tolist() == [[0, 2, 1, 3], [0, 0, 2, 1]]
    assert three()[three().labels == 1] == three()[1] == three()[1:2] == three().of_class("nut")


def test_one_class_needs_no_labels() -> None:
    assert Instances(MASKS).names == ["object"] * 3
    with pytest.raises(InvalidInstancesError, match="labels are needed when there are 2 classes"):
        Instances(MASKS, classes=("a", "b"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"labels": [0, 1]}, r"labels must have shape \(3,\), one per mask; got \(2,\)"),
        ({"labels": [0, 1, 2]}, "lie in 0 to 1; got 0 to 2"),
        ({"labels": [0.0, 1.0, 0.0]}, "labels must be int64, got float64"),
        ({"scores": [1, 2, float("nan")]}, r"NaN at \[2\]"),
        ({"crowd": [0, 0, 1]}, "crowd must be bool, got int64"),
        ({"classes": ("a", "a")}, "distinct names"),
        ({"classes": (1, 2)}, "distinct names"),
        ({"classes": "ab"}, "sequence of distinct names, got 'ab'"),
        ({"classes": [["a"], ["b"]]}, "distinct names"),
        ({"ids": np.array([1, 2, 2**63], np.uint64)}, "ids must fit 64 bits with a sign"),
        ({"attributes": {"colour": ["red"]}}, r"'colour' needs one entry per instance \(3\)"),
    ],
)
def test_wrong_fields_are_refused_by_name(fields: dict, message: str) -> None:
    with pytest.raises(InvalidInstancesError, match=message):
        three(**fields)


def test_masks_must_be_masks() -> None:
    with pytest.raises(InvalidInstancesError, match="got ndarray; make them with"):
        Instances(np.zeros((1, 2, 2)))  # type: ignore[arg-type]


def test_replace_and_concatenate() -> None:
    assert three().replace(scores=None).scores is None
    with pytest.raises(UnknownNameError, match="Did you mean 'labels'"):
        three().replace(label=1)
    with pytest.raises(UnknownNameError, match="Did you mean 'bolt'"):
        three().of_class("bold")
    both = Instances.concatenate([three(), three().replace(ids=None)])
    assert len(both) == 6
    assert both.ids is None
    assert both[:3].replace(ids=[10, 20, 30]) == three()
    with pytest.raises(InvalidInstancesError, match="different classes"):
        Instances.concatenate([three(), Instances(MASKS)])


def test_label_map_values_become_ids() -> None:
    found = Instances.from_label_map(np.array([[70000, 0], [5, 5]]))
    assert found.ids is not None
    assert found.ids.tolist() == [5, 70000]


def test_frozen_and_picklable() -> None:
    found = three()
    with pytest.raises(AttributeError):
        found.labels = found.labels  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        found.labels[0] = 1
    with pytest.raises(TypeError):
        found.attributes["x"] = found.labels  # type: ignore[index]
    assert pickle.loads(pickle.dumps(found)) == found  # data-loader processes
    colour = np.array([1, 2, 3])
    found = three(attributes={"colour": colour})
    colour[0] = 9
    assert found.attributes["colour"].tolist() == [1, 2, 3]


def test_empty() -> None:
    none = Instances.empty((4, 5), ("a", "b"), scored=True)
    assert len(none) == 0
    assert none.scores is not None
    assert none[[]] == none
    assert repr(three()) == "Instances(3 on 3 x 3: 2 bolt, 1 nut)"
