"""Panoptic FPN's own parts: the merge against going through masks one by one, stuff, targets, settings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models import mask_rcnn, panoptic_fpn
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.mask_rcnn import MaskRCNNConfig
from apiece.models.panoptic_fpn import PanopticFPNConfig, decode, encode
from apiece.ops.flatten import without_overlap

CLASSES = ("sky", "bolt", "wall", "nut")
INPUT = ModelInput(channels=1, mean=(0.0,), std=(1.0,))
SMALL = {"width": 16, "hidden": 16, "semantic_width": 8, "proposals": 40}


def one_by_one(dense: np.ndarray, remain: float) -> list[tuple[int, bytes]]:
    """The papers' merge as they say it."""
    taken, kept = np.zeros(dense.shape[1:], bool), []
    for i, mask in enumerate(dense):
        left = mask & ~taken
        if left.any() and left.sum() >= remain * mask.sum():
            kept.append((i, left.tobytes()))
            taken |= mask
    return kept


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0]))
def test_the_merge_equals_going_one_by_one(seed: int, count: int, remain: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 20, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 14, (count, 2))], 1)
    masks = Masks.from_boxes(boxes, (24, 30))
    visible, index = without_overlap(masks, remain)
    assert [(int(i), m.tobytes()) for i, m in zip(index, visible.to_dense(), strict=True)] == one_by_one(
        masks.to_dense(), remain
    )


def test_a_long_chain_of_masks_that_wait_for_each_other() -> None:
    """Each covers most of the next: every second one stays."""
    left = np.arange(0, 40, 2)
    masks = Masks.from_boxes(np.stack([left, np.zeros(20), left + 5, np.ones(20)], 1), (1, 48))
    visible, index = without_overlap(masks, 0.5)
    assert index.tolist() == [i for i, _ in one_by_one(masks.to_dense(), 0.5)]
    assert index.tolist() == list(range(0, 20, 2))
    assert visible.area.tolist() == [5] + [4] * 9


def test_a_dropped_mask_takes_nothing() -> None:
    masks = Masks.from_boxes(np.array([[0, 0, 4, 1], [1, 0, 6, 1], [4, 0, 8, 1]]), (1, 8))
    visible, index = without_overlap(masks, 0.5)
    assert index.tolist() == [0, 2]
    assert visible.area.tolist() == [4, 4]


def outputs_by_hand() -> dict[str, list[torch.Tensor] | torch.Tensor]:
    """Two bolts on each other, the better in front; sky all over, at half the image's resolution."""
    return {
        "boxes": [torch.tensor([[0.0, 0, 4, 4], [2.0, 0, 8, 4]])],
        "scores": [torch.tensor([0.9, 0.8])],
        "labels": [torch.tensor([1, 3])],
        "masks": [torch.full((2, 28, 28), 5.0)],
        "remain": torch.tensor([0.5], dtype=torch.float64),
        "semantic": torch.tensor([-5.0, 5.0, -5.0])[None, :, None, None].expand(1, 3, 8, 8),
        "stuff": torch.tensor([[0, 2]]),
        "smallest": torch.tensor([8]),
    }


def test_decoding_by_hand() -> None:
    (found,) = decode(outputs_by_hand(), [Frame((12, 16), (6, 8))], CLASSES, DecodeOptions())
    assert found.labels.tolist() == [0, 1, 3]
    assert found.masks.area.tolist() == [4 * 16, 8 * 8, 8 * 8]
    assert int(found.masks.union().area[0]) == found.masks.area.sum()


def test_stuff_that_things_leave_too_little_of_goes() -> None:
    out = outputs_by_hand() | {"smallest": torch.tensor([4 * 16 + 1])}
    (found,) = decode(out, [Frame((12, 16), (6, 8))], CLASSES, DecodeOptions())
    assert found.labels.tolist() == [1, 3]


def truth() -> Instances:
    boxes = np.array(
        [[0, 0, 32, 16], [4, 8, 12, 24], [0, 16, 32, 32], [6, 10, 10, 14], [20, 0, 32, 8], [0, 26, 40, 32]]
    )
    crowd = [False, False, False, False, True, True]
    return Instances(Masks.from_boxes(boxes, (32, 40)), [0, 1, 2, 3, 3, 2], CLASSES, crowd=crowd)


