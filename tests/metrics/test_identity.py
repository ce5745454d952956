"""IDF1 against the dense assignment and TrackEval (where it is installed); what holds for all tracking metrics."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from tests.metrics import track_scenes as scenes

from apiece.core.image import ImageRef
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.formats import read, write
from apiece.metrics import Evaluation, VideoFrame, evaluate, frame_of, identity
from apiece.metrics._engine import evaluate as engine

KEYS = {"idf1": "IDF1", "idp": "IDP", "idr": "IDR", "idtp": "IDTP", "idfp": "IDFP", "idfn": "IDFN"}
ALL = ("hota", "mots", "identity")
ONES = ("hota", "deta", "assa", "loca", "detre", "detpr", "assre", "asspr", "motsa", "smotsa", "motsp", "idf1", "idp",
        "idr")  # fmt: skip
ZEROS = ("mots_fp", "mots_fn", "id_switches", "idfp", "idfn")


def dense(made: dict[str, Any]) -> dict[str, float]:
    """Every true against every predicted track, and a place for each to stay alone."""
    together = np.zeros((made["num_gt_ids"], made["num_tracker_ids"]))
    for t, p, s in zip(made["gt_ids"], made["tracker_ids"], made["similarity_scores"], strict=True):
        together[np.ix_(t, p)] += s >= 0.5
    long_t, long_p = (np.bincount(np.concatenate(made[key])) for key in ("gt_ids", "tracker_ids"))
    n, m = together.shape
    cost = np.full((n + m, n + m), 1e9)
    cost[:n, :m] = long_t[:, None] + long_p - 2 * together
    cost[np.arange(n), m + np.arange(n)] = long_t
    cost[n + np.arange(m), np.arange(m)] = long_p
    cost[n:, m:] = 0
    i, j = linear_sum_assignment(cost)
    joined = (i < n) & (j < m)
    tp = together[i[joined], j[joined]].sum()
    fp, fn = long_p.sum() - tp, long_t.sum() - tp
    return {"idf1": tp / (tp + fp / 2 + fn / 2), "idp": tp / (tp + fp), "idr": tp / (tp + fn), "idtp": tp, "idfp": fp,
            "idfn": fn}  # fmt: skip


def trackeval(made: dict[str, Any]) -> dict[str, float]:
    package = pytest.importorskip("trackeval", reason="pip install --no-deps trackeval")
    result = package.metrics.Identity({"PRINT_CONFIG": False}).eval_sequence(made)
    return {name: result[theirs] for name, theirs in KEYS.items()}


@pytest.mark.parametrize("oracle", [dense, trackeval])
def test_every_number_is_the_oracle_s(oracle: Any) -> None:
    for seed in range(16):
        made = scenes.sequence(seed, rivals=(0.05, 0.3, 0.9)[seed % 3])
        scores = identity.scores(identity.count(scenes.tracks(made)))
        for name, expected in oracle(made).items():
            assert scores[name][0] == pytest.approx(expected, abs=1e-9), (seed, name)


def test_masks_of_a_video_with_crowds_and_ignored_regions() -> None:
    for seed in range(4):
        pairs, places = scenes.video(seed, frames=15, apart=seed % 2 == 0)
        result = evaluate(pairs, metrics=["identity"], frames=places)
        for name, made in zip(scenes.CLASSES, scenes.sequences_of(pairs, places), strict=True):
            for key, expected in dense(made).items():
                assert result.per_class[name][key] == pytest.approx(expected, abs=1e-9), (seed, name, key)


def judge(pairs: list[tuple[Instances, Instances]], places: list[VideoFrame]) -> Evaluation:
    return evaluate(pairs, metrics=ALL, frames=places)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_perfect_tracking_is_one_whatever_the_ids_are_called(seed: int) -> None:
    pairs, places = scenes.video(seed)
    some = [
        (truth[~truth.crowd & (truth.masks.area > 0)], frame) for (truth, _), frame in zip(pairs, places, strict=True)
    ]
    names = np.random.default_rng(seed).permutation(10**6)[:100] - 500_000
    result = judge([(truth, truth.replace(ids=names[truth.ids])) for truth, _ in some], [frame for _, frame in some])
    assert [result[key] for key in ONES] == pytest.approx([1] * len(ONES), abs=1e-12)
    assert [result[key] for key in ZEROS] == [0] * len(ZEROS)


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_other_names_of_the_ids_change_nothing(seed: int) -> None:
    pairs, places = scenes.video(seed, apart=False)
    rng = np.random.default_rng(seed)
    names = rng.permutation(400) * 2**50
    renamed = [(a.replace(ids=names[a.ids + 200]), b.replace(ids=names[b.ids + 100])) for a, b in pairs]
    assert dict(judge(renamed, places)) == pytest.approx(dict(judge(pairs, places)), nan_ok=True, abs=1e-12)


def test_batches_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, places = scenes.video(3, frames=12)
    whole = judge(pairs, places)
    monkeypatch.setattr(engine, "_MAX_IMAGES", 5)
    parts = judge(pairs, places)
    assert dict(parts) == pytest.approx(dict(whole), nan_ok=True, abs=1e-12)
    assert parts.per_class["car"] == pytest.approx(whole.per_class["car"], nan_ok=True, abs=1e-12)


def test_ids_of_two_sequences_have_nothing_to_do_with_each_other() -> None:
    first, second = scenes.video(4, frames=6), scenes.video(5, frames=6)
    mixed = [pair for both in zip(first[0], second[0], strict=True) for pair in both]
    places = [VideoFrame(name, frame.ignored) for both in zip(first[1], second[1], strict=True)
              for name, frame in zip("ab", both, strict=True)]  # fmt: skip
    result = judge(mixed, places)
    for name, alone in (("a", judge(*first)), ("b", judge(*second))):
        for metric in ALL:
            own = result.extras[metric]["sequences"][name]
            assert own == pytest.approx({key: alone[key] for key in own}, nan_ok=True, abs=1e-12)
    switches = [values["id_switches"] for values in result.extras["mots"]["sequences"].values()]
    assert result["id_switches"] == sum(switches)


def test_ids_of_one_frame_each_are_told_to_be_no_tracks() -> None:
    pairs, places = scenes.video(6, frames=4)
    single = [(a.replace(ids=a.ids + 1000 * k), b) for k, (a, b) in enumerate(pairs)]
    assert judge(pairs, places).notes == ()
    (note,) = judge(single, places).notes
    assert "no id of the truth is in more than one frame" in note


def test_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(identity)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("name", "attributes", "sequence"),
    [
        ("0002/000052.png", {}, "0002"),
        ("a/b/t003.tif", {}, "a/b"),
        ("a\\b\\t003.tif", {}, "a/b"),
        ("frame_000003.png", {}, ""),
        ("x/3.jpg", {"video_id": 12}, "12"),
    ],
)
def test_the_sequence_is_the_folder_or_what_the_file_says(name: str, attributes: dict[str, Any], sequence: str) -> None:
    assert frame_of(ImageRef(Path(name), name, attributes=attributes)).sequence == sequence


def test_kitti_mots_files_end_to_end(tmp_path: Path) -> None:
    def box(x: int, size: int = 4) -> np.ndarray:
        dense = np.zeros((8, 32), bool)
        dense[2 : 2 + size, x : x + size] = True
        return dense

    def records(found: bool) -> list[tuple[ImageRef, Instances]]:
        out = []
        for sequence in ("0001", "0002"):
            for k in range(4):
                masks, ids = [box(k)], [1001 if not found or k < 3 else 1002]
                if found and k == 0:  # one in the ignored region, one for nothing
                    masks, ids = [*masks, box(21), box(12)], [*ids, 1005, 1006]
                name = f"{sequence}/{k:06d}.png"
                regions = {"regions": {"ignore": Masks.from_dense(box(20, 6)[None]).to_coco()[0]}}
                ref = ImageRef(Path(name), name, attributes={} if found else regions)
                labels = np.zeros(len(ids), np.int64)
                out.append((ref, Instances(Masks.from_dense(np.stack(masks)), labels, ("car", "pedestrian"), ids=ids)))
        return out

    write(records(False), tmp_path / "truth", format="kitti_mots")
    write(records(True), tmp_path / "found", format="kitti_mots")
    truth, found = list(read(tmp_path / "truth")), list(read(tmp_path / "found"))
    result = judge([(a, b) for (_, a), (_, b) in zip(truth, found, strict=True)], [frame_of(ref) for ref, _ in truth])
    assert (result["mots_tp"], result["mots_fp"], result["mots_fn"], result["id_switches"]) == (8, 2, 0, 2)
    assert result["motsa"] == (8 - 2 - 2) / 8
    assert (result["idtp"], result["idfp"], result["idfn"]) == (6, 4, 2)
    assert result["assa"] == pytest.approx((3 * 3 / 4 + 1 / 4) / 4)
    assert set(result.extras["hota"]["sequences"]) == {"0001", "0002"}
