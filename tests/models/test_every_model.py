"""What every architecture owes: runs over all of them by name, so a new file is tested for free."""

from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from apiece import _plugins
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._base import Architecture, DecodeOptions, Frame, ModelInput

NAMES = _plugins.names("apiece.models")
CLASSES = ("disc", "bar")


@pytest.fixture(params=NAMES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return _plugins.load("apiece.models", request.param).ARCHITECTURE


def make(architecture: Architecture, channels: int = 1, classes: int = 2, seed: int = 0, **settings: Any) -> nn.Module:
    torch.manual_seed(seed)
    return architecture.build(architecture.config(**settings), model_input(channels), classes)


def model_input(channels: int) -> ModelInput:
    return ModelInput(channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)


def scene(size: tuple[int, int], count: int, seed: int = 0) -> tuple[np.ndarray, Instances]:
    """Bright discs (class 0) and bars (class 1) that may overlap; float32 (H, W) and their full masks."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros(size, np.float32)
    drawn, labels = [], rng.integers(0, 2, count)
    for label in labels:
        shape = np.zeros(size, np.uint8)
        x, y = (int(rng.integers(4, n - 4)) for n in (size[1], size[0]))
        if label == 0:
            cv2.circle(shape, (x, y), int(rng.integers(3, 9)), 1, -1)
        else:
            cv2.rectangle(shape, (x, y), (x + int(rng.integers(8, 20)), y + 4), 1, -1)
        pixels = np.where(shape > 0, 0.5 + 0.5 * label + rng.uniform(-0.1, 0.1), pixels)
        drawn.append(shape > 0)
    dense = np.array(drawn) if drawn else np.zeros((0, *size), bool)
    return pixels.astype(np.float32), Instances(Masks.from_dense(dense), labels, CLASSES)


def padded(pixels: np.ndarray, architecture: Architecture, channels: int = 1) -> Tensor:
    """(C, H, W) padded to the stride at the bottom and on the right."""
    pad = [(0, -n % architecture.stride) for n in pixels.shape]
    return torch.from_numpy(np.pad(pixels, pad).astype(np.float32)).expand(channels, -1, -1).contiguous()


def grid(instances: Instances, image: Tensor) -> Instances:
    """The instances on the network's grid."""
    size = (int(image.shape[-2]), int(image.shape[-1]))
    return instances.replace(masks=instances.masks.shift(0, 0, size=size))


def batch_of(
    architecture: Architecture, module_config: Any, scenes: list[tuple[np.ndarray, Instances]], channels: int = 1
) -> tuple[Tensor, list[Any]]:
    images = [padded(p, architecture, channels) for p, _ in scenes]
    targets = [architecture.encode(grid(i, x), module_config) for x, (_, i) in zip(images, scenes, strict=True)]
    return torch.stack(images), targets


@pytest.mark.parametrize(
    ("size", "count", "channels"),
    [((64, 96), 1, 1), ((96, 96), 300, 1), ((64, 64), 0, 1), ((61, 107), 6, 4)],
    ids=["one", "300", "none", "odd-4-channels"],
)
def test_learns_forward_and_backward(
    architecture: Architecture, size: tuple[int, int], count: int, channels: int
) -> None:
    module = make(architecture, channels).train()
    images, targets = batch_of(architecture, architecture.config(), [scene(size, count)] * 2, channels)
    losses = architecture.loss(module, images, targets)
    assert losses
    assert all(name.startswith(("box", "class", "mask")) and value.ndim == 0 for name, value in losses.items())
    total = sum(losses.values())
    assert torch.isfinite(total)
    total.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(g).all() for g in gradients)


def test_an_image_without_objects_beside_one_with_some(architecture: Architecture) -> None:
    module = make(architecture).train()
    scenes = [scene((64, 64), 0), scene((64, 64), 5), scene((64, 64), 1)]
    losses = architecture.loss(module, *batch_of(architecture, architecture.config(), scenes))
    assert all(torch.isfinite(v) for v in losses.values())


def test_every_parameter_learns(architecture: Architecture) -> None:
    module = make(architecture).train()
    sum(architecture.loss(module, *batch_of(architecture, architecture.config(), [scene((96, 96), 12)]))
        .values()).backward()  # fmt: skip
    assert [n for n, p in module.named_parameters() if p.grad is None] == []


def test_crowds_and_masks_without_a_pixel_are_no_objects(architecture: Architecture) -> None:
    pixels, some = scene((64, 64), 4)
    empty = Instances(Masks.empty((64, 64), 1), np.zeros(1, int), CLASSES)
    crowd = Instances(Masks.from_boxes(np.array([[0, 0, 64, 64]]), (64, 64)), np.ones(1, int), CLASSES, crowd=[True])
    module = make(architecture).train()
    odd = Instances.concatenate([crowd, some, empty])
    for instances in (odd, empty, crowd):
        images, targets = batch_of(architecture, architecture.config(), [(pixels, instances)])
        losses = architecture.loss(module, images, targets)
        assert all(torch.isfinite(v) for v in losses.values())


def test_same_seed_same_weights_other_seed_others(architecture: Architecture) -> None:
    first, second, other = (make(architecture, seed=s).state_dict() for s in (5, 5, 6))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert any(not torch.equal(first[k], other[k]) for k in first)