def test_targets_show_what_is_seen_of_things_and_stuff() -> None:
    targets = encode(truth(), PanopticFPNConfig(stuff=(2, 0)))
    assert targets["labels"].tolist() == [0, 1]  # bolt and nut, without stuff
    assert targets["boxes"].tolist() == [[4, 8, 12, 24], [6, 10, 10, 14]]
    assert int(targets["crops"].sum()) == 8 * 16 - 16 + 16  # the nut hides a part of the bolt
    assert targets["crowd"].tolist() == [[20, 0, 32, 8], [0, 26, 40, 32]]  # of whatever class
    semantic = targets["semantic"]
    assert [int(semantic[y, x]) for y, x in ((0, 0), (9, 5), (11, 7), (31, 0), (31, 35), (20, 35))] == [
        1,
        0,
        0,
        2,
        -1,
        0,
    ]
    without = encode(truth(), PanopticFPNConfig())
    assert without["labels"].tolist() == [0, 1, 2, 3]
    assert sorted(without["semantic"].unique().tolist()) == [-1, 0, 1, 2, 3, 4]


def test_things_and_stuff_learn_and_are_found_together() -> None:
    torch.manual_seed(0)
    config = PanopticFPNConfig(stuff=(0, 2), smallest=1, class_weights=(1.0, 2.0, 3.0, 4.0), **SMALL)
    module = panoptic_fpn.PanopticFPN(config, INPUT, 4).train()
    assert module.things.class_weights.tolist() == [1, 2, 4]
    assert module.branch.weights.tolist() == [1, 1, 3]
    images = torch.rand(2, 1, 64, 64)
    targets = [encode(truth().replace(masks=truth().masks.shift(0, 0, size=(64, 64))), config)] * 2
    sum(panoptic_fpn.loss(module, images, targets).values()).backward()  # type: ignore[union-attr]
    assert [n for n, p in module.named_parameters() if p.grad is None] == []
    with torch.inference_mode():
        raw = module.eval()(images)
        assert set(torch.cat(list(raw["labels"])).tolist()) <= {1, 3}
        found = decode(raw, [Frame((50, 60), (64, 60)), Frame((64, 64), (64, 64))], CLASSES, DecodeOptions(conf=0.0))
    for one in found:
        assert one.scores is not None
        assert (np.diff(one.scores) <= 0).all()
        assert int(one.masks.union().area[0]) == one.masks.area.sum()
        assert all((one.labels == c).sum() <= 1 for c in config.stuff)


def test_without_stuff_prediction_does_not_run_the_branch() -> None:
    torch.manual_seed(0)
    module = panoptic_fpn.PanopticFPN(PanopticFPNConfig(**SMALL), INPUT, 2).eval()
    with torch.inference_mode():
        raw = module(torch.rand(1, 1, 64, 64))
        alone = module.things(torch.rand(1, 1, 64, 64))
    assert set(raw) == {*alone, "remain"}


@pytest.mark.parametrize("levels", [4, 5])
def test_every_form_of_mask_rcnns_settings_is_taken(levels: int) -> None:
    anchors = ((8.0,), (16.0,), (32.0,), (64.0,), (128.0,))[:levels]
    config = PanopticFPNConfig(norm="frozen", anchors=anchors, **SMALL)
    module = panoptic_fpn.PanopticFPN(config, INPUT, 4).train()
    images = torch.rand(1, 1, 64, 64)
    found = panoptic_fpn.loss(module, images, [encode(truth(), config)])
    assert all(torch.isfinite(v) for v in found.values())
    ours = {f.name for f in dataclasses.fields(PanopticFPNConfig)}
    assert {f.name for f in dataclasses.fields(MaskRCNNConfig)} < ours


def test_the_things_are_mask_rcnns() -> None:
    """One loss: what Mask R-CNN says of the same features."""
    torch.manual_seed(0)
    config = PanopticFPNConfig(**SMALL)
    module = panoptic_fpn.PanopticFPN(config, INPUT, 4).eval()
    images, targets = torch.rand(1, 1, 64, 64), [encode(truth(), config)]
    torch.manual_seed(1)
    ours = panoptic_fpn.loss(module, images, targets)
    torch.manual_seed(1)
    theirs = mask_rcnn.loss(module.things, images, targets)
    assert set(ours) - set(theirs) == {"class_semantic"}
    assert all(torch.equal(ours[k], theirs[k]) for k in theirs)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("stuff", (1, 1)), ("stuff", (-1,)), ("semantic_width", 4), ("semantic_weight", -1.0), ("remain", 1.5),
        ("smallest", 0), ("width", 2),
    ],
)  # fmt: skip
def test_the_config_names_what_is_wrong(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        PanopticFPNConfig(**{setting: value})


@pytest.mark.parametrize("stuff", [(4,), (0, 1, 2, 3)])
def test_stuff_beyond_the_classes_and_stuff_alone_are_refused(stuff: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="stuff"):
        panoptic_fpn.PanopticFPN(PanopticFPNConfig(stuff=stuff, **SMALL), INPUT, 4)
