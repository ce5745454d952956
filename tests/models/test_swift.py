"""Swift: its kernels, its sizes and what it does with overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from apiece import Instances, Masks
from apiece.errors import ConfigError, UnknownNameError
from apiece.metrics import evaluate
from apiece.models._kit.quadratic_forms import quadratic_planes
from apiece.models.contract import DecodeOptions, Frame, ModelInput
from apiece.models.swift import ARCHITECTURE, Swift, SwiftConfig, decode, encode, form_values


@pytest.mark.parametrize(("size", "millions"), [("s", 1.5), ("m", 5.0), ("l", 15.0)])
def test_three_sizes(size: str, millions: float) -> None:
    with torch.device("meta"):
        module = Swift(SwiftConfig(size=size), ModelInput(), 3)
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(millions, rel=0.12)


def test_quadratic_forms_are_sums_of_six_maps() -> None:
    rng = np.random.default_rng(0)
    forms = rng.normal(size=(5, 6)).astype(np.float32)
    corner = rng.uniform(0, 100, (5, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(4, 90, (5, 2))], 1)
    planes, weights = quadratic_planes(forms, boxes, (40, 50), 4)
    found = np.tensordot(weights, planes, 1)
    y, x = (torch.from_numpy(a.ravel() * 4 + 2.0) for a in np.mgrid[:40, :50])
    for form, box, values in zip(forms, boxes, found, strict=True):
        wanted = form_values(x, y, torch.from_numpy(box).expand(len(x), 4)).numpy() @ form
        np.testing.assert_allclose(values.ravel(), wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


def crafted(
    boxes: list[list[float]], scores: list[float], labels: list[int], stride: int = 4
) -> dict[str, torch.Tensor]:
    """Raw outputs of a 64 x 64 input whose first points say this, with ellipses for masks."""
    count = Swift.points((64, 64)).count
    out = {
        "logits": torch.full((1, count, 2), -40.0),
        "quality": torch.zeros(1, count, 1),
        "boxes": torch.zeros(1, count, 4),
        "kernels": torch.zeros(1, count, 4 + 6),
        "features": torch.zeros(1, 4, 64 // stride, 64 // stride),
    }
    out["kernels"][..., 4:] = torch.tensor([2.0, 0, 0, -2, 0, -2])
    for i, (box, score, label) in enumerate(zip(boxes, scores, labels, strict=True)):
        out["boxes"][0, i] = torch.tensor(box)
        out["logits"][0, i, label] = out["quality"][0, i, 0] = float(np.log(score**0.5 / (1 - score**0.5)))
    return out


@pytest.mark.parametrize("stride", [2, 4])
def test_a_kernel_without_features_is_the_ellipse_in_its_box(stride: int) -> None:
    (found,) = decode(
        crafted([[8, 16, 56, 48]], [0.9], [1], stride), [Frame((128, 128), (64, 64))], ("a", "b"), DecodeOptions()
    )
    assert found.labels.tolist() == [1]
    assert found.boxes[0] == pytest.approx([16, 32, 112, 96], abs=2)
    assert found.masks.area[0] == pytest.approx(np.pi * 48 * 32, rel=0.02)


def test_crossing_masks_stay_and_duplicates_go() -> None:
    boxes = [[4.0, 26, 60, 38], [26, 4, 38, 60], [5, 26, 61, 39], [4, 26, 60, 38]]
    (found,) = decode(
        crafted(boxes, [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 1]), [Frame((64, 64), (64, 64))], ("a", "b"), DecodeOptions()
    )
    assert found.scores is not None
    assert found.scores == pytest.approx([0.9, 0.8, 0.6])  # of the same class once; of another class, it is another
    assert found.labels.tolist() == [0, 0, 1]
    assert np.logical_and(*found.masks.to_dense()[:2]).sum() > 50


def test_padding_is_no_part_of_the_image() -> None:
    # 90 x 61 pixels were resized to half of it, 45 x 31 rounded up, and padded to 64 x 64
    (found,) = decode(crafted([[0, 0, 30.5, 45]], [0.9], [0]), [Frame((90, 61), (45, 31))], ("a", "b"), DecodeOptions())
    assert found.size == (90, 61)
    assert found.boxes[0] == pytest.approx([0, 0, 60, 90], abs=2)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(UnknownNameError, match=r"size of swift.*'xl'"):
        SwiftConfig(size="xl")
    for wrong in ({"mask_stride": 3}, {"prototypes": 0}, {"learn": 0}, {"window": 1}):
        with pytest.raises(ConfigError):
            SwiftConfig(**wrong)
    with pytest.raises(ConfigError, match="plain encoder has no pretrained weights"):
        Swift(SwiftConfig(weights="timm"), ModelInput(), 1)
    with pytest.raises(ConfigError, match="strides 4 to 32"):
        Swift(SwiftConfig(backbone="xcit_nano_12_p16_224"), ModelInput(), 1)


def test_a_timm_encoder_gives_the_same_outputs_shapes() -> None:
    torch.manual_seed(0)
    plain, timm = (
        Swift(SwiftConfig(size="s", backbone=b), ModelInput(4, mean=(0,) * 4, std=(1,) * 4), 2).eval()
        for b in ("plain", "resnet10t")
    )
    with torch.inference_mode():
        shapes = [{k: v.shape for k, v in module(torch.rand(1, 4, 64, 96)).items()} for module in (plain, timm)]
    assert shapes[0] == shapes[1]
    assert shapes[0]["features"] == (1, 32, 32, 48)
    assert shapes[0]["boxes"] == (1, 384 + 96 + 24 + 6, 4)


# --- whole objects ----------------------------------------------------------------------------------------------------


def test_a_network_for_whole_objects_learns_them() -> None:
    """A disc that a bar covers at random: its hidden part is learned from pasted bars alone."""
    torch.manual_seed(0)
    config = SwiftConfig(size="s", amodal=True)
    module = Swift(config, ModelInput(channels=1, mean=(0.0,), std=(1.0,)), 2)
    rng = np.random.default_rng(0)

    def scene() -> tuple[np.ndarray, Instances]:
        y, x = rng.integers(20, 44, 2)
        rows, columns = np.mgrid[:64, :64]
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= 144
        left = int(x + rng.integers(-8, 9))
        bar = np.zeros((64, 64), bool)
        bar[:, left : left + 8] = True
        image = np.where(bar, 1.0, np.where(disc, 0.5, 0.0)).astype(np.float32)
        full = Masks.from_dense(np.stack([disc, bar]))
        seen = Masks.from_dense(np.stack([disc & ~bar, bar]))
        return image, Instances(seen, [0, 1], ("disc", "bar"), full=full, attributes={"pasted": [False, True]})

    optimiser = torch.optim.AdamW(module.parameters(), 2e-3)
    for _ in range(60):
        scenes = [scene() for _ in range(4)]
        images = torch.from_numpy(np.stack([image for image, _ in scenes]))[:, None]
        losses = ARCHITECTURE.loss(module, images, [encode(truth, config) for _, truth in scenes])
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        optimiser.step()
    module.eval()
    scenes = [scene() for _ in range(8)]
    with torch.inference_mode():
        out = module(torch.from_numpy(np.stack([image for image, _ in scenes]))[:, None])
    frames = [Frame((64, 64), (64, 64))] * 8
    found = ARCHITECTURE.decode(out, frames, ("disc", "bar"), DecodeOptions(conf=0.1))
    numbers = evaluate([(t, f) for (_, t), f in zip(scenes, found, strict=True)], metrics=["amodal"]).numbers
    assert numbers["hidden_iou"] > 0.6
