"""YOLACT's own parts: Fast NMS, anchors, which anchors learn what, the mask loss, masks of the padded input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional
from torchvision.ops import batched_nms, box_iou

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models import yolact
from apiece.models._kit import box_nms
from apiece.models._kit.box_nms import fast_nms, greedy_nms
from apiece.models._kit.cell_targets import CellTruth
from apiece.models._kit.ragged import few_of_each
from apiece.models.contract import DecodeOptions, Frame, ModelInput, Targets
from apiece.models.yolact import Yolact, YolactConfig, decode, encode

NO_CROWD = torch.zeros(0, 4)


def make(classes: int = 2, **wanted: object) -> Yolact:
    torch.manual_seed(0)
    return yolact.Yolact(YolactConfig(**wanted), ModelInput(1, mean=(0,), std=(1,)), classes)  # type: ignore[arg-type]


def target_of(boxes: list[list[int]], labels: list[int], crowd: list[bool], size: tuple[int, int]) -> Targets:
    return encode(Instances(Masks.from_boxes(np.array(boxes), size), labels, ("a", "b"), crowd=crowd), YolactConfig())


# --- Fast NMS ---------------------------------------------------------------------------------------------------------


def plain_fast_nms(boxes: Tensor, scores: Tensor, labels: Tensor, iou: float) -> list[int]:
    order = sorted(range(len(boxes)), key=lambda i: -float(scores[i]))
    overlap = box_iou(boxes, boxes)
    return [
        j
        for n, j in enumerate(order)
        if not any(labels[i] == labels[j] and overlap[i, j] > iou for i in order[:n])
    ]  # fmt: skip


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0.1, 0.9))
def test_fast_nms_equals_its_definition(seed: int, count: int, iou: float) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (count, 2))
    boxes = torch.from_numpy(np.concatenate([corner, corner + rng.uniform(2, 30, (count, 2))], 1)).float()
    scores, labels = torch.from_numpy(rng.random(count)), torch.from_numpy(rng.integers(0, 3, count))
    assert fast_nms(boxes.numpy(), scores.numpy(), labels.numpy(), iou).tolist() == plain_fast_nms(
        boxes, scores, labels, iou
    )


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.floats(0.1, 0.9), st.sampled_from([7, 500]))
def test_greedy_nms_equals_torchvisions(seed: int, count: int, iou: float, round_: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(2, 30, (count, 2))], 1).astype(np.float32)
    scores, labels = rng.random(count, np.float32), rng.integers(0, 3, count)
    theirs = batched_nms(*(torch.from_numpy(a) for a in (boxes, scores, labels)), iou)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_nms, "_ROUND", round_)
        assert greedy_nms(boxes, scores, labels, iou).tolist() == theirs.tolist()


def test_fast_nms_lets_a_box_that_goes_itself_take_others_with_it() -> None:
    boxes = torch.tensor([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10.0]])
    scores, same = torch.tensor([0.9, 0.8, 0.7]), torch.zeros(3, dtype=torch.int64)
    assert fast_nms(boxes.numpy(), scores.numpy(), same.numpy(), 0.4).tolist() == [0]
    assert fast_nms(boxes.numpy(), scores.numpy(), np.array([0, 1, 0]), 0.4).tolist() == [0, 1, 2]


def test_rounds_keep_every_object_and_no_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand objects, four boxes each: none is left out, however small the rounds."""
    grid = torch.stack(torch.meshgrid(torch.arange(25), torch.arange(40), indexing="ij"), -1).reshape(-1, 2) * 20.0
    boxes = torch.cat([torch.cat([grid + d, grid + d + 16], 1) for d in (0, 1, 0.5, 1.5)])
    scores = torch.linspace(1, 0.1, len(boxes))
    labels = torch.zeros(len(boxes), dtype=torch.int64)
    assert fast_nms(boxes.numpy(), scores.numpy(), labels.numpy(), 0.5).tolist() == list(range(1000))
    monkeypatch.setattr(box_nms, "_ROUND", 300)
    monkeypatch.setattr(box_nms, "_PAIRS", 7_000)  # several parts within a round
    assert fast_nms(boxes.numpy(), scores.numpy(), labels.numpy(), 0.5).tolist() == list(range(1000))


# --- anchors ----------------------------------------------------------------------------------------------------------


