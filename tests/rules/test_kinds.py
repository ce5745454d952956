"""Each kind of rule on rectangles whose numbers are known: pass, fail, and unsure in between."""

# ruff: noqa: E501 (a case and what is said of it stand on one line)

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from apiece import Instances, Masks
from apiece.errors import DataError
from apiece.images import read_image
from apiece.measurements import measure
from apiece.rules import judge, judge_batch, judge_many, verdicts_as_dict
from apiece.rules._engine.judging import scene_of

from .drawn import CLASSES, SIZE, Box, found, painted, rules, verdict

CHIP: tuple[str, Box] = ("chip", (10, 10, 50, 20))
SCREWS: list[tuple[str, Box]] = [("screw", (x, y, x + 8, y + 8)) for x, y in ((2, 2), (140, 2), (2, 100), (140, 100))]


@pytest.mark.parametrize(
    ("text", "outcome", "said"),
    [
        ("- count: screw\n  equals: 4", "pass", "count 4, should be 4"),
        ("- count: screw\n  equals: 5", "fail", "count 4, should be 5"),
        ("- count: [screw, chip]\n  max: 4", "fail", "count 5, at most 4"),
        ("- count: any\n  min: 5\n  max: 6", "pass", "count 5, should be 5 to 6"),
        ("- count: screw\n  equals: 2\n  zone: top", "pass", "count 2, should be 2"),
        ("- presence: chip", "pass", "count 1, at least 1"),
        ("- presence: chip\n  zone: bottom", "fail", "count 0, at least 1"),
        ("- absence: scratch", "pass", "count 0, at most 0"),
        ("- absence: screw\n  zone: bottom", "fail", "count 2, at most 0"),
        ("- dimension: chip\n  of: rect_length\n  nominal: 40 px\n  tolerance: 1 px", "pass", "rect_length 40 px"),
        ("- dimension: chip\n  of: rect_length\n  max: 39 px", "fail", "rect_length 40 px (39.06 to 40.94), at most 39 px"),
        ("- dimension: chip\n  of: rect_length\n  max: 40.2 px", "unsure", "rect_length 40 px (39.06 to 40.94)"),
        ("- dimension: chip\n  of: rect_length\n  max: 39.9 px\n  uncertainty: 0.01 px", "fail", "rect_length 40 px"),
        ("- dimension: chip\n  of: area\n  min: 350 px2\n  max: 450 px2", "pass", "area 400 px"),
        ("- dimension: scratch\n  of: area\n  min: 350 px2", "unsure", "no scratch is there to be judged"),
        ("- dimension: scratch\n  of: area\n  min: 350 px2\n  optional: yes", "pass", "nothing to be judged"),
        ("- dimension: chip\n  of: solidity\n  min: 0.9", "pass", "solidity 1"),
        ("- distance: screw\n  min: 80 px", "pass", "gap 90 px (89.5 to 90.5), at least 80 px"),
        ("- distance: screw\n  to: chip\n  min: 5 px", "fail", "gap 0.7071 px (0.2071 to 1.207), at least 5 px"),
        ("- distance: screw\n  between: centres\n  max: 98.1 px", "unsure", "distance 98 px (97.75 to 98.25)"),
        ("- touching: chip\n  to: screw", "pass", "gap 0.7071 px"),
        ("- touching: screw\n  to: chip", "fail", "and 2 more"),
        ("- touching: screw\n  expected: no", "pass", "gap 90 px"),
        ("- touching: chip\n  to: screw\n  expected: no", "fail", "gap 0.7071 px"),
        ("- containment: chip\n  inside: screw", "fail", "share inside 0, at least 0.95"),
        ("- containment: chip\n  inside: screw\n  expected: outside", "pass", "share outside 1"),
        ("- orientation: chip\n  expected: 0\n  within: 3 deg", "pass", "turned by 0 deg"),
        ("- orientation: chip\n  expected: 90 deg", "fail", "turned by 90 deg"),
        ("- orientation: screw\n  expected: 45 deg", "unsure", "turned by"),
        ("- defect: chip\n  max: 500 px2\n  total: 500 px2\n  count: 1", "pass", "count 1, at most 1"),
        ("- defect: screw\n  total: 200 px2", "fail", "total area 256 px"),
        ("- defect: screw\n  of: feret_max\n  max: 11.4 px\n  zone: top", "unsure", "and 1 more"),
    ],
)  # fmt: skip
def test_a_number_and_its_limit(tmp_path: Path, text: str, outcome: str, said: str) -> None:
    zones = "zones:\n  top: {box: [0, 0, 160, 60]}\n  bottom: {share: [0, 50 %, 1, 1]}"
    one = verdict(tmp_path, text, [CHIP, *SCREWS], zones).verdicts[0]
    assert (one.outcome, said in one.text) == (outcome, True), one.text


