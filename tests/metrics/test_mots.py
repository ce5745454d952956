"""MOTSA and kin against dense loops, against TrackEval where it is installed, and rules by hand."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from tests.metrics import track_scenes as scenes

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import DataError
from apiece.metrics import VideoFrame, evaluate, mots

KEYS = {"motsa": "MOTA", "smotsa": "sMOTA", "motsp": "MOTP", "id_switches": "IDSW", "fragmentations": "Frag",
        "mots_tp": "CLR_TP", "mots_fp": "CLR_FP", "mots_fn": "CLR_FN", "mostly_tracked": "MT",
        "partly_tracked": "PT", "mostly_lost": "ML"}  # fmt: skip


def dense(made: dict[str, Any]) -> dict[str, float]:
    """The definition, frame by frame."""
    out = dict.fromkeys(KEYS, 0.0)
    iou = 0.0
    frames, hits = np.zeros(made["num_gt_ids"]), np.zeros(made["num_gt_ids"])
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    for t, p, s in zip(made["gt_ids"], made["tracker_ids"], made["similarity_scores"], strict=True):
        frames[t] += 1
        stays = np.array([[before.get(a) == b for b in p] for a in t], bool).reshape(s.shape)
        i, j = scenes.assigned(np.where(s >= 0.5, s + 1000 * stays, 0))
        now = dict(zip(t[i].tolist(), p[j].tolist(), strict=True))
        out["id_switches"] += sum(last.get(a, b) != b for a, b in now.items())
        out["fragmentations"] += sum(a in last and a not in before for a in now)
        out["mots_tp"] += len(now)
        out["mots_fn"] += len(t) - len(now)
        out["mots_fp"] += len(p) - len(now)
        iou += s[i, j].sum()
        hits[t[i]] += 1
        last |= now
        before = now if len(t) and len(p) else before
    wrong, truths = out["mots_fp"] + out["id_switches"], out["mots_tp"] + out["mots_fn"]
    out |= {"motsa": (out["mots_tp"] - wrong) / truths, "smotsa": (iou - wrong) / truths, "motsp": iou / out["mots_tp"]}
    share = hits / frames
    return out | {"mostly_tracked": (share > 0.8).sum(), "mostly_lost": (share < 0.2).sum(),
                  "partly_tracked": ((share >= 0.2) & (share <= 0.8)).sum()}  # fmt: skip


def trackeval(made: dict[str, Any]) -> dict[str, float]:
    package = pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    result = package.metrics.CLEAR({"PRINT_CONFIG": False}).eval_sequence(made)
    return {name: result[theirs] for name, theirs in KEYS.items()}


@pytest.mark.parametrize("oracle", [dense, trackeval])
def test_every_number_is_the_oracle_s(oracle: Any) -> None:
    for seed in range(24):
        made = scenes.sequence(seed, rivals=(0.05, 0.3, 0.9)[seed % 3])
        scores = mots.scores(mots.count(scenes.tracks(made)))
        for name, expected in oracle(made).items():
            assert scores[name][0] == pytest.approx(expected, abs=1e-9), (seed, name)


@pytest.mark.parametrize("apart", [True, False])
def test_masks_of_a_video_with_crowds_and_ignored_regions(apart: bool) -> None:
    for seed in range(4):
        pairs, places = scenes.video(seed, frames=20, apart=apart)
        result = evaluate(pairs, metrics=["mots"], frames=places)
        for name, made in zip(scenes.CLASSES, scenes.sequences_of(pairs, places), strict=True):
            for key, expected in dense(made).items():
                assert result.per_class[name][key] == pytest.approx(expected, abs=1e-9), (seed, name, key)


def square(x: int, ids: int, size: int = 4) -> Instances:
    """One square on an image of 8 x 32."""
    dense = np.zeros((1, 8, 32), bool)
    dense[0, 2 : 2 + size, x : x + size] = True
    return Instances(Masks.from_dense(dense), ids=[ids])


NOTHING = Instances.empty((8, 32))


def test_a_switch_over_a_gap_counts_once_and_the_track_is_fragmented() -> None:
    truth = [square(x, 7) for x in range(6)]
    found = [square(0, 1), square(1, 1), NOTHING, square(3, 2), square(4, 2), square(20, 2)]
    result = evaluate(zip(truth, found, strict=True), metrics=["mots"])
    assert (result["mots_tp"], result["mots_fp"], result["mots_fn"]) == (4, 1, 2)
    assert result["id_switches"] == 1
    # the frame without predictions is passed over, so nothing was lost in between
    assert result["fragmentations"] == 0
    assert result["motsa"] == result["smotsa"] == pytest.approx((4 - 1 - 1) / 6)
    assert (result["motsp"], result["partly_tracked"]) == (1, 1)
    with_stray = [*found[:2], square(20, 9), *found[3:]]
    assert evaluate(zip(truth, with_stray, strict=True), metrics=["mots"])["fragmentations"] == 1


def test_what_was_matched_before_stays_though_another_fits_better() -> None:
    both = Instances.concatenate([square(1, 1), square(0, 2)])
    truth = [square(0, 7), square(0, 7)]
    result = evaluate(zip(truth, [square(0, 1), both], strict=True), metrics=["mots"])
    assert result["id_switches"] == 0
    assert result["motsp"] == pytest.approx((1 + 12 / 20) / 2)


def test_iou_of_exactly_a_half_matches() -> None:
    half = np.zeros((1, 8, 32), bool)
    half[0, 2:6, :2] = True
    result = evaluate([(square(0, 1), Instances(Masks.from_dense(half), ids=[1]))], metrics=["mots"])
    assert (result["mots_tp"], result["motsp"]) == (1, 0.5)


def test_an_unmatched_prediction_more_than_half_in_a_crowd_or_an_ignored_region_counts_neither_way() -> None:
    found = square(10, 1)
    crowd = square(11, 5, 6).replace(crowd=[True])
    region = square(11, 0, 6).masks
    assert evaluate([(NOTHING, found)], metrics=["mots"])["mots_fp"] == 1
    assert evaluate([(crowd, found)], metrics=["mots"])["mots_fp"] == 0
    assert evaluate([(NOTHING, found)], metrics=["mots"], frames=[VideoFrame("", region)])["mots_fp"] == 0
    beside = square(12, 0, 6).masks  # exactly half of the prediction
    assert evaluate([(NOTHING, found)], metrics=["mots"], frames=[VideoFrame("", beside)])["mots_fp"] == 1
    crowd_beside = square(12, 5, 6).replace(crowd=[True])
    assert evaluate([(crowd_beside, found)], metrics=["mots"])["mots_fp"] == 1
    hit = evaluate([(square(10, 3), found)], metrics=["mots"], frames=[VideoFrame("", region)])
    assert (hit["mots_tp"], hit["mots_fn"]) == (1, 0)


def test_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(mots)
    assert result.attempted
    assert not result.failed


def test_what_cannot_be_judged_is_refused_with_the_image() -> None:
    bare = Instances(square(0, 1).masks)
    with pytest.raises(DataError, match=r"image 1: objects of the predictions have no ids.*track them first"):
        evaluate([(square(0, 1), square(0, 1)), (square(0, 1), bare)], metrics=["mots"])
    with pytest.raises(DataError, match="image 0: objects of the truth have no ids"):
        evaluate([(bare, square(0, 1))], metrics=["mots"])
    twice = Instances.concatenate([square(0, 1), square(9, 1)])
    with pytest.raises(DataError, match="two objects of the truth, of class 'object', have id 1"):
        evaluate([(twice, square(0, 1))], metrics=["mots"])
    with pytest.raises(DataError, match=r"ignored regions lie on \(4, 4\)"):
        evaluate(
            [(NOTHING, NOTHING)], metrics=["mots"], frames=[VideoFrame("", Masks.from_dense(np.ones((1, 4, 4), bool)))]
        )
    with pytest.raises(DataError, match="frames: given for 1 images"):
        evaluate([(NOTHING, NOTHING)] * 2, metrics=["mots"], frames=[VideoFrame()])
