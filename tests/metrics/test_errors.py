"""Error kinds against loops over dense masks and against tidecv, and rules by hand."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.metrics import errors_literal as literal

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.core.run_overlap import shared
from apiece.errors import DataError
from apiece.metrics import errors, evaluate
from apiece.metrics.errors import _forms, _kinds
from apiece.testing import _pairs as scenes

Pair = tuple[Instances, Instances]
NAMES = (*literal.KINDS, "false_positive", "false_negative")


@pytest.mark.parametrize("module", [errors, _kinds, _forms])
def test_examples(module: object) -> None:
    result = doctest.testmod(module)
    assert result.attempted
    assert not result.failed


def cells(seed: int, images: int, side: int = 40) -> list[Pair]:
    """Truth in rows of cells, some touching; predictions that are merged, split, shifted, doubled, mislabelled, new."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(images):
        left, top = np.meshgrid(np.arange(1, side - 8, 10), np.arange(1, side - 8, 10))
        corner = np.stack([left.ravel(), top.ravel()], 1)[rng.random(left.size) < 0.8]
        boxes = np.concatenate([corner, corner + rng.integers(5, 10, corner.shape)], 1).astype(float)
        labels = rng.integers(0, 2, len(boxes))
        made, names = [], []
        for box, label in zip(boxes, labels, strict=True):
            middle = np.round(box[:2] + (box[2:] - box[:2]) / 2)
            halves = [[*box[:2], middle[0], box[3]], [middle[0], box[1], *box[2:]]]
            options = [
                [],
                [box],
                [box + np.tile(rng.integers(-3, 4, 2), 2)],
                halves,
                [box, halves[0]],
                [box + np.array([0, 0, 10, 0])],
                [box + np.array([1, 1, -1, -1]), box + np.tile(rng.integers(-1, 2, 2), 2)],
            ]
            chosen = options[rng.integers(len(options))]
            made += chosen
            names += [label if rng.random() < 0.85 else 1 - label] * len(chosen)
        for _ in range(rng.integers(3)):
            made.append(rng.integers(0, side, 4).astype(float))
            names.append(int(rng.integers(2)))
        found = np.array(made, float).reshape(-1, 4)
        found = np.concatenate([np.minimum(found[:, :2], found[:, 2:]), np.maximum(found[:, :2], found[:, 2:])], 1)
        masks = Masks.from_boxes(found, (side, side))
        real = Instances(Masks.from_boxes(boxes, (side, side)), labels, ("a", "b"))
        pairs.append((real, Instances(masks, np.array(names, int), ("a", "b"), scores=rng.random(len(masks)))))
    return pairs


def check_against_loops(pairs: list[Pair], limit: int = 100) -> None:
    result = evaluate(pairs, metrics=["coco", "errors"], max_dets=(1, limit))
    extras = result.extras["errors"]
    for level, suffix in ((0.5, ""), (0.75, "75")):
        pictures = [literal.judge(truth, found, level, limit) for truth, found in pairs]
        expected = literal.decomposed(pictures, len(pairs[0][0].classes), [truth for truth, _ in pairs])
        made = extras[f"decomposition{suffix}"]
        assert np.array_equal(made.count_per_class, expected["count"])
        np.testing.assert_allclose(made.ap_per_class, expected["now"], atol=1e-12)
        costs = np.concatenate([made.cost_per_class, made.special_per_class], 1)
        for k, name in enumerate(NAMES):
            np.testing.assert_allclose(costs[:, k], expected[name] - expected["now"], atol=1e-12, err_msg=name)
            per_class = [values[f"dap{suffix}_{name}"] for values in result.per_class.values()]
            np.testing.assert_allclose(per_class, costs[:, k])
            with np.errstate(invalid="ignore"):
                mean = np.nanmean(costs[:, k]) if not np.isnan(costs[:, k]).all() else np.nan
            assert result[f"dap{suffix}_{name}"] == pytest.approx(mean, abs=1e-12, nan_ok=True)
        for k, name in enumerate(literal.KINDS):
            assert result[f"errors{suffix}_{name}"] == expected["count"][:, k].sum()
        known = result[f"mask_ap{round(100 * level)}"]
        assert (np.isnan(made.ap) and known == -1) or made.ap == pytest.approx(known, abs=1e-12)
    check_faults(extras["faults"], [literal.judge(truth, found, 0.5, limit) for truth, found in pairs])


