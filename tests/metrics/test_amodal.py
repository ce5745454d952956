"""Amodal masks: AP of full masks and of hidden parts, IoU by how much is hidden."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiece import Instances, Masks
from apiece.metrics import evaluate
from apiece.metrics.amodal import OCCLUSION
from apiece.ops import hidden

SIZE = (20, 40)


def boxes(*rows: list[int]) -> Masks:
    return Masks.from_boxes(list(rows), SIZE)


# the first object is hidden by half by the second, the third is free
WHOLE = boxes([0, 0, 20, 10], [10, 0, 30, 10], [30, 10, 40, 20])
SEEN = boxes([0, 0, 10, 10], [10, 0, 30, 10], [30, 10, 40, 20])
TRUTH = Instances(SEEN, full=WHOLE)


def judged(full: Masks | None, seen: Masks = SEEN, truth: Instances = TRUTH) -> dict[str, float]:
    found = Instances(seen, scores=np.linspace(0.9, 0.5, len(seen)), full=full)
    return dict(evaluate([(truth, found)], metrics=["amodal"]).numbers)


def test_perfect_full_masks() -> None:
    numbers = judged(WHOLE)
    for key in (
        "amodal_ap",
        "amodal_ap50",
        "amodal_ap75",
        "hidden_ap",
        "amodal_partial_ap",
        "amodal_iou",
        "hidden_iou",
    ):
        assert numbers[key] == pytest.approx(1), key
    assert numbers["amodal_partial_iou"] == numbers["hidden_partial_iou"] == 1.0
    assert numbers["amodal_slight_ap"] == -1
    assert np.isnan(numbers["amodal_heavy_iou"])


def test_visible_masks_are_the_baseline() -> None:
    numbers = judged(None)
    assert numbers["amodal_ap50"] == 1.0  # IoU 0.5 of the hidden one
    assert numbers["amodal_ap75"] == pytest.approx(2 / 3 * 67 / 101)  # the best score is wrong, two of three are found
    assert (numbers["hidden_ap"], numbers["hidden_iou"]) == (0.0, 0.0)
    assert numbers["amodal_partial_iou"] == 0.5


def test_half_of_the_hidden_part() -> None:
    numbers = judged(boxes([0, 0, 15, 10], [10, 0, 30, 10], [30, 10, 40, 20]))
    assert numbers["hidden_iou"] == 0.5
    assert numbers["amodal_iou"] == 0.75
    assert numbers["hidden_ap50"] == pytest.approx(1)


def test_a_hidden_part_where_there_is_none_is_no_mistake_of_others() -> None:
    # the free one is thought to reach further: its hidden part matches nothing, and is wrong
    numbers = judged(boxes([0, 0, 20, 10], [10, 0, 30, 10], [25, 10, 40, 20]))
    assert numbers["hidden_ap"] == pytest.approx(1)  # it comes last
    assert numbers["amodal_ap75"] < 1.0
    # objects that miss their visible part are not in the means
    assert np.isnan(judged(WHOLE, boxes([0, 0, 2, 10], [10, 0, 30, 10], [30, 10, 40, 20]))["amodal_iou"])


def test_it_does_not_apply_without_full_masks() -> None:
    plain = TRUTH.replace(full=None)
    result = evaluate([(plain, plain.replace(scores=[0.9, 0.8, 0.7]))], metrics=["amodal"])
    assert "the ground truth has no full masks" in " ".join(result.notes)
    every = evaluate([(plain, plain.replace(scores=[0.9, 0.8, 0.7]))], metrics="all")
    assert not any(key.startswith("amodal") for key in every.numbers)


def random_set(rng: np.random.Generator, like: Instances | None = None) -> Instances:
    """Random boxes under each other, or these with other sides."""
    full = np.zeros((5, 24, 24), bool)
    for k, mask in enumerate(full):
        if like is None:
            y, x, h, w = *rng.integers(0, 16, 2), *rng.integers(4, 14, 2)
        else:
            assert like.full is not None
            x, y, x1, y1 = like.full.boxes[k].astype(int)
            w, h = (max(2, n + int(rng.integers(-3, 4))) for n in (x1 - x, y1 - y))
        mask[y : y + h, x : x + w] = True
    above = np.cumsum(full[::-1], 0)[::-1] - full
    scores = None if like is None else rng.permutation(5) / 5
    return Instances(Masks.from_dense(full & (above == 0)), scores=scores, full=Masks.from_dense(full))


@given(st.integers(0, 2**32))
def test_means_of_iou_against_dense(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = random_set(rng)
    found = random_set(rng, truth)
    assert truth.full is not None
    assert found.full is not None
    numbers = evaluate([(truth, found)], metrics=["amodal"]).numbers
    sums: dict[str, list[list[float]]] = {name: [] for name in OCCLUSION}
    dense = {k: m.to_dense() for k, m in {"t": truth.masks, "p": found.masks, "T": truth.full, "P": found.full}.items()}
    assert (hidden(found).to_dense() == (dense["P"] & ~dense["p"])).all()

    def iou(a: np.ndarray, b: np.ndarray) -> float:
        return (a & b).sum() / max((a | b).sum(), 1)

    for i, j in ((i, j) for i in range(5) for j in range(5)):
        # visible masks of one side do not overlap: above one half, a match is the only one
        seen = iou(dense["t"][i], dense["p"][j])
        rate = 1 - dense["t"][i].sum() / dense["T"][i].sum()
        if seen == 0.5:
            return  # two may share one
        if seen > 0.5 and rate > 0:
            name = next(n for n, (low, high) in OCCLUSION.items() if low < rate <= high)
            part = iou(dense["T"][i] & ~dense["t"][i], dense["P"][j] & ~dense["p"][j])
            sums[name].append([iou(dense["T"][i], dense["P"][j]), part])
    for name, rows in sums.items():
        mean = np.mean(rows, 0) if rows else [np.nan, np.nan]
        assert numbers[f"amodal_{name}_iou"] == pytest.approx(mean[0], nan_ok=True)
        assert numbers[f"hidden_{name}_iou"] == pytest.approx(mean[1], nan_ok=True)


def test_full_ap_is_cocos_ap_of_the_full_masks() -> None:
    rng = np.random.default_rng(1)
    truths = [random_set(rng) for _ in range(20)]
    pairs = [(t, random_set(rng, t)) for t in truths]
    whole = [(t.replace(masks=t.full, full=None), f.replace(masks=f.full, full=None)) for t, f in pairs]
    numbers, coco = evaluate(pairs, metrics=["amodal"]).numbers, evaluate(whole, metrics=["coco"]).numbers
    for key in ("ap", "ap50", "ap75"):
        assert numbers[f"amodal_{key}"] == coco[f"mask_{key}"]


def test_images_without_full_masks_are_left_out() -> None:
    plain = TRUTH.replace(full=None)
    wrong = Instances(boxes([0, 0, 3, 3]), scores=[0.95])
    right = Instances(SEEN, scores=[0.9, 0.8, 0.7], full=WHOLE)
    alone = evaluate([(TRUTH, right)], metrics=["amodal"]).numbers
    both = evaluate([(plain, wrong), (TRUTH, right), (plain, wrong)], metrics=["amodal"]).numbers
    assert dict(both) == pytest.approx(dict(alone), nan_ok=True)
    # an image without an object is no such image: what is found on it is a mistake
    empty = evaluate([(TRUTH, right), (TRUTH[:0], wrong)], metrics=["amodal"]).numbers
    assert empty["amodal_ap50"] < alone["amodal_ap50"]