def test_state_comes_back_from_safetensors_bit_by_bit(architecture: Architecture, tmp_path: Path) -> None:
    module = make(architecture, 3, seed=1).eval()
    save_file(module.state_dict(), tmp_path / "m.safetensors")
    again = make(architecture, 3, seed=2).eval()
    again.load_state_dict(load_file(tmp_path / "m.safetensors"))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        a, b = (_flat(m(image)) for m in (module, again))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_the_config_is_frozen_and_refuses_what_it_does_not_know(architecture: Architecture) -> None:
    config = architecture.config()
    assert dataclasses.is_dataclass(config)
    assert architecture.dropout == any(f.name == "dropout" for f in dataclasses.fields(config))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.norm = "group"
    with pytest.raises(ConfigError, match="norm"):
        architecture.config(norm="layer")
    with pytest.raises(ConfigError, match="class_weights"):
        make(architecture, class_weights=(1.0, 2.0, 3.0))


def test_group_norm_learns_too(architecture: Architecture) -> None:
    module = make(architecture, norm="group").train()
    losses = architecture.loss(module, *batch_of(architecture, architecture.config(), [scene((64, 64), 3)]))
    assert all(torch.isfinite(v) for v in losses.values())
    assert not any(isinstance(m, nn.BatchNorm2d) for m in module.modules())


def _flat(outputs: Any) -> list[Tensor]:
    """All tensors of raw outputs: tensors, lists and dictionaries of them only."""
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [t for v in values for t in _flat(v)]


def test_decode_gives_each_image_its_size_scores_in_order_and_nothing_below_conf(architecture: Architecture) -> None:
    module = make(architecture).eval()
    pixels = [scene((61, 107), 5)[0], scene((61, 107), 9, seed=1)[0]]
    images = torch.stack([padded(p, architecture) for p in pixels])
    with torch.inference_mode():
        raw = module(images)
    frames = [Frame((61, 107), (61, 107)), Frame((122, 321), (61, 107))]
    for conf in (0.0, 0.05, (0.05, 1.01)):
        found = architecture.decode(raw, frames, CLASSES, DecodeOptions(conf=conf))
        assert [f.size for f in found] == [(61, 107), (122, 321)]
        for f in found:
            assert f.classes == CLASSES
            assert f.scores is not None
            assert (np.diff(f.scores) <= 0).all()
            assert (f.scores >= DecodeOptions(conf=conf).threshold(f.labels)).all()
            assert (f.masks.area > 0).all()


def test_a_batch_gives_what_single_images_give(architecture: Architecture) -> None:
    module = make(architecture).eval()
    images = torch.stack([padded(scene((64, 64), 6, seed=s)[0], architecture) for s in range(3)])
    frames = [Frame((64, 64), (64, 64))] * 3
    with torch.inference_mode():
        together = architecture.decode(module(images), frames, CLASSES, DecodeOptions(conf=0.1))
        for i, found in enumerate(together):
            alone = architecture.decode(module(images[i : i + 1]), frames[:1], CLASSES, DecodeOptions(conf=0.1))[0]
            assert len(alone) == len(found)
            # sums in another order may move a pixel on an edge
            assert np.abs(alone.masks.area - found.masks.area).sum() <= 0.01 * max(1, found.masks.area.sum())


def test_encoding_memory_does_not_grow_with_instances_times_pixels(architecture: Architecture) -> None:
    boxes = np.stack(np.meshgrid(np.arange(0, 1000, 20), np.arange(0, 1000, 20)), -1).reshape(-1, 2)
    masks = Masks.from_boxes(np.concatenate([boxes, boxes + 15], 1), (1024, 1024))  # 2,500: dense would be 2.6 GB
    instances = Instances(masks)
    tracemalloc.start()
    architecture.encode(instances, architecture.config())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6


@pytest.mark.slow
def test_overfits_four_small_images(architecture: Architecture) -> None:
    scenes = [scene((96, 96), 5, seed=s) for s in range(4)]
    module = make(architecture).train()
    images, targets = batch_of(architecture, architecture.config(), scenes)
    optimiser = torch.optim.AdamW(module.parameters(), 2e-3)
    for step in range(200):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 20, (200 - step) / 60)
        optimiser.zero_grad()
        sum(architecture.loss(module, images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 10.0)
        optimiser.step()
    module.eval()
    with torch.inference_mode():
        raw = module(images)
    found = architecture.decode(raw, [Frame((96, 96), (96, 96))] * 4, CLASSES, DecodeOptions(conf=0.4))
    hits = misses = 0
    for (_, truth), predicted in zip(scenes, found, strict=True):
        visible = truth.masks.to_label_map(overlap="last")
        for value in np.unique(visible[visible > 0]):
            mask = visible == value
            if mask.sum() < 30:
                continue
            best = max(
                ((m & mask).sum() / (m | mask).sum() for m in predicted.masks.to_dense()), default=0.0
            )  # four small images: dense is fine
            hits, misses = hits + (best > 0.5), misses + (best <= 0.5)
    assert hits >= 0.8 * (hits + misses)
