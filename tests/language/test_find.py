"""`find` against sentences that were made with their answers, and what it says where it cannot answer."""

# ruff: noqa: E501 (a case stands on one line)

from __future__ import annotations

import numpy as np
import pytest

from apiece import Image, Instances, Masks
from apiece.errors import PromptError, UnknownNameError
from apiece.language import describe_scene, find

from .scenes import Said, Scene, Truth, scene, sentences


def made(scenes: int, each: int, seed: int) -> list[tuple[Scene, Said]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(scenes):
        one = scene(rng)
        said = sentences(Truth(one), rng)
        found += [(one, said[k]) for k in rng.permutation(len(said))[:each]]
    return found


def test_four_hundred_sentences_over_a_hundred_scenes() -> None:
    wrong = []
    statuses = {"found": 0, "none": 0, "ambiguous": 0}
    for one, said in made(100, 4, 0):
        answer = find(one.instances, said.text, one.image)
        statuses[answer.status] += 1
        right = answer.status == said.status and (said.status != "found" or set(answer.index.tolist()) == said.objects)
        if not right and not (said.close and answer.status in ("ambiguous", "found")):
            wrong.append((said, answer.status, answer.index.tolist(), answer.text))
    assert not wrong, f"{len(wrong)} of 400 wrong, such as {wrong[:5]}"
    assert min(statuses.values()) > 20  # every kind of answer was asked for
    assert statuses["found"] > 200


@pytest.mark.slow
def test_every_sentence_of_many_more_scenes() -> None:
    for one, said in made(300, 100, 1):
        answer = find(one.instances, said.text, one.image)
        if not said.close:
            assert answer.status == said.status, (said, answer.text)
            assert said.status != "found" or set(answer.index.tolist()) == said.objects, (said, answer.text)


DOORS = Instances(
    Masks.from_boxes([[2, 20, 12, 50], [30, 20, 40, 50], [60, 20, 70, 50], [32, 26, 38, 32], [80, 5, 110, 60], [85, 10, 90, 20]], (80, 120)),
    [0, 0, 0, 1, 2, 1],
    ("door", "window", "traffic_light"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "status", "index", "text"),
    [
        ("third door from the left", "found", [2], "1 door"),
        ("3rd door from left", "found", [2], "1 door"),
        ("the second last door", "found", [1], "1 door"),
        ("middle door", "found", [1], "1 door"),
        ("the left door", "found", [0], "1 door"),
        ("doors on the left", "found", [0, 1], "2 doors"),
        ("doors on the left side of the picture", "found", [0, 1], "2 doors"),
        ("first two doors from the right", "found", [1, 2], "2 doors"),
        ("doors between the first door and the traffic light", "found", [1, 2], "2 doors"),
        ("the door between the first door and the traffic light", "ambiguous", [1, 2], "2 doors; say which"),
        ("what is between the two doors", "error", [], "'what' is not understood"),
        ("objects between the two doors", "ambiguous", [0, 1, 2], "3 doors, not 2"),
        ("two of the doors", "ambiguous", [0, 1, 2], "3 doors, not 2"),
        ("the two largest of the doors and windows", "ambiguous", [0, 1, 2], "3 doors are equally large"),
        ("the largest door", "ambiguous", [0, 1, 2], "3 doors are equally large"),
        ("all but the largest door", "ambiguous", [0, 1, 2], "3 doors are equally large"),
        ("fifth door from the left", "none", [], "there are only 3 doors"),
        ("middle window", "ambiguous", [3, 5], "2 windows have no middle one"),
        ("window in the second door", "found", [3], "1 window"),
        ("the smallest of the windows", "found", [3], "1 window"),
        ("the tallest object", "found", [4], "1 traffic_light"),
        ("traffic lights", "found", [4], "1 traffic_light"),
        ("doors and windows in a traffic light", "found", [0, 1, 2, 5], "4 objects"),
        ("windows but not red", "error", [], "ends where the name of an object should follow"),
        ("door", "ambiguous", [0, 1, 2], "3 doors; say which"),
        ("a door", "found", [0, 1, 2], "3 doors"),
        ("five doors", "none", [0, 1, 2], "3 doors, not 5"),
        ("the dor", "error", [], "'dor' is not understood after 'the'. Did you mean 'door'?"),
        ("the cat on the door", "error", [], "'cat' is not understood after 'the'; a question is English, such as 'the largest door', about door, window, traffic"),
        ("door left of", "error", [], "ends where the name of an object should follow"),
        ("", "error", [], "there is no question"),
        ("the nearest door", "error", [], "nearest to what?"),
        ("the red door", "error", [], "colours need the picture"),
        ("door from the inside", "error", [], "'inside' may not stand after 'door from the'"),
        ("all but the doors", "found", [3, 4, 5], "3 objects"),
        ("all but the traffic light", "found", [0, 1, 2, 3, 5], "5 objects"),
        ("all doors but the first door", "found", [1, 2], "2 doors"),
        ("the not large door", "ambiguous", [0, 1, 2], "3 doors; say which"),
        ("door window", "error", [], "'window' may not stand after 'door'; join objects with 'and'"),
        ("the the door", "error", [], "'the' may not stand after 'the'; a question is English"),
        ("not doors", "error", [], "'not' may not stand there"),
        ("0th door", "error", [], "'0th' is not understood"),
        ("-1st door", "error", [], "'-1st' is not understood"),
        ("0 doors", "error", [], "'0' is not understood"),
        ("\u00b2 doors", "error", [], "is not understood"),
        (f"{'9' * 5000} doors", "error", [], "is not understood"),
        ("doors > 5", "error", [], "'>' is not understood"),
        ("das dritte Fenster", "error", [], "'das' is not understood; a question is English"),
        ("la puerta", "error", [], "'la' is not understood; a question is English"),
        ("\u7b2c\u4e09\u4e2a\u95e8", "error", [], "a question is English, such as 'the largest door'"),
    ],
)  # fmt: skip
def test_answers_and_reasons(sentence: str, status: str, index: list[int], text: str) -> None:
    if status == "error":
        with pytest.raises(PromptError) as caught:
            find(DOORS, sentence)
        assert text in str(caught.value)
        return
    answer = find(DOORS, sentence)
    assert (answer.status, answer.index.tolist()) == (status, index)
    assert text in answer.text
    assert len(answer.found) == len(index)


def test_synonyms() -> None:
    people = Instances(Masks.from_boxes([[0, 0, 4, 4]], (8, 8)), classes=("person",))
    assert find(people, "the people").status == find(people, "a man").status == "found"
    assert find(people, "the workers", synonyms={"worker": "person"}).status == "found"
    with pytest.raises(UnknownNameError, match=r"'persn'.*Did you mean 'person'"):
        find(people, "worker", synonyms={"worker": "persn"})


def test_an_orange_is_an_object_and_a_colour() -> None:
    masks = Masks.from_boxes([[0, 0, 6, 6], [10, 0, 16, 6]], (8, 20))
    fruit = Instances(masks, [0, 1], ("orange", "cup"))
    pixels = np.zeros((8, 20, 3), np.uint8)
    pixels[:, 10:] = (240, 130, 30)
    assert find(fruit, "the orange", Image(pixels)).index.tolist() == [0]
    assert find(fruit, "the orange cup", Image(pixels)).index.tolist() == [1]


def test_no_objects() -> None:
    none = Instances.empty((8, 8), ("door",))
    assert find(none, "third door from the left").status == "none"
    assert find(none, "doors left of the door").status == "none"
    assert describe_scene(none).text == "nothing"


def test_an_inventory() -> None:
    seen = describe_scene(DOORS)
    assert seen.text == "3 doors, 2 windows, 1 traffic_light"
    told = {(r["subject"], r["relation"], r["object"]) for r in seen.relations}
    assert {(3, "in", 1), (5, "in", 4), (1, "touching", 3), (2, "left of", 4)} <= told
    assert seen.objects[4]["place"] == "middle right"


@pytest.mark.parametrize(
    ("sentence", "index"),
    [
        ("the door in the middle", [2]),
        ("objects in the centre of the picture", [2]),
        ("windows not in the middle", [3, 5]),
        ("the window in the middle door", [3]),
        ("doors, windows and the traffic light", [0, 1, 2, 3, 4, 5]),
        ("the leftmost door, the rightmost door.", [0, 2]),
        ("the leftmost door; and the traffic light", [0, 4]),
    ],
)
def test_places_in_the_middle_and_lists(sentence: str, index: list[int]) -> None:
    assert find(DOORS, sentence).index.tolist() == index


def test_a_list_names_the_word_that_is_not_understood() -> None:
    with pytest.raises(PromptError, match=r"'dor' is not understood after 'door'. Did you mean 'door'"):
        find(DOORS, "door, dor")