def test_anchors_lie_around_cells_in_the_order_of_the_outputs() -> None:
    module = make(anchors=((8,), (16,), (32,), (64,), (128,), (256,)), aspects=(1.0, 4.0))
    anchors = module.anchors([(2, 3), (1, 2), (1, 1), (1, 1), (1, 1), (1, 1)], torch.device("cpu"))
    assert len(anchors) == 2 * (6 + 2 + 4)
    assert anchors[0].tolist() == [-2, -2, 6, 6]  # stride 4: the first centre is (2, 2)
    assert anchors[1].tolist() == [0, -6, 4, 10]  # four times as high as wide, of the same area
    assert anchors[2].tolist() == [2, -2, 10, 6]  # the next column
    assert anchors[6].tolist() == [-2, 2, 6, 10]  # the next row
    assert anchors[12].tolist() == [-4, -4, 12, 12]  # the next level
    images = torch.rand(1, 1, 32, 96)
    with torch.no_grad():
        out = module.eval()(images)
        sizes = [(f.shape[2], f.shape[3]) for f in module.features(images)]
    assert sizes == [(8, 24), (4, 12), (2, 6), (1, 3), (1, 2), (1, 1)]
    # boxes hardly move before training, so each lies on its anchor
    assert box_iou(out["boxes"][0], module.anchors(sizes, images.device)).diagonal().min() > 0.7