def check_faults(faults: errors.Faults, pictures: list[literal.Picture]) -> None:
    name = ("", *faults.kinds)
    form = ("", *faults.forms)
    for i, here in enumerate(pictures):
        rows = range(faults.offsets[i], faults.offsets[i + 1])
        assert [faults.index[r] for r in rows] == [g.index for g in here.guesses]
        assert [name[faults.kind[r] + 1] for r in rows] == [g.kind for g in here.guesses]
        assert [form[faults.form[r] + 1] for r in rows] == [g.form for g in here.guesses]
        assert [faults.ignored[r] for r in rows] == [g.ignored for g in here.guesses]
        assert [faults.truth[r] for r in rows] == [g.about for g in here.guesses]
        lost = slice(faults.lost_offsets[i], faults.lost_offsets[i + 1])
        assert faults.lost[lost].tolist() == sorted(here.lost)
        assert faults.lost[lost][faults.missed[lost]].tolist() == sorted(here.missed)
    assert len(faults.index) == faults.offsets[-1]
    assert len(faults.lost) == faults.lost_offsets[-1]


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 100]))
def test_equal_to_loops_on_ties_crowds_and_empty_sides(seed: int, limit: int) -> None:
    check_against_loops(scenes.pairs(seed), limit)


@settings(max_examples=8)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_loops_on_cells(seed: int) -> None:
    check_against_loops(cells(seed, images=2))


def test_the_loops_see_every_kind() -> None:
    result = evaluate(cells(1, images=12), metrics=["errors"])
    assert all(result[f"errors_{name}"] > 0 for name in literal.KINDS)


def test_batches_do_not_change_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = cells(5, images=7)
    whole = evaluate(pairs, metrics=["errors"])
    monkeypatch.setattr("apiece.metrics._engine.evaluate._MAX_IMAGES", 2)
    parts = evaluate(pairs, metrics=["errors"])
    assert dict(whole) == dict(parts)
    for name in ("offsets", "index", "kind", "form", "ignored", "truth", "lost_offsets", "lost", "missed"):
        ours, theirs = (getattr(r.extras["errors"]["faults"], name) for r in (whole, parts))
        assert np.array_equal(ours, theirs)


# --- tidecv -----------------------------------------------------------------------------------------------------------


def tide(pairs: list[Pair], level: float) -> tuple[dict[str, float], dict[str, int]]:
    """Costs, in parts of 1, and counts of the authors' code."""
    module = pytest.importorskip(
        "tidecv", reason="pip install --no-deps tidecv appdirs seaborn (it asks for opencv-python, which replaces ours)"
    )
    data, results = module.Data("truth"), module.Data("found")
    for i, (truth, found) in enumerate(pairs):
        for k, rle in enumerate(truth.masks.to_coco()):
            data.add_ground_truth(i, int(truth.labels[k]), None, rle)
        data.add_image(i, str(i))
        data._make_default_image(i)
        for k, rle in enumerate(found.masks.to_coco()):
            results.add_detection(i, int(found.labels[k]), float(found.scores[k]), None, rle)
    judge = module.TIDE(pos_threshold=level, mode=module.TIDE.MASK)
    run = judge.evaluate(data, results, name="x")
    costs = {**judge.get_all_errors()["main"]["x"], **judge.get_all_errors()["special"]["x"], "AP": run.ap}
    counts = {kind.short_name: n for kind, n in run.count_errors().items()}
    return {name: value / 100 for name, value in costs.items()}, counts


