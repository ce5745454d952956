"""The semantic baseline's own parts: pixels to regions, scores, losses, and what it can and cannot tell apart."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import nn
from torch.nn import functional

from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.models import semantic
from apiece.models._kit import class_pixels as kit
from apiece.models._kit.class_map import class_dice, cross_entropy, paint_classes
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.semantic import SemanticConfig, decode, encode
from apiece.ops.parts import parts_of

CLASSES = ("disc", "bar")
INPUT = ModelInput(channels=1, mean=(0.0,), std=(1.0,))


def logits_of(class_map: np.ndarray, classes: int, sure: float = 20.0) -> torch.Tensor:
    """Logits (1, 1 + classes, H, W) that say what ``class_map`` says."""
    return sure * functional.one_hot(torch.from_numpy(class_map).long(), classes + 1).permute(2, 0, 1)[None].float()


def raw(logits: torch.Tensor, smallest: int = 1) -> dict[str, torch.Tensor]:
    return {"classes": logits, "smallest": torch.full((len(logits),), smallest)}


def test_regions_by_hand() -> None:
    class_map = np.array([[1, 1, 0, 2], [1, 0, 2, 0], [0, 0, 2, 2], [1, 1, 1, 1]])
    (found,) = decode(raw(logits_of(class_map, 2)), [Frame((4, 4), (4, 4))], CLASSES, DecodeOptions())
    # the 2 at the upper right touches the other 2s by a corner only
    regions = {(int(c), tuple(np.flatnonzero(m))) for c, m in zip(found.labels, found.masks.to_dense(), strict=True)}
    assert regions == {(0, (0, 1, 4)), (0, (12, 13, 14, 15)), (1, (3,)), (1, (6, 10, 11))}
    (found,) = decode(raw(logits_of(class_map, 2), 3), [Frame((4, 4), (4, 4))], CLASSES, DecodeOptions())
    assert sorted(found.masks.area) == [3, 3, 4]


def test_a_region_is_scored_by_its_mean_probability() -> None:
    logits = torch.zeros(1, 2, 1, 3)
    logits[0, 1, 0, :2] = torch.tensor([1.0, 3.0])
    logits[0, 0, 0, 2] = 5.0
    frames = [Frame((1, 3), (1, 3))]
    (found,) = decode(raw(logits), frames, ("thing",), DecodeOptions())
    assert found.scores is not None
    assert found.scores.tolist() == pytest.approx([float(torch.tensor([1.0, 3.0]).sigmoid().mean())])
    assert len(decode(raw(logits), frames, ("thing",), DecodeOptions(conf=0.9))[0]) == 0


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.9))
def test_components_and_means_equal_scipys(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    class_map = np.where(rng.random((13, 17)) < share, rng.integers(1, 4, (13, 17)), 0)
    plane = rng.random((13, 17)).astype(np.float32)
    split, source = parts_of(Masks.from_label_map(class_map), corners=False)
    values = np.unique(class_map[class_map > 0])
    found = {(values[s], m.tobytes()) for s, m in zip(source, split.to_dense(), strict=True)}
    want, means = set(), {}
    for value in values:
        labelled, count = ndimage.label(class_map == value)
        for k in range(1, count + 1):
            want.add((value, (labelled == k).tobytes()))
            means[(labelled == k).tobytes()] = plane[labelled == k].mean(dtype=np.float64)
    assert found == want
    got = kit.mean_inside(plane, split)
    assert got == pytest.approx([means[m.tobytes()] for m in split.to_dense()])


def test_nothing_has_no_regions() -> None:
    split, source = parts_of(Masks.empty((5, 6)), corners=False)
    assert (len(split), len(source), len(kit.mean_inside(np.ones((5, 6), np.float32), split))) == (0, 0, 0)
    assert kit.mean_inside(np.ones((5, 6), np.float32), Masks.empty((5, 6), 2)).tolist() == [0, 0]


@pytest.mark.parametrize("size", [(9, 14), (37, 30), (5, 6), (3, 40)])
def test_tiles_equal_interpolating_the_whole_map(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kit, "_TILE", 8)
    logits = np.random.default_rng(0).normal(size=(3, 12, 16)).astype(np.float32)
    frame = Frame(size, (9, 14))
    got = np.empty((3, *size), np.float32)
    for (rows, columns), values in kit.upsampled_tiles(logits, frame):
        got[:, rows, columns] = values
    want = functional.interpolate(torch.from_numpy(logits[None, :, :9, :14]), size=size, mode="bilinear")[0]
    np.testing.assert_allclose(got, want.numpy(), atol=1e-5)
    best, probability = kit.class_pixels(logits, frame)
    np.testing.assert_allclose(probability, want.softmax(0).amax(0).numpy(), atol=1e-5)
    assert (best == got.argmax(0)).all()


def test_targets_show_the_smallest_and_leave_crowds_out() -> None:
    boxes = np.array([[0, 0, 4, 4], [1, 1, 3, 3], [2, 0, 6, 2]])
    truth = Instances(Masks.from_boxes(boxes, (4, 6)), [0, 1, 1], CLASSES, crowd=[False, False, True])
    classes = encode(truth, SemanticConfig())["classes"]
    assert classes.tolist() == [[1, 1, 1, 1, -1, -1], [1, 2, 2, 1, -1, -1], [1, 2, 2, 1, 0, 0], [1, 1, 1, 1, 0, 0]]


def test_a_value_of_zero_covers_what_lies_below_it() -> None:
    truth = Instances(Masks.from_boxes(np.array([[0, 0, 3, 1], [1, 0, 2, 1]]), (1, 3)))
    assert paint_classes(truth, [1, 0]).tolist() == [[1, 0, 1]]


def test_losses_by_hand() -> None:
    logits = torch.zeros(1, 3, 1, 4)
    target = torch.tensor([[[0, 1, 1, -1]]])
    weights = torch.tensor([1.0, 2.0, 1.0])
    assert cross_entropy(logits, target, weights).item() == pytest.approx(np.log(3) * 5 / 3)
    # class 1 alone occurs: 2 pixels, one third on each of 3
    assert class_dice(logits, target, weights).item() == pytest.approx(2 * (1 - (2 * 2 / 3 + 1) / (1 + 2 + 1)))
    nothing = torch.full((1, 1, 4), -1)
    assert cross_entropy(logits, nothing, weights).item() == 0
    assert class_dice(logits, nothing, weights).item() == 0


@pytest.mark.parametrize("head", semantic.HEADS)
@pytest.mark.parametrize("norm", ["batch", "group"])
def test_each_head_learns_from_one_odd_image(head: str, norm: str) -> None:
    torch.manual_seed(0)
    config = SemanticConfig(head=head, norm=norm, dropout=0.25)
    module = semantic.Semantic(config, INPUT, 2).train()
    truth = Instances(Masks.from_boxes(np.array([[4, 4, 20, 30]]), (61, 90)), [1], CLASSES)
    found = semantic.loss(module, torch.rand(1, 1, 64, 96), [encode(truth, config)])
    sum(found.values()).backward()  # type: ignore[union-attr]
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    drops = [m.p for m in module.modules() if isinstance(m, nn.Dropout | nn.Dropout2d)]
    assert set(drops) == {0.25}
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    assert bool(norms) == (norm == "batch")
    with torch.inference_mode():
        assert module.eval()(torch.rand(2, 1, 64, 96))["classes"].shape == (2, 3, 64, 96)


@pytest.mark.parametrize(("setting", "value"), [("head", "fpn"), ("smallest", 0)])
def test_the_config_names_what_is_wrong(setting: str, value: object) -> None:
    with pytest.raises(ConfigError, match=setting):
        SemanticConfig(**{setting: value})


def test_a_perfect_map_merges_what_touches_and_splits_what_is_cut() -> None:
    """What the baseline cannot do by nature, however well it learns."""
    disc = np.zeros((48, 48), np.uint8)
    cv2.circle(disc, (24, 24), 14, 1, -1)
    bars = Masks.from_boxes(np.array([[4, 20, 44, 28], [4, 28, 44, 32]]), (48, 48)).to_dense()
    shapes = [disc & ~bars.any(0), *bars]
    truth = Instances(Masks.from_dense(np.array(shapes) > 0), [0, 1, 1], CLASSES)
    class_map = encode(truth, SemanticConfig())["classes"].numpy()
    (found,) = decode(raw(logits_of(class_map, 2)), [Frame((48, 48), (48, 48))], CLASSES, DecodeOptions())
    assert sorted(found.labels) == [0, 0, 1]
    assert evaluate([(truth, found)], CLASSES)["mask_ap"] < 0.5


@pytest.mark.slow
def test_overfits_the_regions_of_four_images() -> None:
    """As the shared test, but what counts as an object is a connected region of a class: AP 0.9 at its own rate."""
    scenes = [_scene(seed) for seed in range(4)]
    torch.manual_seed(0)
    config = SemanticConfig()
    module = semantic.Semantic(config, INPUT, 2).train()
    images = torch.stack([torch.from_numpy(p)[None] for p, _ in scenes])
    targets = [encode(t, config) for _, t in scenes]
    optimiser = torch.optim.AdamW(module.parameters(), semantic.ARCHITECTURE.defaults["lr"])
    for _ in range(150):
        optimiser.zero_grad()
        sum(semantic.loss(module, images, targets).values()).backward()  # type: ignore[union-attr]
        optimiser.step()
    with torch.inference_mode():
        outputs = module.eval()(images)
    found = decode(outputs, [Frame((64, 64), (64, 64))] * 4, CLASSES, DecodeOptions())
    pairs = [(_regions(truth), answer) for (_, truth), answer in zip(scenes, found, strict=True)]
    assert evaluate(pairs, CLASSES)["mask_ap"] >= 0.9


def _regions(truth: Instances) -> Instances:
    split, source = parts_of(truth.masks, corners=False)
    return Instances(split, truth.labels[source], truth.classes)


def _scene(seed: int) -> tuple[np.ndarray, Instances]:
    """A disc that a bar cuts in two, and a bar; the visible parts."""
    rng = np.random.default_rng(seed)
    disc = np.zeros((64, 64), np.uint8)
    cv2.circle(disc, (32, 32), int(rng.integers(12, 18)), 1, -1)
    y = int(rng.integers(0, 8))
    bars = Masks.from_boxes(np.array([[8, 26 + y, 60, 34 + y], [2, 2, 12, 20]]), (64, 64)).to_dense()
    shapes = np.array([(disc > 0) & ~bars.any(0), *bars])
    pixels = shapes[0] * 0.5 + bars.any(0) + rng.normal(0, 0.02, (64, 64))
    return pixels.astype(np.float32), Instances(Masks.from_dense(shapes), [0, 1, 1], CLASSES)
