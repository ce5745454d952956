"""What each object of an image is called, by hand."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.metrics._engine.picture_marks import MARKS, marks


def boxes(*places: tuple[int, int, int, int], labels: list[int] | None = None) -> Instances:
    masks = Masks.from_boxes(np.array(places, float).reshape(-1, 4), (40, 40))
    return Instances(masks, labels or [0] * len(places), ("a", "b"))


def test_every_mark() -> None:
    truth = boxes(
        (0, 0, 8, 8),  # found, and once more
        (10, 0, 18, 8),  # missed
        (20, 0, 28, 8),  # loose
        (0, 10, 8, 18), (8, 10, 16, 18), (16, 10, 24, 18),  # merged
        (0, 20, 16, 28),  # split
        (20, 20, 28, 28),  # of class a, found as b
    )  # fmt: skip
    found = boxes(
        (0, 0, 8, 8), (0, 0, 8, 7), (24, 0, 32, 8), (0, 10, 24, 18), (0, 20, 6, 28), (9, 20, 16, 28), (20, 20, 28, 28),
        (30, 30, 38, 38),
        labels=[0, 0, 0, 0, 0, 0, 1, 0],
    )  # fmt: skip
    scored = found.replace(scores=np.linspace(0.9, 0.1, 8))
    of_truth, of_found = marks(truth, scored)
    assert of_truth == ["found", "missed", "loose", "merged", "merged", "merged", "split", "class"]
    assert of_found == ["found", "double", "loose", "merged", "split", "split", "class", "false"]
    assert {*of_truth, *of_found} == set(MARKS)
    assert marks(truth, found) == (of_truth, of_found)


def test_crowds_and_empty_sides() -> None:
    crowd = boxes((0, 0, 20, 20)).replace(crowd=[True])
    assert marks(crowd, boxes((2, 2, 8, 8))) == (["found"], ["found"])
    nothing = boxes()
    assert marks(nothing, nothing) == ([], [])
    assert marks(nothing, boxes((2, 2, 8, 8))) == ([], ["false"])
    assert marks(boxes((2, 2, 8, 8)), nothing) == (["missed"], [])