TIDE_NAMES = {
    "Cls": "class", "Loc": "localisation", "Both": "both", "Dupe": "duplicate", "Bkg": "background", "Miss": "missed",
    "FalsePos": "false_positive", "FalseNeg": "false_negative",
}  # fmt: skip


def roughened(pairs: list[Pair], seed: int) -> list[Pair]:
    """A few pixels of every prediction turned over, so that hardly any two IoU are the same."""
    rng = np.random.default_rng(seed)
    out = []
    for truth, found in pairs:
        dense = found.masks.to_dense()
        out.append((truth, found.replace(masks=Masks.from_dense(dense ^ (rng.random(dense.shape) < 0.003)))))
    return out


def plain(pairs: list[Pair], level: float) -> bool:
    """Whether our rules and theirs cannot differ: no IoU on a threshold, none twice, each class on both sides."""
    for truth, found in pairs:
        a, b = (s.masks.to_dense().reshape(len(s), -1).astype(float) for s in (truth, found))
        both = b @ a.T
        iou = both / np.maximum(a.sum(1) + b.sum(1)[:, None] - both, 1)
        some = [row[row >= 0.1] for row in iou]
        if np.isin(iou, [level, 0.1]).any() or any(len(set(row)) < len(row) for row in some):
            return False
    sides = [np.concatenate([s[k].labels for s in pairs]) for k in (0, 1)]
    return all(set(side.tolist()) == {0, 1} for side in sides)


@pytest.mark.slow  # it takes long to import
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.75]))
def test_equal_to_tidecv(seed: int, level: float) -> None:
    pairs = roughened(cells(seed, images=4), seed)
    assume(plain(pairs, level))
    with pytest.MonkeyPatch.context() as patch:
        # their recalls, x / 100, differ from COCO's in the last bit
        patch.setattr("apiece.metrics._kit.curves.RECALL", np.arange(101) / 100)
        ours = evaluate(pairs, metrics=["errors"])
    suffix = "" if level == 0.5 else "75"
    costs, counts = tide(pairs, level)
    assert {n: ours[f"errors{suffix}_{TIDE_NAMES[n]}"] for n in counts} == counts
    assert {n: ours[f"dap{suffix}_{TIDE_NAMES[n]}"] for n in TIDE_NAMES} == pytest.approx(
        {n: costs[n] for n in TIDE_NAMES}, abs=1e-9
    )
    assert ours.extras["errors"][f"decomposition{suffix}"].ap == pytest.approx(costs["AP"], abs=1e-9)


# --- by hand ----------------------------------------------------------------------------------------------------------


def boxes(*places: tuple[int, int, int, int], **more: object) -> Instances:
    return Instances(Masks.from_boxes(np.array(places, float).reshape(-1, 4), (40, 40)), **more)


def kinds(truth: Instances, found: Instances) -> list[tuple[str, str]]:
    """Kind and form of each prediction, in the order given."""
    faults = evaluate([(truth, found)], metrics=["errors"]).extras["errors"]["faults"]
    kind, form = ("", *faults.kinds), ("", *faults.forms)
    named = [(kind[k + 1], form[f + 1]) for k, f in zip(faults.kind, faults.form, strict=True)]
    return [named[row] for row in np.argsort(faults.index)]


