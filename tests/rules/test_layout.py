"""Layouts: missing, misplaced, turned, wrong, doubled and extra parts, on boards that are shifted and turned."""

# ruff: noqa: E501 (a case and what is said of it stand on one line)

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from apiece import Image, Instances, Masks
from apiece.errors import DataError
from apiece.images import write_image
from apiece.rules import Verdicts, judge, learn, read_rules

from .drawn import CLASSES, SIZE, found

PLACES = [
    ("fiducial", 30, 20, 0), ("fiducial", 130, 100, 0), ("chip", 55, 45, 0), ("chip", 110, 80, 90),
    ("resistor", 30, 90, 30), ("resistor", 90, 30, 120), ("resistor", 130, 40, 0),
]  # fmt: skip
EXTENT = {"fiducial": (8, 8), "chip": (24, 10), "resistor": (14, 5), "screw": (8, 8)}


def board(
    parts: Sequence[tuple[str, float, float, float]], turn: float = 0.0, shift: tuple[float, float] = (0, 0)
) -> Instances:
    """Return parts, each a class, a centre and an angle, on a board that is turned about the picture's middle."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    middle = np.array(SIZE[::-1]) / 2
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    stack = []
    for name, px, py, angle in parts:
        (cx, cy), a = (
            np.array([[c, -s], [s, c]]) @ (np.array([px, py]) - middle) + middle + shift,
            np.radians(angle + turn),
        )
        u, v = (x - cx) * np.cos(a) + (y - cy) * np.sin(a), (y - cy) * np.cos(a) - (x - cx) * np.sin(a)
        long, short = EXTENT[name]
        stack.append((np.abs(u) <= long / 2) & (np.abs(v) <= short / 2))
    masks = Masks.from_dense(np.array(stack)) if stack else Masks.empty(SIZE)
    return Instances(masks, [CLASSES.index(name) for name, *_ in parts] if parts else np.zeros(0, np.int64), CLASSES)


def judged(
    folder: Path, found: Instances, register: str = "register: parts", rule: str = "turn: 8 deg", head: str = ""
) -> Verdicts:
    angles = {"fiducial": ""}  # a square has none
    places = "\n".join(f"    - {{part: {n}, at: [{x}, {y}]{angles.get(n, f', angle: {a}')}}}" for n, x, y, a in PLACES)
    text = f"{head}\nlayout:\n  size: [160, 120]\n  {register}\n  places:\n{places}\nrules:\n- layout: any\n  within: 2 px\n  {rule}\n"
    (folder / "rules.yaml").write_text(text)
    return judge(read_rules(folder / "rules.yaml", CLASSES), found, name="a.png")


@pytest.mark.parametrize(("turn", "shift"), [(0, (0, 0)), (3, (2, -3)), (-12, (5, 4)), (170, (0, 0))])
@pytest.mark.parametrize("register", ["register: parts", "register: parts\n  by: [fiducial, chip]"])
def test_a_whole_board_passes_wherever_it_lies(
    tmp_path: Path, turn: float, shift: tuple[float, float], register: str
) -> None:
    one = judged(tmp_path, board(PLACES, turn, shift), register).verdicts[0]
    assert one.outcome == "pass", one.findings
    assert one.checked >= len(PLACES) + 1


FAULTS = {
    "chip at 55, 45 is missing": [p for p in PLACES if p[1] != 55],
    "resistor at 30, 90 is misplaced": [("resistor", 36, 93, 30) if p[2] == 90 else p for p in PLACES],
    "resistor at 130, 40: turned by": [("resistor", 130, 40, 40) if p[1:3] == (130, 40) else p for p in PLACES],
    "resistor at 90, 30: screw in place of resistor": [("screw", 90, 30, 0) if p[1] == 90 else p for p in PLACES],
    "extra resistor": [*PLACES, ("resistor", 70, 70, 0)],
    "extra resistor, doubled at resistor at 130, 40": [*PLACES, ("resistor", 133, 47, 0)],
}


@pytest.mark.parametrize("said", FAULTS)
@pytest.mark.parametrize(("turn", "shift"), [(0, (0, 0)), (9, (-4, 2))])
def test_each_fault_is_told_and_nothing_else(
    tmp_path: Path, said: str, turn: float, shift: tuple[float, float]
) -> None:
    one = judged(tmp_path, board(FAULTS[said], turn, shift)).verdicts[0]
    failed = [finding for finding in one.findings if finding.outcome == "fail"]
    assert one.outcome == "fail"
    assert len(failed) == 1, [f.text for f in one.findings]
    assert said in failed[0].text
    if "missing" in said:
        assert failed[0].spot is not None


def test_another_board_is_not_found(tmp_path: Path) -> None:
    assert "layout of 7 parts is not found" in judged(tmp_path, board([])).verdicts[0].text
    assert judged(tmp_path, board(PLACES[:2])).outcome == "fail"


def test_a_fixed_board_is_not_searched_for(tmp_path: Path) -> None:
    assert judged(tmp_path, board(PLACES), "register: none").outcome == "pass"
    assert judged(tmp_path, board(PLACES, 0, (4, 0)), "register: none").outcome == "fail"


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: the picture has 8 x 8 pixels, .* made for 160 x 120"):
        judged(tmp_path, Instances.empty((8, 8), CLASSES))


def test_a_layout_found_by_pixels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ground = np.kron(rng.integers(0, 255, (60, 80), np.uint8), np.ones((6, 6), np.uint8))
    write_image(tmp_path / "golden.png", ground)
    text = (
        "layout:\n  size: [480, 360]\n  register: image\n  image: golden.png\n  places:\n"
        "  - {part: chip, at: [200, 150]}\nrules:\n- layout: any\n  within: 3 px\n"
    )
    (tmp_path / "rules.yaml").write_text(text)
    rules, moved = read_rules(tmp_path / "rules.yaml"), np.roll(ground, (7, 12), (0, 1))
    at = Instances(Masks.from_boxes([[202, 147, 222, 167]], (360, 480)), [0], ("chip",))
    assert judge(rules, at, Image(moved)).outcome == "pass"
    assert judge(rules, at, Image(ground)).outcome == "fail"
    assert judge(rules, at, Image(np.zeros_like(ground))).outcome == "fail"


def test_a_zone_moves_with_the_layout(tmp_path: Path) -> None:
    places = "\n".join(f"    - {{part: {n}, at: [{x}, {y}]}}" for n, x, y, _ in PLACES)
    (tmp_path / "rules.yaml").write_text(
        f"layout:\n  size: [160, 120]\n  places:\n{places}\nzones:\n  z: {{box: [60, 60, 80, 80]}}\n"
        "rules:\n- absence: screw\n  zone: z\n"
    )
    rules = read_rules(tmp_path / "rules.yaml")
    screw = ("screw", 70, 70, 0)
    for turn, shift in ((0, (0, 0)), (15, (6, 3))):
        assert judge(rules, board([*PLACES, screw], turn, shift)).outcome == "fail"
        assert judge(rules, board([*PLACES, ("screw", 105, 100, 0)], turn, shift)).outcome == "pass"


def test_learned_rules_pass_good_boards_and_fail_each_fault(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def jittered(parts: Sequence[tuple[str, float, float, float]]) -> Instances:
        some = [(n, x + rng.normal(0, 0.3), y + rng.normal(0, 0.3), a + rng.normal(0, 0.5)) for n, x, y, a in parts]
        return board(some, rng.uniform(-3, 3), (rng.uniform(-2, 2), rng.uniform(-2, 2)))

    text = learn([jittered(PLACES) for _ in range(12)], "0.1 mm")
    (tmp_path / "rules.yaml").write_text(text)
    rules = read_rules(tmp_path / "rules.yaml", CLASSES)
    assert {rule.kind_name for rule in rules.rules} == {"absence", "count", "dimension", "layout"}
    assert "12 good pictures" in text
    outcomes = [judge(rules, jittered(PLACES)).outcome for _ in range(10)]
    assert outcomes.count("pass") >= 8
    assert "fail" not in outcomes
    for parts in FAULTS.values():
        assert judge(rules, jittered(parts)).outcome == "fail"


def test_a_rule_about_some_parts_sees_them_at_places_of_others(tmp_path: Path) -> None:
    places = "\n".join(f"    - {{part: {n}, at: [{x}, {y}]}}" for n, x, y, _ in PLACES)
    (tmp_path / "rules.yaml").write_text(
        f"layout:\n  size: [160, 120]\n  places:\n{places}\nrules:\n- layout: chip\n  within: 2 px\n- layout: fiducial\n  within: 2 px\n"
    )
    swapped = board([*PLACES[:-1], ("chip", *PLACES[-1][1:])])
    chips, fiducials = judge(read_rules(tmp_path / "rules.yaml", CLASSES), swapped).verdicts
    assert (chips.outcome, fiducials.outcome) == ("fail", "pass")
    assert chips.findings[0].words == "extra chip"


def test_what_a_model_knows_of_its_outlines_does_not_count_twice_in_learned_limits(tmp_path: Path) -> None:
    good = board(PLACES)
    soft = good.replace(attributes={"edge": np.full(len(good), 3.0)})
    assert learn([soft] * 6) == learn([good] * 6)
    (tmp_path / "rules.yaml").write_text(learn([soft] * 6))
    assert judge(read_rules(tmp_path / "rules.yaml", CLASSES), soft).outcome == "pass"


@pytest.mark.parametrize(
    ("scores", "usual", "expected"),
    [
        # three on each picture, none of them above the model's own threshold: in the gap
        ([[0.42, 0.41, 0.40, 0.04], [0.49, 0.45, 0.43]], 0.5, 0.143),
        # none: half way, in log odds, from the best candidate to the model's own threshold
        ([[0.04], []], 0.5, 0.17),
        # numbers differ from picture to picture, and one candidate that each picture has is too faint for an object
        ([[0.9, 0.8, 0.7], [0.9]], 0.5, None),
        ([[0.2], [0.19]], 0.5, 0.333),
    ],
)
def test_scores_lie_in_the_gap_that_good_pictures_show(
    tmp_path: Path, scores: list[list[float]], usual: float, expected: float | None
) -> None:
    good = [
        found(
            [("chip", (50, 50, 90, 90)), *(("screw", (10.0 * k, 0, 10 * k + 8, 8)) for k in range(len(s)))], [0.9, *s]
        )
        for s in scores
    ]
    (tmp_path / "rules.yaml").write_text(learn(good, score=usual))
    rules = read_rules(tmp_path / "rules.yaml", CLASSES)
    assert isinstance(rules.head.score, dict)
    assert rules.head.score.get("screw") == expected
    assert [judge(rules, one, score=usual).outcome for one in good] == ["pass", "pass"]


@pytest.mark.parametrize(
    ("at", "score", "outcome", "said"),
    [
        (130, 0.9, "pass", ""),
        # a place whose part may not be there: above the threshold of 0.5, and below
        (130, 0.52, "unsure", "resistor at 130, 40 may be missing"),
        (130, 0.48, "unsure", "resistor at 130, 40 may be missing"),
        (130, 0.4, "fail", "resistor at 130, 40 is missing"),
        # it lies wrong or is not there: both fail
        (140, 0.52, "fail", "resistor at 130, 40 is misplaced or may be missing"),
    ],
)
def test_a_place_whose_part_has_a_doubtful_score_is_for_a_person(
    tmp_path: Path, at: int, score: float, outcome: str, said: str
) -> None:
    parts = board([*PLACES[:-1], ("resistor", at, 40, 0)]).replace(scores=[0.9] * 6 + [score])
    one = judged(tmp_path, parts, head="score: 0.5").verdicts[0]
    assert one.outcome == outcome, one.text
    assert said in one.findings[0].words


@pytest.mark.parametrize(("scores", "outcome"), [([0.9, 0.52], "fail"), ([0.52] * 5, "unsure"), ([0.48], "unsure"), ([0.4], "pass")])  # fmt: skip
def test_extra_parts_of_doubtful_scores(tmp_path: Path, scores: list[float], outcome: str) -> None:
    extra = [("screw", 20.0 * k + 20, 70.0, 0.0) for k in range(len(scores))]
    parts = board([*PLACES, *extra]).replace(scores=[0.9] * len(PLACES) + scores)
    assert judged(tmp_path, parts, head="score: 0.5").outcome == outcome
