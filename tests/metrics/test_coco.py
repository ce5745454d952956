"""COCO numbers against pycocotools and faster-coco-eval, and rules by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics import coco_oracle as oracle

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError, DataError, UnknownNameError
from apiece.metrics import evaluate
from apiece.metrics._kit.match_ranked import AREA_RANGES, IOU_THRESHOLDS
from apiece.testing import _pairs as scenes

LIMITS = [(1, 10, 100), (2, 3, 5), (1, 2)]


def same(
    pairs: list[oracle.Pair],
    max_dets: tuple[int, ...] = (1, 10, 100),
    reference=oracle.pycoco,
    order: list[int] | None = None,
) -> None:
    """``order``: how the images are listed; those of pycocotools have ids in the order of ``pairs``."""
    listed = range(len(pairs)) if order is None else order
    ours = evaluate([pairs[i] for i in listed], max_dets=max_dets, ids=[f"{i:03}" for i in listed] if order else None)
    for kind in ("mask", "box"):
        e = reference(pairs, kind, max_dets).eval
        precision, recall = np.asarray(e["precision"]), np.asarray(e["recall"])
        expected = oracle.numbers(precision, recall, kind, max_dets)
        assert {k: ours[k] for k in expected} == pytest.approx(expected, abs=1e-12)
        curves = ours.curves[kind]
        np.testing.assert_allclose(curves.precision, precision[..., 0, -1].transpose(2, 0, 1), atol=1e-12)
        for k, name in enumerate(ours.per_class):
            one = oracle.numbers(precision[:, :, k : k + 1], recall[:, k : k + 1], kind, max_dets)
            assert {key: ours.per_class[name][key] for key in one} == pytest.approx(one, abs=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_where_scores_tie_and_images_are_not_listed_by_id(seed: int) -> None:
    same(scenes.pairs(seed, images=6), order=np.random.default_rng(seed).permutation(6).tolist())


def test_ids_that_do_not_compare_rank_nothing() -> None:
    pairs = scenes.pairs(3)
    expected = dict(evaluate(pairs))
    for ids in ([None] * 4, [1, "2", 3, 4], [4, 3, None, 1]):
        assert dict(evaluate(pairs, ids=ids)) == expected


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from(LIMITS))
def test_equal_to_pycocotools_on_ties_crowds_and_empty_sides(seed: int, limits: tuple[int, ...]) -> None:
    same(scenes.pairs(seed), limits)


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_equal_to_pycocotools_in_every_area_range(seed: int, stated: bool) -> None:
    same(scenes.pairs(seed, big=True, images=2, stated=stated))


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_where_the_file_states_area_and_box(seed: int) -> None:
    same(scenes.pairs(seed, stated=True))


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_pycocotools_when_one_class_is_crowded(seed: int) -> None:
    same(scenes.pairs(seed, images=2, most=40, classes=("a",)), (1, 5, 20))


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_faster_coco_eval(seed: int) -> None:
    same(scenes.pairs(seed), reference=oracle.faster)


# --- by hand ----------------------------------------------------------------------------------------------------------


def squares(*places: tuple[int, int, int, int], size: tuple[int, int] = (10, 10), **more: object) -> Instances:
    """Filled boxes x0, y0, x1, y1, one class."""
    return Instances(Masks.from_boxes(np.array(places, float).reshape(-1, 4), size), **more)


def test_constants_are_those_of_pycocotools() -> None:
    from pycocotools.cocoeval import Params

    p = Params("segm")
    assert np.array_equal(IOU_THRESHOLDS, p.iouThrs)
    assert [list(r) for r in AREA_RANGES.values()] == p.areaRng


def test_one_right_one_wrong_one_missed() -> None:
    truth = squares((0, 0, 4, 4), (5, 5, 9, 9))
    found = squares((0, 0, 4, 4), (0, 6, 2, 8), scores=[0.5, 0.9])
    result = evaluate([(truth, found)])
    # recall reaches one half, at precision one half: 51 of 101 points
    assert result["mask_ap"] == result["box_ap50"] == pytest.approx(0.5 * 51 / 101)
    assert (result["mask_ar1"], result["mask_ar100"]) == (0.0, 0.5)
    assert result["mask_ap_medium"] == result["mask_ar_large"] == -1.0
    assert result["mask_ap_small"] == result["mask_ap"]
    assert result.matches.truth.tolist() == [-1, 0]
    assert result.matches.index.tolist() == [1, 0]
    assert result.matches.counts().tolist() == [[[1, 1, 1]]]
    assert result.matches.counts(0.6).tolist() == [[[0, 1, 2]]]
    assert result.images == len(result.matches) == 1


def test_nothing_anywhere_is_undefined_and_nothing_found_is_zero() -> None:
    nothing = Instances.empty((4, 4), scored=True)
    assert set(dict(evaluate([(nothing, nothing)])).values()) == {-1.0}
    assert evaluate([(squares((0, 0, 2, 2)), Instances.empty((10, 10), scored=True))])["mask_ap"] == 0.0
    assert evaluate([], classes=("object",))["box_ap"] == -1.0
    with pytest.raises(DataError, match="no image"):
        evaluate([])


def test_a_crowd_takes_any_number_and_counts_neither_way() -> None:
    truth = squares((0, 0, 4, 4), (5, 0, 10, 10), crowd=[False, True])
    found = squares((0, 0, 4, 4), (5, 0, 7, 7), (7, 2, 9, 9), scores=[0.1, 0.9, 0.8])
    result = evaluate([(truth, found)])
    assert result["mask_ap"] == pytest.approx(1)
    assert result.matches.ignored.tolist() == [True, True, False]
    assert result.matches.counts().tolist() == [[[1, 0, 0]]]


def test_labels_are_joined_by_class_name() -> None:
    mask = Masks.from_boxes([[0, 0, 4, 4]], (10, 10))
    truth = Instances(mask, [1], ("nut", "bolt"))
    found = Instances(mask, [0], ("bolt",), scores=[1.0])
    result = evaluate([(truth, found)])
    assert result.per_class["bolt"]["mask_ap"] == pytest.approx(1)
    assert result.per_class["nut"]["mask_ap"] == -1.0
    with pytest.raises(UnknownNameError, match="washer"):
        evaluate([(truth, Instances(mask, [0], ("washer",), scores=[1.0]))])
    # a class that is only declared harms nobody
    assert evaluate([(truth, Instances(mask, [0], ("bolt", "washer"), scores=[1.0]))])["mask_ap"] == pytest.approx(1)


def test_what_cannot_be_evaluated_is_refused() -> None:
    truth = squares((0, 0, 4, 4))
    with pytest.raises(DataError, match="image 1: predictions have no scores"):
        evaluate([(truth, squares((0, 0, 4, 4), scores=[1.0])), (truth, truth)])
    with pytest.raises(DataError, match=r"image 0: truth lies on \(10, 10\)"):
        evaluate([(truth, Instances.empty((9, 10), scored=True))])
    with pytest.raises(UnknownNameError, match="coco"):
        evaluate([], ("a",), metrics=["cocoo"])
    with pytest.raises(UnknownNameError, match="mask_ap50"):
        evaluate([], ("a",))["mask_ap51"]
    for wrong in ({"max_dets": ()}, {"max_dets": (0,)}, {"kinds": ("boxes",)}, {"kinds": ()}):
        with pytest.raises(ConfigError):
            evaluate([], ("a",), **wrong)


def test_a_limit_that_bites_says_so() -> None:
    pair = (squares((0, 0, 4, 4)), squares(*[(0, 0, 4, 4)] * 3, scores=[0.1, 0.2, 0.3]))
    (note,) = evaluate([pair], max_dets=(1, 2)).notes
    assert "max_dets=2" in note
    assert "1 of 3" in note
    assert evaluate([pair]).notes == ()


def test_batches_and_kinds_do_not_change_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = scenes.pairs(7, images=9)
    whole = evaluate(pairs)
    monkeypatch.setattr("apiece.metrics._engine.evaluate._MAX_IMAGES", 2)
    monkeypatch.setattr("apiece.metrics._kit.overlaps._SMALL", 0)
    monkeypatch.setattr("apiece.metrics._kit.overlaps._CANDIDATES", 3)
    parts = evaluate(iter(pairs))
    assert dict(whole) == dict(parts)
    for column in ("offsets", "index", "label", "score", "truth", "iou", "ignored", "truths"):
        assert np.array_equal(getattr(whole.matches, column), getattr(parts.matches, column))
    boxes = evaluate(pairs, kinds=["box"])
    assert dict(boxes) == {key: value for key, value in dict(whole).items() if key.startswith("box")}
    with pytest.raises(UnknownNameError, match="matches"):
        _ = boxes.matches


def test_matches_say_what_the_images_hold() -> None:
    pairs = scenes.pairs(3, images=6)
    matches = evaluate(pairs).matches
    for i, (truth, found) in enumerate(pairs):
        rows = slice(matches.offsets[i], matches.offsets[i + 1])
        assert sorted(matches.index[rows]) == list(range(len(found)))
        assert np.array_equal(matches.score[rows], found.scores[matches.index[rows]])
        assert np.array_equal(matches.truths[i], np.bincount(truth.labels[~truth.crowd], minlength=2))
        for index, match, iou in zip(matches.index[rows], matches.truth[rows], matches.iou[rows], strict=True):
            if match >= 0 and not truth.crowd[match]:
                a, b = found.masks[[index]].to_dense()[0], truth.masks[[match]].to_dense()[0]
                assert found.labels[index] == truth.labels[match]
                assert iou == pytest.approx((a & b).sum() / (a | b).sum())


def test_huge_images_and_far_boxes() -> None:
    size = (131072, 131072)
    truth = squares((0, 0, 3, 3), (131060, 131060, 131072, 131072), (0, 0, 40000, 131072), size=size)
    found = truth.replace(scores=np.array([0.5, 0.6, 0.7]))
    result = evaluate([(truth, found)] * 2)
    assert result["mask_ap"] == result["box_ap"] == pytest.approx(1)


# --- real images ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuclei", "facades"])
def test_equal_on_real_images(shared_data: Path, name: str) -> None:
    """Truth, moved, thinned and doubled, as prediction; through the COCO reader."""
    from apiece.formats import read

    rng = np.random.default_rng(0)
    pairs = []
    for _, truth in list(read(shared_data / name / "val.json"))[:40]:
        chosen = np.sort(rng.integers(0, len(truth), int(len(truth) * 0.9))) if len(truth) else np.zeros(0, int)
        dx, dy = rng.integers(-3, 4, 2).tolist()
        found = Instances.concatenate([truth[chosen[::2]], truth[chosen[1::2]]])
        found = found.replace(
            masks=Masks.concatenate([truth.masks[chosen[::2]], truth.masks[chosen[1::2]].shift(dx, dy)]),
            scores=np.round(rng.random(len(chosen)), 2),
            crowd=np.zeros(len(chosen), bool),
            attributes={},
        )
        pairs.append((truth, found))
    for limits in ((1, 10, 100), (1, 10, 500)):
        same(pairs, limits)
    same(pairs, reference=oracle.faster)