def test_each_kind_once() -> None:
    classes = ("bolt", "nut")
    truth = boxes((0, 0, 10, 10), (20, 0, 30, 10), (0, 20, 10, 30), classes=classes, labels=[0, 1, 0])
    found = boxes(
        (0, 0, 10, 10), (0, 0, 10, 9), (20, 0, 30, 8), (4, 24, 14, 34), (24, 0, 34, 10), (30, 30, 38, 38),
        classes=classes, labels=[0, 0, 0, 0, 0, 1], scores=[0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
    )  # fmt: skip
    assert [kind for kind, _ in kinds(truth, found)] == [
        "", "duplicate", "class", "localisation", "both", "background",
    ]  # fmt: skip
    result = evaluate([(truth, found)], metrics=["errors"])
    # an error of class points at the nut and one of localisation at the second bolt: neither is missed
    assert result["errors_missed"] == 0
    # bolts: right, then four wrong: recall 1/2 at precision 1. Nuts: none
    now = 51 / 101
    assert result.extras["errors"]["decomposition"].ap == pytest.approx(now / 2)
    # the nut comes before the one prediction of its class that is wrong
    assert result["dap_class"] == pytest.approx(1 / 2)
    # right, wrong, wrong, right: recall 1 at precision 1/2
    assert result["dap_localisation"] == pytest.approx((51 + 50 / 2) / 101 / 2 - now / 2)
    assert result["dap_false_positive"] == pytest.approx(0)
    # without the second bolt recall is 1 at once; without the nut its class has a wrong prediction only
    assert result["dap_false_negative"] == pytest.approx(1 / 2 - now / 2)


def test_a_merge_cut_up_finds_all_it_covers() -> None:
    truth = boxes((0, 0, 10, 10), (10, 0, 20, 10), (20, 0, 30, 10))
    found = boxes((0, 0, 30, 10), scores=[0.9])
    assert kinds(truth, found) == [("localisation", "merge")]
    result = evaluate([(truth, found)], metrics=["errors"])
    assert result["dap_merge"] == pytest.approx(1)
    # TIDE's mending gives it to one of the three
    assert result["dap_localisation"] == pytest.approx(34 / 101)
    assert (result["errors_merge"], result["errors_missed"]) == (1, 2)
    # right for the large one, and the only one to cover the small one
    truth, found = boxes((0, 0, 10, 10), (10, 0, 12, 10)), boxes((0, 0, 12, 10), scores=[0.9])
    assert kinds(truth, found) == [("", "merge")]
    assert evaluate([(truth, found)], metrics=["errors"])["dap_merge"] == pytest.approx(1 - 51 / 101)
    # where another one has found the small one nothing is merged
    more = boxes((0, 0, 12, 10), (10, 0, 12, 10), scores=[0.9, 0.8])
    assert kinds(truth, more) == [("", ""), ("", "")]


def test_pieces_joined_find_the_object() -> None:
    truth = boxes((0, 0, 30, 10))
    thirds = boxes((0, 0, 10, 10), (10, 0, 20, 10), (20, 0, 30, 10), scores=[0.7, 0.9, 0.8])
    assert kinds(truth, thirds) == [("localisation", "split")] * 3
    result = evaluate([(truth, thirds)], metrics=["errors"])
    assert result["dap_split"] == pytest.approx(1)
    assert result["errors_split"] == 1
    # one piece is enough for a match: the rest goes
    two = boxes((0, 0, 20, 10), (20, 0, 30, 10), scores=[0.7, 0.9])
    assert kinds(truth, two) == [("", ""), ("localisation", "split")]
    assert evaluate([(truth, two)], metrics=["errors"])["dap_split"] == pytest.approx(1 / 2)
    # a piece within the match is nothing apart from it
    nested = boxes((0, 0, 25, 10), (5, 0, 15, 10), scores=[0.9, 0.7])
    assert kinds(truth, nested) == [("", ""), ("localisation", "")]


def test_an_inexact_outline_is_a_boundary_error_and_a_wrong_place_is_none() -> None:
    # 100 pixels against 36: the outlines are two pixels apart, (100 - 36) / ((40 + 24) / 2) = 2
    small = boxes((2, 2, 8, 8), scores=[0.9])
    assert kinds(boxes((0, 0, 10, 10)), small) == [("localisation", "boundary")]
    assert evaluate([(boxes((0, 0, 10, 10)), small)], metrics=["errors"])["dap_boundary"] == pytest.approx(1)
    assert kinds(boxes((0, 0, 10, 10)), boxes((7, 0, 17, 10), scores=[0.9])) == [("localisation", "")]
    # the same IoU at three times the size
    assert kinds(boxes((0, 0, 30, 30)), boxes((6, 6, 24, 24), scores=[0.9])) == [("localisation", "")]


def test_a_crowd_is_no_error_and_nothing_is_undefined() -> None:
    truth = boxes((0, 0, 10, 10), (20, 0, 40, 20), crowd=[False, True])
    found = boxes((0, 0, 10, 10), (22, 2, 30, 10), scores=[0.5, 0.9])
    result = evaluate([(truth, found)], metrics=["errors"])
    assert sum(result[f"errors_{name}"] for name in literal.KINDS) == 0
    assert all(result[f"dap_{name}"] == pytest.approx(0, abs=1e-12) for name in NAMES)
    assert result.extras["errors"]["faults"].ignored.tolist() == [True, False]
    nothing = Instances.empty((4, 4), scored=True)
    assert np.isnan(evaluate([(nothing, nothing)], metrics=["errors"])["dap_missed"])
    assert np.isnan(evaluate([], ("a",), metrics=["errors"])["dap75_class"])
    with pytest.raises(DataError, match="no scores"):
        evaluate([(truth, truth)], metrics=["errors"])


def test_a_limit_that_bites_says_so() -> None:
    truth, found = boxes((0, 0, 10, 10)), boxes((0, 0, 10, 10), (0, 0, 10, 10), scores=[0.9, 0.8])
    (note,) = evaluate([(truth, found)], metrics=["errors"], max_dets=[1]).notes
    assert "1 of 2" in note
    assert evaluate([(truth, found)], metrics=["errors"]).notes == ()


def test_outlines_and_shared_pixels() -> None:
    rng = np.random.default_rng(0)
    a, b = (np.pad(rng.random((6, 9, 11)) < 0.5, ((0, 1), (0, 0), (0, 0))) for _ in range(2))
    runs = [Masks.from_dense(stack).runs for stack in (a, b)]
    assert _forms.outline_lengths(runs[0]).tolist() == [literal.perimeter(mask) for mask in a]
    assert shared(runs[0], np.arange(7), runs[1], np.arange(7)).tolist() == (a & b).sum((1, 2)).tolist()


# --- real images ------------------------------------------------------------------------------------------------------


def test_what_is_done_to_real_truth_is_found(shared_data: Path) -> None:
    """Leave out, double and halve: each comes back under its name."""
    from apiece.formats import read

    truths = [t for _, t in read(shared_data / "nuclei" / "val.json")]
    truths = [t[(t.masks.area > 150) & (t.masks.parts == 1)] for t in truths[:10]]
    rng = np.random.default_rng(0)

    def scored(made: Instances) -> Instances:
        return made.replace(scores=rng.uniform(0.3, 1, len(made)))

    def result(found: list[Instances]) -> dict[str, float]:
        return dict(evaluate(zip(truths, found, strict=True), metrics=["errors"], max_dets=[1000]))

    count = sum(map(len, truths))
    thinned = [t[np.arange(len(t)) % 4 > 0] for t in truths]
    found = result([scored(t) for t in thinned])
    assert found["errors_missed"] == count - sum(map(len, thinned))
    assert found["dap_missed"] == found["dap_false_negative"] > 0.2
    doubled = result([scored(Instances.concatenate([t, t])) for t in truths])
    assert doubled["errors_duplicate"] == count
    assert doubled["dap_duplicate"] == pytest.approx(doubled["dap_false_positive"])
    halves = result([scored(Instances.concatenate([half(t, 0), half(t, 1)])) for t in truths])
    assert halves["errors_split"] > 0.9 * count
    assert halves["dap_split"] > 0.9 * halves["dap_localisation"] > 0.3


def half(truth: Instances, side: int) -> Instances:
    """The left or the right half of every mask."""
    masks = truth.masks
    box = masks.boxes
    middle = np.repeat((box[:, 0] + box[:, 2]) // 2, np.diff(masks.offsets))
    keep = (masks.x < middle) == (side == 0)
    offsets = np.concatenate([[0], np.cumsum(keep)])[masks.offsets]
    return truth.replace(masks=Masks(masks.size, masks.x[keep], masks.y0[keep], masks.y1[keep], offsets))