def test_units_are_those_of_the_rule(tmp_path: Path) -> None:
    text = (
        "- dimension: chip\n  of: feret_max\n  nominal: 4.12 mm\n  tolerance: 100 um\n- distance: screw\n  min: 0.8 cm"
    )
    judged = verdict(tmp_path, text, [CHIP, *SCREWS], "pixel_size: 0.1 mm")
    assert [one.text for one in judged.verdicts] == [
        "feret_max 4.123 mm (4.029 to 4.217), should be 4.02 to 4.22 mm",
        "gap 9 mm (8.95 to 9.05), at least 8 mm",
    ]
    assert verdict(tmp_path, text, [CHIP, *SCREWS], pixel_size="0.2 mm").outcome == "fail"
    with pytest.raises(DataError, match=r"a\.png, rule 'dimension chip feret_max' .*line 3.*4\.12 mm needs a pixel"):
        verdict(tmp_path, text, [CHIP, *SCREWS])


def test_intervals_are_those_of_measure_and_the_objects_know_their_outlines_best(tmp_path: Path) -> None:
    plate = found([CHIP]).replace(attributes={"edge": np.array([1.5])})
    text = "- dimension: chip\n  of: {of}\n  min: 1 {unit}"
    for of, unit in (("feret_min", "mm"), ("area", "mm2"), ("equivalent_diameter", "mm")):
        number = (
            judge(rules(tmp_path, text.format(of=of, unit=unit)), plate, pixel_size="0.2 mm").verdicts[0].findings[0]
        )
        table = measure(plate, pixel_size="0.2 mm", properties=[of], uncertainty=True)
        assert (number.high - number.number) == pytest.approx(table[f"{of}_u95"][0]), of
    wide, stated, usual = (
        judge(rules(tmp_path, text.format(of="rect_length", unit="px"), head), one).verdicts[0].findings[0].high
        for head, one in (("", plate), ("edge: 0.5 px", plate), ("", found([CHIP])))
    )
    assert [wide, stated, usual] == pytest.approx([40 + np.hypot(0.8, 2 * edge) for edge in (1.5, 0.5, 0.25)])
    gap = judge(rules(tmp_path, "- distance: chip\n  to: screw\n  min: 5 px"), found([CHIP, *SCREWS]).replace(
        attributes={"edge": np.array([1.5, 0.25, 0.25, 0.25, 0.25])}))  # fmt: skip
    assert gap.verdicts[0].findings[0].high == pytest.approx(0.7071 + 1.75, abs=1e-4)


def test_the_truth_is_not_off(tmp_path: Path) -> None:
    near = rules(
        tmp_path, "- dimension: chip\n  of: rect_length\n  max: 40.2 px\n- dimension: scratch\n  of: area\n  min: 1 px2"
    )
    assert [one.outcome for one in judge(near, found([CHIP])).verdicts] == ["unsure", "unsure"]
    assert [one.outcome for one in judge(near, found([CHIP]), exact=True).verdicts] == ["pass", "unsure"]


