"""HOTA against dense loops in the words of the paper, against TrackEval where it is installed, and rules by hand."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from tests.metrics import track_scenes as scenes

from apiece.metrics import evaluate, hota
from apiece.metrics._kit import one_to_one, tracks, tracks_log
from apiece.metrics._kit.one_to_one import heaviest

KEYS = {"hota": "HOTA", "deta": "DetA", "assa": "AssA", "loca": "LocA", "detre": "DetRe", "detpr": "DetPr",
        "assre": "AssRe", "asspr": "AssPr"}  # fmt: skip


def dense(made: dict[str, Any]) -> dict[str, np.ndarray]:
    """The definition, with every track against every track."""
    frames = list(zip(made["gt_ids"], made["tracker_ids"], made["similarity_scores"], strict=True))
    length_t = np.bincount(np.concatenate(made["gt_ids"]), minlength=made["num_gt_ids"])[:, None]
    length_p = np.bincount(np.concatenate(made["tracker_ids"]), minlength=made["num_tracker_ids"])
    soft = np.zeros((len(length_t), len(length_p)))
    for t, p, s in frames:
        total = s.sum(0) + s.sum(1)[:, None] - s
        soft[np.ix_(t, p)] += np.divide(s, total, out=np.zeros_like(s), where=total > 0)
    agreement = soft / (length_t + length_p - soft)
    out: dict[str, list[float]] = {name: [] for name in KEYS}
    for alpha in hota.ALPHAS:
        met, iou = np.zeros_like(soft), 0.0
        for t, p, s in frames:
            i, j = scenes.assigned(agreement[np.ix_(t, p)] * s)
            hit = s[i, j] >= alpha - 1e-12
            met[t[i[hit]], p[j[hit]]] += 1
            iou += s[i, j][hit].sum()
        tp, truths, predictions = met.sum(), length_t.sum(), length_p.sum()
        for name, below in (("assa", length_t + length_p - met), ("assre", length_t), ("asspr", length_p)):
            out[name].append((met * met / below).sum() / max(tp, 1))
        out["deta"].append(tp / (truths + predictions - tp))
        out["detre"].append(tp / truths)
        out["detpr"].append(tp / predictions)
        out["loca"].append(iou / tp if tp else 1.0)
        out["hota"].append(np.sqrt(out["deta"][-1] * out["assa"][-1]))
    return {name: np.array(values) for name, values in out.items()}


def trackeval(made: dict[str, Any]) -> dict[str, np.ndarray]:
    package = pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    result = package.metrics.HOTA().eval_sequence(made)
    return {name: result[theirs] for name, theirs in KEYS.items()}


@pytest.mark.parametrize("oracle", [dense, trackeval])
def test_every_alpha_is_the_oracle_s(oracle: Any) -> None:
    for seed in range(8):
        made = scenes.sequence(seed, rivals=(0.05, 0.3, 0.7)[seed % 3])
        curves = hota.curves(hota.count(scenes.tracks(made)))
        for name, expected in oracle(made).items():
            assert curves[name][0] == pytest.approx(expected, abs=1e-9), name


def test_sequences_are_pooled_as_trackeval_combines_them() -> None:
    package = pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    made = [scenes.sequence(seed, frames=12, objects=4) for seed in range(3)]
    metric = package.metrics.HOTA()
    expected = metric.combine_sequences({str(k): metric.eval_sequence(one) for k, one in enumerate(made)})
    counts = {name: values.sum(0) for name, values in hota.count(scenes.tracks(*made)).items()}
    for name, values in hota.curves(counts).items():
        assert values == pytest.approx(expected[KEYS[name]], abs=1e-9), name


@pytest.mark.parametrize("apart", [True, False])
def test_masks_of_a_video_with_crowds_and_ignored_regions(apart: bool) -> None:
    for seed in range(4):
        pairs, places = scenes.video(seed, apart=apart)
        result = evaluate(pairs, metrics=["hota"], frames=places, conf=0.4)
        for name, made in zip(scenes.CLASSES, scenes.sequences_of(pairs, places, 0.4), strict=True):
            for key, expected in dense(made).items():
                assert result.per_class[name][key] == pytest.approx(expected.mean(), abs=1e-9), (seed, name, key)


def test_kitti_mots_preparation_is_trackeval_s() -> None:
    package = pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    kitti = object.__new__(package.datasets.KittiMOTS)
    kitti.class_name_to_class_id = {name: k for k, name in enumerate(scenes.CLASSES)}
    for seed in range(4):
        pairs, places = scenes.video(seed, frames=6)
        pairs = [(truth[~truth.crowd], found) for truth, found in pairs]
        raw: dict[str, Any] = {"num_timesteps": len(pairs), "seq": "a"}
        for key in ("gt_ids", "gt_classes", "gt_dets", "tracker_ids", "tracker_classes", "tracker_dets",
                    "similarity_scores", "gt_ignore_region"):  # fmt: skip
            raw[key] = []
        for (truth, found), frame in zip(pairs, places, strict=True):
            for side, own, shift in (("gt", truth, 0), ("tracker", found, 30)):
                raw[f"{side}_ids"].append(own.ids + shift)
                raw[f"{side}_classes"].append(own.labels)
                raw[f"{side}_dets"].append(own.masks.to_coco())
            a, b = scenes.flat(truth.masks), scenes.flat(found.masks)
            shared = a @ b.T
            raw["similarity_scores"].append(shared / np.maximum(a.sum(1)[:, None] + b.sum(1) - shared, 1))
            none = {"size": [40, 60], "counts": [40 * 60]}
            raw["gt_ignore_region"].append(none if frame.ignored is None else frame.ignored.to_coco()[0])
        kitti._calculate_mask_ious = _shares
        result = evaluate(pairs, metrics=["hota"], frames=places)
        for name in scenes.CLASSES:
            made = kitti.get_preprocessed_seq_data(raw, name)
            for key, expected in trackeval(made).items():
                assert result.per_class[name][key] == pytest.approx(expected.mean(), abs=1e-9)


def _shares(found: list[Any], regions: list[Any], is_encoded: bool, do_ioa: bool) -> np.ndarray:
    """In the place of TrackEval's own, which asks pycocotools."""
    assert is_encoded
    assert do_ioa
    a, b = (scenes.flat(scenes.Masks.from_coco(rles, (40, 60))) for rles in (found, regions))
    return a @ b.T / np.maximum(a.sum(1)[:, None], 1)


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 3, 2048]))
def test_heaviest_is_the_assignment_of_greatest_weight(seed: int, piece: int) -> None:
    rng = np.random.default_rng(seed)
    shape = rng.integers(1, 12, 2)
    weight = rng.random(shape) * (rng.random(shape) < rng.random())
    row, column = np.nonzero(weight)
    before, one_to_one._SLICE = one_to_one._SLICE, piece
    try:
        chosen = heaviest(row, column, weight[row, column])
    finally:
        one_to_one._SLICE = before
    assert len(set(row[chosen])) == len(set(column[chosen])) == chosen.sum()
    best = weight[linear_sum_assignment(-weight)].sum()
    assert weight[row, column][chosen].sum() == pytest.approx(best, abs=1e-12)


def test_examples_in_the_docstrings_hold() -> None:
    for module in (hota, one_to_one, tracks, tracks_log):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


def test_nothing_is_nan_and_one_side_alone_is_zero() -> None:
    pairs, places = scenes.video(1, frames=3)
    bare = [(truth[:0], found[:0]) for truth, found in pairs]
    assert np.isnan(evaluate(bare, metrics=["hota"])["hota"])
    missed = evaluate([(truth, found[:0]) for truth, found in pairs], metrics=["hota"], frames=places)
    assert missed["hota"] == missed["deta"] == missed["assa"] == missed["detre"] == 0
    assert missed["loca"] == 1
    assert np.isnan(missed["detpr"])
