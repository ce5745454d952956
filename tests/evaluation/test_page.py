"""The page's tables of numbers: what is undefined is a dash, intervals stand beside their number."""

from __future__ import annotations

import numpy as np

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.evaluation.page import _scores
from apiece.evaluation.tables import coco_rows, further_rows
from apiece.metrics import Evaluation, evaluate

CLASSES = ("bolt", "nut")


def judged(times: int = 1, **options: object) -> Evaluation:
    truth = Instances(Masks.from_boxes([[0, 0, 8, 8], [20, 20, 28, 28]], (40, 40)), [0, 1], CLASSES)
    found = truth.replace(masks=truth.masks.shift(1, 0), scores=np.array([0.9, 0.8]))
    pairs = [(truth, found), (truth, found[[0]]), (truth, found[[1]])] * times
    return evaluate(pairs, metrics=["coco", "ap_tau", "counts", "confusion"], **options)  # type: ignore[arg-type]


def test_numbers_that_do_not_exist_are_dashes() -> None:
    coco, further, per_class = _scores(judged())
    assert coco.columns == ("", "mask", "box")
    assert [row[0] for row in coco.rows][:3] == ["AP", "AP, IoU 0.50", "AP, IoU 0.75"]
    assert {row[0]: row[1] for row in coco.rows}["AP, large"] == "–"
    assert not any("-1" in str(cell) for row in coco.rows for cell in row)
    assert {row[0]: row[1] for row in further.rows}["count_bias"] == "-0.667"
    assert {row[0]: row[1] for row in further.rows}["count_truth"] == "6"
    assert (per_class.columns, len(per_class.rows)) == (("class", "mask AP", "mask AP50", "box AP", "F1"), 2)


def test_intervals_stand_beside_their_numbers() -> None:
    result = judged(8, bootstrap=62, max_dets=(7, 1000))
    coco, further, _ = _scores(result)
    assert coco.columns == ("", "mask", "95% interval", "box", "95% interval")
    low, high = result["mask_ap_low"], result["mask_ap_high"]
    assert coco.rows[0][1:3] == [f"{result['mask_ap']:.3f}", f"{low:.3f} to {high:.3f}"]
    assert result.number("mask_ap").interval == (low, high)
    assert {"AR, 7 per image", "AR, 1,000 per image"} < {row[0] for row in coco.rows}
    assert {row[0]: row[2] for row in coco.rows}["AP, large"] == "–"
    assert further.columns == ("", "value", "95% interval")


def test_a_number_knows_what_it_is() -> None:
    result = judged()
    known = result.number("merges")
    assert (known.value, known.unit, known.aim, known.group) == (0, "count", "less", "counts")
    assert np.isnan(result.number("mask_ap_large").value)
    assert result["mask_ap_large"] == -1
    assert result.number("mask_ap", "nut").value == result.per_class["nut"]["mask_ap"]
    assert coco_rows(result)[0] == ["mask", "box"]
    assert {key for key, _ in further_rows(result, ("mask", "box", "ap_tau", "f1_tau", "confusion"))} == {
        key for key, number in result.about.items() if number.group == "counts"
    }