def test_containment_counts_holes_of_the_container(tmp_path: Path) -> None:
    canvas = np.zeros(SIZE, int)
    canvas[10:60, 10:90] = 1
    canvas[20:28, 20:28] = 2  # cut out of the chip below it
    canvas[50:70, 60:68] = 3  # half beyond its edge
    plate = Instances(Masks.from_label_map(canvas), [0, 2, 2], CLASSES)
    one = judge(rules(tmp_path, "- containment: screw\n  inside: chip"), plate).verdicts[0]
    assert one.outcome == "fail"
    assert [finding.objects for finding in one.findings] == [(2, 0)]


def test_colours(tmp_path: Path) -> None:
    image = painted([CHIP, *SCREWS], {"chip": (200, 30, 40), "screw": (240, 235, 225)})
    text = "- colour: chip\n  expected: red\n- colour: screw\n  expected: '#0000ff'"
    red, blue = verdict(tmp_path, text, [CHIP, *SCREWS], image=image).verdicts
    assert (red.outcome, blue.outcome, len(blue.findings)) == ("pass", "fail", 4)
    with pytest.raises(DataError, match=r"a\.png: the rules look at pixels"):
        verdict(tmp_path, text, [CHIP])


@pytest.mark.parametrize(("scores", "outcome"), [((0.9, 0.9), "pass"), ((0.9, 0.52), "unsure"), ((0.9, 0.48), "unsure"), ((0.9, 0.4), "fail")])  # fmt: skip
def test_a_score_near_the_threshold_is_for_a_person(tmp_path: Path, scores: tuple[float, ...], outcome: str) -> None:
    one = verdict(tmp_path, "- count: screw\n  equals: 2", SCREWS[:2], "score: 0.5", scores=scores)
    assert one.outcome == outcome
    sized = verdict(tmp_path, "- dimension: screw\n  of: area\n  max: 10 px2", SCREWS[:1], "score: 0.5", scores=[0.52])
    assert sized.outcome == "unsure"


def test_certain_defects_beyond_the_total_fail_beside_many_doubtful_ones(tmp_path: Path) -> None:
    text = "- defect: screw\n  total: 100 px2"
    scores = [0.9, 0.9, 0.52, 0.52, 0.52, 0.52]
    assert verdict(tmp_path, text, [*SCREWS, *SCREWS[:2]], "score: 0.5", scores=scores).outcome == "fail"
    assert verdict(tmp_path, text, [*SCREWS, *SCREWS[:1]], "score: 0.5", scores=scores[1:]).outcome == "unsure"


def test_an_object_on_the_border_of_a_zone_is_for_a_person(tmp_path: Path) -> None:
    zones = "zones:\n  left: {box: [0, 0, 30, 120]}"
    assert verdict(tmp_path, "- absence: chip\n  zone: left", [("chip", (10, 10, 50, 20))], zones).outcome == "unsure"
    assert verdict(tmp_path, "- absence: chip\n  zone: left", [("chip", (18, 10, 50, 20))], zones).outcome == "pass"


def test_a_crowd_counts_for_any_number(tmp_path: Path) -> None:
    crowd = found(SCREWS).replace(crowd=np.array([False, False, False, True]))
    assert judge(rules(tmp_path, "- count: screw\n  equals: 3"), crowd).outcome == "unsure"
    assert judge(rules(tmp_path, "- count: screw\n  max: 2"), crowd).outcome == "fail"
    assert judge(rules(tmp_path, "- count: chip\n  equals: 0"), crowd).outcome == "pass"


def test_zones_of_objects_and_polygons(tmp_path: Path) -> None:
    zones = "zones:\n  chip: {objects: chip}\n  corner: {polygon: [[0, 0], [40, 0], [0, 40]]}"
    scratch: tuple[str, Box] = ("scratch", (12, 12, 20, 14))
    text = "- count: scratch\n  equals: 1\n  zone: chip\n- count: screw\n  equals: 1\n  zone: corner"
    assert verdict(tmp_path, text, [CHIP, scratch, *SCREWS], zones).outcome == "pass"
    outside = verdict(tmp_path, text, [CHIP, ("scratch", (60, 12, 70, 14)), *SCREWS], zones)
    assert [one.outcome for one in outside.verdicts] == ["fail", "pass"]


