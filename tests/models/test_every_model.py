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
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from apiece import models
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput
from apiece.ops.parts import parts_of
from apiece.training._schedule import parameter_groups

NAMES = models.names()
CLASSES = ("disc", "bar")


@pytest.fixture(params=NAMES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return models.load(request.param)


def make(architecture: Architecture, channels: int = 1, classes: int = 2, seed: int = 0, **settings: Any) -> nn.Module:
    torch.manual_seed(seed)
    return architecture.build(architecture.config(**settings), model_input(channels), classes)


def room(architecture: Architecture, count: int) -> dict[str, int]:
    """Settings with which the architecture holds ``count`` objects, as training raises them."""
    if not architecture.slots or getattr(architecture.config(), architecture.slots) >= count:
        return {}
    return {architecture.slots: count}


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
    settings = room(architecture, count)
    module = make(architecture, channels, **settings).train()
    images, targets = batch_of(architecture, architecture.config(**settings), [scene(size, count)] * 2, channels)
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


class _Doubles(TorchDispatchMode):
    """Operations on tensors that give double precision, which GPUs of Apple's have not and others are slow at."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if any(isinstance(t, Tensor) for t in tree_leaves((args, kwargs))):  # else it is made on the CPU, to stay there
            self.found += [str(func) for t in tree_leaves(out) if isinstance(t, Tensor) and t.dtype == torch.float64]
        return out


def test_no_double_precision_before_decoding(architecture: Architecture) -> None:
    module = make(architecture).train()
    images, targets = batch_of(architecture, architecture.config(), [scene((64, 64), 4)])
    with _Doubles() as doubles:
        sum(architecture.loss(module, images, targets).values()).backward()
        with torch.inference_mode():
            module.eval()(images)
    assert doubles.found == []


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
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.dropout = 0.5
    for wrong in (1.0, -0.1):
        with pytest.raises(ConfigError, match="dropout"):
            architecture.config(dropout=wrong)
    if has(architecture, "norm"):
        with pytest.raises(ConfigError, match="norm"):
            architecture.config(norm="layer")
    with pytest.raises(ConfigError, match="class_weights"):
        make(architecture, class_weights=(1.0, 2.0, 3.0))


def has(architecture: Architecture, setting: str) -> bool:
    return any(f.name == setting for f in dataclasses.fields(architecture.config))


def test_dropout_drops_in_training_only(architecture: Architecture) -> None:
    module = make(architecture, dropout=0.5).train()
    dropping = [m for m in module.modules() if isinstance(m, nn.Dropout | nn.Dropout1d | nn.Dropout2d) and m.p == 0.5]
    assert dropping
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        first, second = (_flat(module.eval()(image)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_more_objects_than_slots_are_refused_never_left_out(architecture: Architecture) -> None:
    if not architecture.slots:
        pytest.skip("nothing bounds the number of objects")
    settings = {architecture.slots: 16}
    module = make(architecture, **settings).train()
    with pytest.raises(ConfigError, match=rf"40.*{architecture.slots}|{architecture.slots}.*40"):
        architecture.loss(module, *batch_of(architecture, architecture.config(**settings), [scene((96, 96), 40)]))


def test_group_norm_learns_too(architecture: Architecture) -> None:
    if not has(architecture, "norm"):
        pytest.skip("its paper's normalisation does not depend on the batch")
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


class _Largest(TorchDispatchMode):
    """Most elements of any tensor that an operation makes."""

    most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, Tensor):
                self.most = max(self.most, tensor.numel())
        return out


def test_decoding_never_builds_instances_times_pixels(architecture: Architecture) -> None:
    """Random weights find hundreds of objects at any score; their dense masks would be a hundred times the bound."""
    size, big = (128, 128), (3000, 3000)
    module = make(architecture).eval()
    with torch.inference_mode():
        raw = module(torch.rand(1, 1, *size))
        tracemalloc.start()
        with _Largest() as largest:
            (found,) = architecture.decode(raw, [Frame(big, size)], CLASSES, DecodeOptions(conf=0.0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    grown = sum(t.numel() for t in _flat(raw))
    assert largest.most <= max(4 * grown, 1_000_000)
    assert peak < 400e6, f"{len(found)} masks"


# --- what a person sees: it learns ------------------------------------------------------------------------------------


def overlapping(seed: int, overlap: bool) -> tuple[np.ndarray, Instances]:
    """Two discs and two bars; a bar lies across a disc. Whole masks, or what shows."""
    rng = np.random.default_rng(seed)
    pixels, shapes, labels = np.zeros((96, 96), np.float32), [], [0, 0, 1, 1]
    x, y = (int(v) for v in rng.integers(0, 12, 2))
    for kind, points, value in (
        ("disc", ((22 + x, 24 + y), 13), 0.45),
        ("disc", ((64, 66), int(rng.integers(13, 20))), 0.6),
        ("bar", ((40, 58 + y), (88, 70 + y)), 0.8),
        ("bar", ((56 + x, 8), (68 + x, 50)), 1.0),
    ):
        shape = np.zeros((96, 96), np.uint8)
        if kind == "disc":
            cv2.circle(shape, points[0], points[1], 1, -1)
        else:
            cv2.rectangle(shape, points[0], points[1], 1, -1)
        pixels[shape > 0] = value
        shapes.append(shape > 0)
    if not overlap:
        shapes = [s & ~np.any(shapes[i + 1 :], axis=0) if i + 1 < len(shapes) else s for i, s in enumerate(shapes)]
    pixels += rng.normal(0, 0.02, pixels.shape).astype(np.float32)
    return pixels, Instances(Masks.from_dense(np.array(shapes)), labels, CLASSES)


@pytest.mark.slow
def test_overfits_four_images_to_mask_ap_09(architecture: Architecture) -> None:
    """With the model's own learning rate; objects overlap where it says that it can find such.

    A bar cuts a disc in two: a semantic model has no way to know that the halves are one object (a perfect map of
    classes scores 0.86 at best), so for it each connected part counts as an object.
    """
    scenes = [overlapping(seed, architecture.overlap) for seed in range(4)]
    if architecture.kind == "semantic":
        scenes = [(pixels, in_parts(truth)) for pixels, truth in scenes]
    module = make(architecture).train()
    images, targets = batch_of(architecture, architecture.config(), scenes)
    highest = float(architecture.defaults.get("lr", 5e-4))
    groups = parameter_groups(module, 0.0)
    optimiser = torch.optim.AdamW(groups, highest)
    steps, found = 800, 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = highest * min(1.0, (step + 1) / 30, (steps - step) / 200)
        optimiser.zero_grad()
        sum(architecture.loss(module, images, targets).values()).backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        if step % 100 == 99:
            found = mask_ap(architecture, module, images, scenes)
            if found >= 0.9:
                break
    assert found >= 0.9


def in_parts(instances: Instances) -> Instances:
    """Each connected part as an object of its own."""
    parts, source = parts_of(instances.masks, corners=False)
    return Instances(parts, instances.labels[source], instances.classes)


def mask_ap(architecture: Architecture, module: nn.Module, images: Tensor, scenes: list[Any]) -> float:
    module.eval()
    with torch.inference_mode():
        raw = module(images)
    found = architecture.decode(raw, [Frame(i.size, i.size) for _, i in scenes], CLASSES, DecodeOptions(conf=0.05))
    module.train()
    pairs = [(truth, answer) for (_, truth), answer in zip(scenes, found, strict=True)]
    return float(evaluate(pairs, CLASSES)["mask_ap"])
