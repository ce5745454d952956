"""Panoptic quality against panopticapi's rule written out on dense maps, and against torchmetrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import UnknownNameError
from apiece.metrics import evaluate
from apiece.metrics._kit.one_to_one import heaviest
from apiece.metrics._kit.overlaps import Pairs
from apiece.testing import _pairs as scenes

CLASSES = ("thing", "other", "sky", "road")
STUFF = ("sky", "road")

Segments = tuple[np.ndarray, list[tuple[int, bool]]]
"""Ids from 1 (0: void) of shape (H, W), and class and crowd of each segment."""


def segments(rng: np.random.Generator, size: tuple[int, int], like: Segments | None, crowds: bool) -> Segments:
    """A panoptic image: few blocks, some void; one segment per class of stuff; half of ``like`` kept."""
    ids = np.zeros(size, int)
    info: list[tuple[int, bool]] = []
    for _ in range(int(rng.integers(1, 8))):
        y, x = rng.integers(0, size[0]), rng.integers(0, size[1])
        place = np.zeros(size, bool)
        place[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = True
        label = int(rng.integers(0, 4))
        if like is not None and len(like[1]) and rng.random() < 0.6:
            k = int(rng.integers(len(like[1])))
            place, label = like[0] == k + 1, like[1][k][0]
            place[rng.integers(size[0]), rng.integers(size[1])] ^= True
        known = [k for k, (other, _) in enumerate(info) if other == label]
        if label >= 2 and known:
            ids[place] = known[0] + 1
        else:
            info.append((label, bool(crowds and label < 2 and rng.random() < 0.2)))
            ids[place] = len(info)
    kept = [k for k in range(len(info)) if (ids == k + 1).any()]
    table = np.zeros(len(info) + 1, int)
    table[[k + 1 for k in kept]] = np.arange(1, len(kept) + 1)
    return table[ids], [info[k] for k in kept]


def instances(made: Segments) -> Instances:
    ids, info = made
    labels, crowd = [label for label, _ in info], np.array([c for _, c in info], bool)
    return Instances(Masks.from_label_map(ids), labels, CLASSES, crowd=crowd)


def panopticapi(pairs: list[tuple[Segments, Segments]]) -> np.ndarray:
    """TP, FP, FN, IoU of each class by the words of COCO's panoptic evaluation."""
    out = np.zeros((len(CLASSES), 4))
    for (truth, truth_info), (found, found_info) in pairs:
        hit_t, hit_p = set(), set()
        for t, (label, crowd) in enumerate(truth_info):
            for p, (other, _) in enumerate(found_info):
                shared = ((truth == t + 1) & (found == p + 1)).sum()
                if crowd or label != other or not shared:
                    continue
                void = ((truth == 0) & (found == p + 1)).sum()
                iou = shared / ((truth == t + 1).sum() + (found == p + 1).sum() - shared - void)
                if iou > 0.5:
                    out[label, [0, 3]] += 1, iou
                    hit_t.add(t)
                    hit_p.add(p)
        for t, (label, crowd) in enumerate(truth_info):
            out[label, 2] += t not in hit_t and not crowd
        for p, (label, _) in enumerate(found_info):
            mine = found == p + 1
            unclear = truth == 0
            for t, (other, crowd) in enumerate(truth_info):
                if crowd and other == label:
                    unclear = unclear | (truth == t + 1)
            out[label, 1] += p not in hit_p and not (mine & unclear).sum() / mine.sum() > 0.5
    return out