def test_a_zone_beyond_the_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rule 'absence chip in wide'.*'wide' reaches to 200, 60.*160 x 120 pixels"):
        verdict(tmp_path, "- absence: chip\n  zone: wide", [CHIP], "zones:\n  wide: {box: [0, 0, 200, 60]}")


def test_nothing_at_all_is_judged(tmp_path: Path) -> None:
    text = "- count: chip\n  equals: 0\n- absence: any\n- dimension: chip\n  of: area\n  max: 1 px2\n- distance: chip\n  min: 1"
    judged = verdict(tmp_path, text, [])
    assert [one.outcome for one in judged.verdicts] == ["pass", "pass", "unsure", "unsure"]


def test_batches(tmp_path: Path) -> None:
    head = "- presence: chip\n- absence: scratch\n  name: clean\n"
    few = rules(tmp_path, head + "- batch: fail\n  accept: 1\n- batch: fail\n  share: 5 %\n  name: share")
    pictures = [judge(few, found([CHIP] * (k != 0)), name=str(k)) for k in range(20)]
    assert [(one.outcome, one.text) for one in judge_batch(few, pictures)] == [
        ("pass", "pictures 1, at most 1"),
        ("unsure", "share of pictures 0.05 (0.001265 to 0.2487), at most 0.05"),
    ]
    assert [one.outcome for one in judge_batch(few, pictures[:1] * 3)] == ["fail", "fail"]
    clean = rules(tmp_path, head + "- batch: fail\n  accept: 0\n  rules: [clean]")
    assert judge_batch(clean, pictures)[0].outcome == "pass"


def test_a_picture_that_could_not_be_judged_may_have_failed(tmp_path: Path) -> None:
    few = rules(
        tmp_path, "- presence: chip\n- batch: fail\n  accept: 1\n- batch: fail or unsure\n  accept: 1\n  name: both"
    )
    pictures = [judge(few, found([CHIP]), name=str(k)) for k in range(3)]
    assert [one.outcome for one in judge_batch(few, pictures, 1)] == ["pass", "pass"]
    assert [one.outcome for one in judge_batch(few, pictures, 2)] == ["unsure", "fail"]


def test_limits_in_pixels_and_millimetres_are_compared_once_the_pixel_size_is_known(tmp_path: Path) -> None:
    text = "- dimension: chip\n  of: rect_length\n  min: 30 px\n  max: 5 mm"
    assert verdict(tmp_path, text, [CHIP], "pixel_size: 0.1 mm").outcome == "pass"
    with pytest.raises(DataError, match=r"min 30 px is above max 5 mm at a pixel size of 0.2 mm"):
        verdict(tmp_path, text, [CHIP], "pixel_size: 0.2 mm")


def test_what_fails_whether_or_not_a_doubtful_object_is_there_fails(tmp_path: Path) -> None:
    small = [SCREWS[0], ("screw", (50, 50, 53, 53))]  # too small for a screw, and without it one is missing
    text = "- count: screw\n  equals: 2\n- dimension: screw\n  of: area\n  min: 50 px2"
    either = verdict(tmp_path, text, small, "score: 0.5", scores=[0.9, 0.52])
    assert [one.outcome for one in either.verdicts] == ["unsure", "unsure"]
    place = "layout:\n  size: [160, 120]\n  register: none\n  places:\n" + "".join(
        f"    - {{part: screw, at: [{x}, {y}], area: 64}}\n" for x, y in ((6, 6), (51.5, 51.5))
    )
    (one,) = verdict(
        tmp_path, "- layout: screw\n  within: 2 px\n  size: 20 %", small, f"score: 0.5\n{place}", scores=[0.9, 0.52]
    ).verdicts
    assert (one.outcome, one.findings[0].what, one.findings[0].objects) == ("fail", "area off by", (1,))