@pytest.mark.parametrize("side", [8, 11, 15, 20, 30, 50, 100, 200, 300])
def test_default_anchors_serve_objects_from_8_pixels(side: int) -> None:
    module = make()
    anchors = module.anchors([(-(-512 // s), -(-512 // s)) for s in (4, 8, 16, 32, 64, 128)], torch.device("cpu"))
    rng = np.random.default_rng(side)
    corner = torch.from_numpy(rng.uniform(0, 512 - side, (20, 2))).float()
    overlap = box_iou(torch.cat([corner, corner + side], 1), anchors).amax(1)
    assert overlap.min() > 0.4
    assert overlap.mean() > 0.6


def test_crowds_neither_pull_nor_push_the_classes() -> None:
    module = make().train()
    images = torch.rand(1, 1, 64, 64)
    with_crowd = target_of([[4, 4, 20, 20], [28, 28, 64, 64]], [0, 1], [False, True], (64, 64))
    alone = target_of([[4, 4, 20, 20]], [0], [False], (64, 64))
    heard = []
    for target in (with_crowd, alone):
        features = module.eval().features(images)
        out = module.answers(features)
        out["logits"].retain_grad()
        _, _, ignored = yolact._match(module.config, module.anchors(
            [(f.shape[2], f.shape[3]) for f in features], images.device), [target], out["logits"])  # fmt: skip
        heard.append(int((~ignored).sum()))
    assert heard[0] < heard[1]


# --- masks ------------------------------------------------------------------------------------------------------------


def test_the_mask_loss_is_the_mean_over_each_true_box_and_a_cell_around() -> None:
    target = target_of([[8, 4, 24, 20], [30, 30, 42, 62]], [0, 1], [False, False], (64, 64))
    module = make(prototypes=3, learn=9)
    rng = torch.Generator().manual_seed(1)
    out = {
        "prototypes": torch.rand(1, 3, 16, 16, generator=rng),
        "coefficients": torch.rand(1, 5, 3, generator=rng) * 2 - 1,
    }
    anchor, owner = torch.tensor([0, 2, 3]), torch.tensor([1, 0, 1])
    truth = CellTruth.join([target], torch.device("cpu"), 4)
    got = yolact._mask_loss(module, out, truth, anchor, owner)
    dense = np.zeros((2, 64, 64), np.float32)
    dense[0, 4:20, 8:24] = dense[1, 30:62, 30:42] = 1
    shares = functional.avg_pool2d(torch.from_numpy(dense)[None], 4)[0]
    windows = ((0, 6, 1, 7), (6, 16, 6, 12))  # rows, then columns, in cells
    want = []
    for a, o in zip(anchor.tolist(), owner.tolist(), strict=True):
        logits = torch.einsum("k,khw->hw", out["coefficients"][0, a], out["prototypes"][0])
        y0, y1, x0, x1 = windows[o]
        want.append(functional.binary_cross_entropy_with_logits(logits[y0:y1, x0:x1], shares[o, y0:y1, x0:x1]))
    torch.testing.assert_close(got, torch.stack(want).mean())


def test_masks_are_learned_from_a_few_anchors_of_each_object() -> None:
    owner = torch.tensor([4, 0, 4, 4, 0, 4, 2, 4])
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        chosen = few_of_each(owner, 2)
        assert sorted(owner[chosen].tolist()) == [0, 0, 2, 4, 4]
        assert len(set(chosen.tolist())) == 5
        seen |= set(chosen.tolist())
    assert seen == set(range(8))
    assert len(few_of_each(owner[:0], 2)) == 0


def outputs(boxes: list[list[float]], logits: list[list[float]], coefficients: list[list[float]]) -> dict[str, Tensor]:
    """Two prototypes on an input of 48 x 64: one everywhere, one in the left half only."""
    prototypes = torch.ones(1, 2, 12, 16)
    prototypes[0, 1, :, 8:] = 0
    return {
        "boxes": torch.tensor([boxes]),
        "logits": torch.tensor([logits]),
        "coefficients": torch.tensor([coefficients]),
        "prototypes": prototypes,
    }


def test_decode_scales_from_the_filled_part_suppresses_and_sorts() -> None:
    boxes = [[4, 4, 20, 12], [4, 4, 20, 13], [4, 4, 20, 12], [24, 24, 40, 32], [4, 30, 8, 34], [24, 4, 28, 8.0]]
    logits = [[0.0, -9], [1.0, -9], [-9, 0.5], [2.0, -9], [-9, -5.0], [1.5, -9]]
    coefficients = [[0.5, 0]] * 3 + [[-0.5, 0.9]] + [[0.5, 0]] + [[-0.5, 0.0]]
    # the image fills 40 x 60 of the input and is twice as large: the rest of the prototypes lies on padding
    found = decode(outputs(boxes, logits, coefficients), [Frame((80, 120), (40, 60))], ("a", "b"), DecodeOptions())[0]
    assert found.names == ["a", "a", "b"]
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx(torch.tensor([2.0, 1.0, 0.5]).sigmoid().tolist(), abs=1e-6)
    # a cell of four pixels around each box; the second prototype ends between its columns at 30 and 34 of the input
    edge = 2 * (30 + 4 * (0.4 / 0.9))
    assert found.boxes.tolist() == [[40, 40, round(edge), 72], [0, 0, 48, 34], [0, 0, 48, 32]]


def test_no_object_no_anchor() -> None:
    out = outputs([[0, 0, 8, 8.0]], [[-9, -9.0]], [[0.5, 0.5]])
    assert len(decode(out, [Frame((48, 64), (48, 64))], ("a", "b"), DecodeOptions())[0]) == 0


# --- settings ---------------------------------------------------------------------------------------------------------


def test_size_of_the_default_network() -> None:
    count = sum(p.numel() for p in make(1).parameters())
    assert 5e6 < count < 8e6


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"anchors": ((8,), (16,))}, "anchors"),
        ({"anchors": ((8,), (16,), (32,), (64,), (128,), (256, 300))}, "anchors"),
        ({"anchors": ((0,), (16,), (32,), (64,), (128,), (256,))}, "anchors"),
        ({"aspects": ()}, "aspects"),
        ({"background": 0.6}, "background"),
        ({"width": 20}, "width"),
        ({"learn": 0}, "learn"),
        ({"window": 10}, "window"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        YolactConfig(**wrong)  # type: ignore[arg-type]


def test_a_level_of_one_pixel_learns_under_bfloat16() -> None:
    module = make(width=16).train()
    for _ in range(6):
        junk = [torch.full((16 * 16 * 9,), torch.nan) for _ in range(50)]  # what unset memory may then hold
        del junk
        with torch.autocast("cpu", dtype=torch.bfloat16):
            last = module.features(torch.rand(1, 1, 64, 64))[-1]
        assert last.shape[2:] == (1, 1)
        module.coarser.zero_grad()
        last.float().sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in module.coarser.parameters() if p.grad is not None)


def test_an_encoder_without_fine_features_is_refused() -> None:
    with pytest.raises(ConfigError, match="strides 4 to 32"):
        make(backbone="xcit_nano_12_p16_224")