def expected(sums: np.ndarray) -> dict[str, float]:
    """As ``pq_average``, for all, things and stuff."""
    out = {}
    for name, chosen in (("", slice(None)), ("_things", slice(0, 2)), ("_stuff", slice(2, 4))):
        some = sums[chosen][sums[chosen][:, :3].sum(1) > 0]
        whole = some[:, 0] + some[:, 1] / 2 + some[:, 2] / 2
        with np.errstate(invalid="ignore"):
            values = {"pq": some[:, 3] / whole, "sq": some[:, 3] / np.maximum(some[:, 0], 1), "rq": some[:, 0] / whole}
        out |= {f"{key}{name}": value.mean() if len(value) else np.nan for key, value in values.items()}
    return out


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_equal_to_panopticapi(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(3):
        truth = segments(rng, (9, 11), None, crowds=True)
        pairs.append((truth, segments(rng, (9, 11), truth, crowds=False)))
    result = evaluate([(instances(t), instances(p)) for t, p in pairs], metrics=["panoptic"], stuff=STUFF)
    sums = panopticapi(pairs)
    found = {key: value for key, value in result.numbers.items() if key != "pq_image"}
    assert found == pytest.approx(expected(sums), nan_ok=True)
    for k, name in enumerate(CLASSES):
        alone = expected(np.where(np.arange(4)[:, None] == k, sums, 0))
        assert result.per_class[name] == pytest.approx({key: alone[key] for key in ("pq", "sq", "rq")}, nan_ok=True)
    each = [panopticapi([pair]).sum(0) for pair in pairs]
    quality = [s[3] / (s[0] + s[1] / 2 + s[2] / 2) for s in each if s[:3].sum()]
    assert result["pq_image"] == pytest.approx(np.mean(quality))


@pytest.mark.slow
def test_equal_to_torchmetrics() -> None:
    import torch
    from torchmetrics.detection import PanopticQuality

    def colours(made: Segments) -> np.ndarray:
        label = np.array([4, *(label for label, _ in made[1])])[made[0]]
        return np.stack([label, made[0]], -1)

    for seed in range(12):
        rng = np.random.default_rng(seed)
        theirs = PanopticQuality(things={0, 1}, stuffs={2, 3}, allow_unknown_preds_category=True, return_sq_and_rq=True)
        pairs = []
        for _ in range(3):
            truth = segments(rng, (9, 11), None, crowds=False)
            ids, info = segments(rng, (9, 11), truth, crowds=False)
            # torchmetrics forgives what a prediction leaves open, which panopticapi does not: nothing is left open
            found = np.where(ids == 0, len(info) + 1, ids), [*info, (0, False)]
            pairs.append((truth, found if (ids == 0).any() else (ids, info)))
            theirs.update(*(torch.from_numpy(colours(side))[None] for side in pairs[-1][::-1]))
        result = evaluate([(instances(t), instances(p)) for t, p in pairs], metrics=["panoptic"], stuff=STUFF)
        assert [result[key] for key in ("pq", "sq", "rq")] == pytest.approx(theirs.compute().tolist(), abs=1e-6)


def literal(truth: Instances, found: Instances, conf: float) -> np.ndarray:
    """TP, FP, FN, IoU of instance sets that overlap, per class, from dense masks."""
    out = np.zeros((len(truth.classes), 4))
    for k in range(len(truth.classes)):
        real = truth[(truth.labels == k) & ~truth.crowd].masks.to_dense()
        crowd = truth[(truth.labels == k) & truth.crowd].masks.to_dense()
        mine = found[(found.labels == k) & (found.scores >= conf)].masks.to_dense()
        shared = np.einsum("ayx,byx->ab", mine.astype(int), real.astype(int))
        both = mine.sum((1, 2))[:, None] + real.sum((1, 2)) - shared
        iou = shared / np.maximum(both, 1)
        worth = np.where(iou > 0.5, iou, 0)
        i, j = linear_sum_assignment(-worth)
        hit = worth[i, j] > 0
        alone = np.ones(len(mine), bool)
        alone[i[hit]] = False
        inside = sum(((mine & c).sum((1, 2)) / np.maximum(mine.sum((1, 2)), 1) for c in crowd), np.zeros(len(mine)))
        out[k] = hit.sum(), (alone & ~(inside > 0.5)).sum(), len(real) - hit.sum(), worth[i, j].sum()
    return out


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.5]))
def test_instance_sets_that_overlap(seed: int, conf: float) -> None:
    pairs = scenes.pairs(seed)
    result = evaluate(pairs, metrics=["panoptic"], conf=conf)
    sums = np.sum([literal(truth, found, conf) for truth, found in pairs], 0)
    whole = sums[:, 0] + sums[:, 1] / 2 + sums[:, 2] / 2
    for k, name in enumerate("ab"):
        quality = sums[k, 3] / whole[k] if whole[k] else np.nan
        assert result.per_class[name]["pq"] == pytest.approx(quality, nan_ok=True)
        f1 = sums[k, 0] / whole[k] if whole[k] else np.nan
        assert result.per_class[name]["rq"] == pytest.approx(f1, nan_ok=True)
    assert "pq_things" not in result


def test_by_hand() -> None:
    truth = np.zeros((4, 10), int)
    truth[:, :4], truth[:, 6:8] = 1, 2
    found = np.zeros((4, 10), int)
    found[:, :3], found[:, 6:10] = 1, 2
    # IoU 3/4; and 8/16, which is not above one half: one wrong, one missed
    pair = (Instances.from_label_map(truth), Instances.from_label_map(found))
    result = evaluate([pair], metrics=["panoptic"])
    assert (result["pq"], result["sq"], result["rq"]) == (0.75 / 2, 0.75, 0.5)
    # with a class of stuff what is not labelled is void: the second prediction has IoU 1
    made = [side.replace(classes=("cell", "sky")) for side in pair]
    assert evaluate([tuple(made)], metrics=["panoptic"], stuff=["sky"])["pq"] == (0.75 + 1) / 2
    with pytest.raises(UnknownNameError, match="ski"):
        evaluate([tuple(made)], metrics=["panoptic"], stuff=["ski"])


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_heaviest_finds_the_largest_total(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    p, t = rng.integers(0, 12, 2)
    iou = (rng.integers(1, 4, (p, t)) / 4 if ties else rng.uniform(0.01, 1, (p, t))) * (rng.random((p, t)) < 0.4)
    rows, columns = np.nonzero(iou)
    pairs = Pairs(rows, columns, iou[rows, columns])
    chosen = heaviest(pairs.predicted, pairs.truth, pairs.iou)
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == chosen.sum()
    i, j = linear_sum_assignment(-iou)
    assert pairs.iou[chosen].sum() == pytest.approx(iou[i, j].sum())
