"""What most annotators of an image agree on."""

import numpy as np

from apiece import Instances, Masks
from apiece.datasets._annotators import agreed


def drawn(*rows: tuple[int, list[int], int]) -> Instances:
    """Boxes by (annotator, box, class)."""
    people, boxes, labels = zip(*rows, strict=True)
    masks = Masks.from_boxes(list(boxes), (40, 60))
    return Instances(masks, labels, ("nut", "bolt"), attributes={"annotator": np.array(people)})


def test_of_two_people_both_have_to_agree() -> None:
    both = drawn((1, [0, 0, 10, 10], 0), (2, [1, 0, 11, 10], 0), (1, [20, 0, 30, 10], 0), (2, [40, 0, 50, 10], 0))
    assert agreed(both, 2).boxes.tolist() == [[0, 0, 10, 10]]
    # another class is another object
    assert len(agreed(drawn((1, [0, 0, 10, 10], 0), (2, [0, 0, 10, 10], 1)), 2)) == 0


def test_of_three_people_two_do_and_the_middle_mask_stays() -> None:
    three = drawn(
        (1, [0, 0, 10, 10], 0), (2, [1, 0, 11, 10], 0), (3, [2, 0, 12, 10], 0),
        (1, [20, 0, 30, 10], 1), (3, [20, 0, 30, 9], 1), (2, [40, 20, 50, 30], 0),
    )  # fmt: skip
    found = agreed(three, 3)
    assert found.boxes.tolist() == [[1, 0, 11, 10], [20, 0, 30, 10]]
    assert found.names == ["nut", "bolt"]


def test_neighbours_of_one_person_are_not_joined() -> None:
    touching = drawn((1, [0, 0, 10, 10], 0), (1, [10, 0, 20, 10], 0), (2, [0, 0, 10, 10], 0), (2, [10, 0, 20, 10], 0))
    assert len(agreed(touching, 2)) == 2


def test_images_of_one_person_stay_as_they_are() -> None:
    one = drawn((1, [0, 0, 10, 10], 0), (1, [20, 0, 30, 10], 0))
    assert agreed(one, 1) is one