def test_a_file_that_names_the_score_of_one_class_leaves_those_of_others(tmp_path: Path) -> None:
    parts = [CHIP, SCREWS[0]]
    text = "- count: chip\n  equals: 0\n- count: screw\n  equals: 1"
    one = verdict(tmp_path, text, parts, "score: {screw: 0.2}", scores=[0.4, 0.3], score={"chip": 0.6, "screw": 0.6})
    assert one.outcome == "pass"


def test_only_objects_that_rules_ask_for_are_measured(tmp_path: Path) -> None:
    text = "- dimension: chip\n  of: feret_max\n  min: 1 px\n- count: screw\n  equals: 4"
    ruleset = rules(tmp_path, text)
    assert ruleset.needs.of == {"chip"}
    values, half = scene_of(ruleset, found([CHIP, *SCREWS])).measured("feret_max")
    assert np.isfinite(values).tolist() == [True, False, False, False, False]
    alone, own = scene_of(ruleset, found([CHIP])).measured("feret_max")
    assert (values[0], half[0]) == (alone[0], own[0])
    # what lies beside an object is measured of all
    beside = rules(tmp_path, text + "\n- dimension: chip\n  of: nearest_gap\n  min: 1 px")
    assert not beside.needs.of
    assert np.isfinite(scene_of(beside, found([CHIP, *SCREWS])).measured("feret_max")[0]).all()


def test_pictures_that_are_judged_together_have_the_verdicts_they_have_alone(tmp_path: Path) -> None:
    text = """
- dimension: any
  of: feret_max
  max: 30 px
- count: screw
  zone: left
  equals: 2
- distance: screw
  to: chip
  min: 3 px
- containment: screw
  inside: chip
- touching: screw
"""
    ruleset = rules(tmp_path, text, "score: 0.5\nzones:\n  left: {box: [0, 0, 80, 120]}")
    pictures = [found([CHIP, *SCREWS]), found([CHIP]), found([]), found(SCREWS, [0.52, 0.9, 0.9, 0.48]), found(SCREWS)]
    asked = [(str(k), one, None) for k, one in enumerate(pictures)]
    small = Instances(Masks.from_boxes([[0, 0, 4, 4]], (20, 20)), [0], CLASSES)  # the zone reaches beyond it
    refused: list[str] = []
    asked[2:2] = [("small", small, None), ("lost", DataError("no such file"), None)]
    judged = list(judge_many(ruleset, asked, on_bad=lambda name, error: refused.append(f"{name}: {error}")))
    alone = [judge(ruleset, one, name=str(k)) for k, one in enumerate(pictures)]
    assert [repr(verdicts_as_dict(one)) for one in judged] == [repr(verdicts_as_dict(one)) for one in alone]
    assert len(refused) == 2
    assert "beyond the picture of 20 x 20 pixels" in refused[0]
    assert refused[1] == "lost: no such file"
    with pytest.raises(DataError, match="beyond the picture"):
        list(judge_many(ruleset, asked))


def test_a_picture_whose_pixels_cannot_be_read_is_refused_and_the_rest_is_judged(tmp_path: Path) -> None:
    ruleset = rules(tmp_path, "- colour: chip\n  expected: '#5a5a5a'\n  within: 20")
    whole, broken = tmp_path / "whole.png", tmp_path / "broken.png"
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(whole)
    broken.write_bytes(whole.read_bytes()[:60])
    asked = [(path.name, found([CHIP]), partial(read_image, path)) for path in (whole, broken, whole)]
    refused: list[str] = []
    judged = list(judge_many(ruleset, asked, on_bad=lambda name, error: refused.append(f"{name}: {error}")))
    assert [one.outcome for one in judged] == ["pass", "pass"]
    assert len(refused) == 1
    assert "broken.png: is truncated" in refused[0]
