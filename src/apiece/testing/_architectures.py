"""What every architecture promises."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from apiece._arrays import Float32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.metrics import evaluate
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput
from apiece.ops import parts_of
from apiece.testing._promises import expect, refused
from apiece.transforms.occlude import PASTED

CLASSES = ("disc", "bar")

Scene = tuple[Float32, Instances]


def make(architecture: Architecture, channels: int = 1, seed: int = 0, **settings: Any) -> nn.Module:
    """Return a network of two classes with random weights."""
    torch.manual_seed(seed)
    spec = ModelInput(channels=channels, mean=(0.0,) * channels, std=(1.0,) * channels)
    return architecture.build(architecture.config(**settings), spec, 2)


def scene(size: tuple[int, int], count: int, seed: int = 0) -> Scene:
    """Return bright discs (class 0) and bars (class 1) that may overlap: float32 (H, W) and their full masks."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros(size, np.float32)
    drawn, labels = np.zeros((count, *size), np.uint8), rng.integers(0, 2, count)
    for shape, label in zip(drawn, labels, strict=True):
        x, y = (int(rng.integers(4, n - 4)) for n in (size[1], size[0]))
        if label == 0:
            cv2.circle(shape, (x, y), int(rng.integers(3, 9)), 1, -1)
        else:
            cv2.rectangle(shape, (x, y), (x + int(rng.integers(8, 20)), y + 4), 1, -1)
        pixels = np.where(shape > 0, 0.5 + 0.5 * label + rng.uniform(-0.1, 0.1), pixels).astype(np.float32)
    return pixels, Instances(Masks.from_dense(drawn > 0), labels, CLASSES)


def padded(pixels: Float32, architecture: Architecture, channels: int = 1) -> Tensor:
    """Return (C, H, W), padded to the stride at the bottom and on the right."""
    pad = [(0, -n % architecture.stride) for n in pixels.shape]
    return torch.from_numpy(np.pad(pixels, pad).astype(np.float32)).expand(channels, -1, -1).contiguous()


def batch_of(
    architecture: Architecture, scenes: Sequence[Scene], channels: int = 1, **settings: Any
) -> tuple[Tensor, list[Any]]:
    """Return images and targets as training makes them."""
    images = torch.stack([padded(pixels, architecture, channels) for pixels, _ in scenes])
    height, width = images.shape[2:]
    on_grid = [i.replace(masks=i.masks.shift(0, 0, size=(height, width))) for _, i in scenes]
    return images, [architecture.encode(i, architecture.config(**settings)) for i in on_grid]


def losses_of(
    architecture: Architecture, scenes: Sequence[Scene], channels: int = 1, **settings: Any
) -> tuple[nn.Module, Tensor]:
    """Return a network in training and the sum of its losses on these scenes; expects that they are finite."""
    module = make(architecture, channels, **settings).train()
    losses = architecture.loss(module, *batch_of(architecture, scenes, channels, **settings))
    expect(losses, "there are no losses")
    odd = {name: value for name, value in losses.items() if value.ndim or not torch.isfinite(value)}
    expect(not odd, f"losses that are no finite numbers: {odd}")
    odd = {name: value for name, value in losses.items() if not name.startswith(("box", "class", "mask"))}
    expect(not odd, f"losses that begin with neither box, class nor mask: {set(odd)}")
    return module, torch.stack(list(losses.values())).sum()


def has(architecture: Architecture, setting: str) -> bool:
    """Return whether the architecture has a setting of this name."""
    return any(field.name == setting for field in dataclasses.fields(architecture.config))


def flat(outputs: Any) -> list[Tensor]:
    """Return all tensors of raw outputs: tensors, lists and dictionaries of them only."""
    if isinstance(outputs, Tensor):
        return [outputs]
    values = outputs.values() if isinstance(outputs, dict) else outputs
    return [t for v in values for t in flat(v)]


def _equal(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(flat(one), flat(other), strict=True))


class _Seen(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at what operations give: those of double precision, and the most elements of a tensor."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.doubles: list[str] = []
        self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        self.most = max([self.most, *(t.numel() for t in tensors)])
        if any(isinstance(t, Tensor) for t in tree_leaves((args, kwargs))):  # else it is made on the CPU, to stay there
            self.doubles += [str(func) for t in tensors if t.dtype == torch.float64]
        return out


def learns(architecture: Architecture, folder: Path) -> None:
    """It learns, forward and backward, from one object, 300, none, odd sizes, 4 channels, and images without any."""
    for size, count, channels in (((64, 96), 1, 1), ((96, 96), 300, 1), ((64, 64), 0, 1), ((61, 107), 6, 4)):
        # room for them, as training makes it
        slots = architecture.slots
        more = slots and getattr(architecture.config(), slots) < count
        module, total = losses_of(architecture, [scene(size, count)] * 2, channels, **({slots: count} if more else {}))
        total.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        expect(gradients, f"{count} objects: there are no gradients")
        expect(all(torch.isfinite(g).all() for g in gradients), f"{count} objects: gradients are not finite")
    losses_of(architecture, [scene((64, 64), 0), scene((64, 64), 5), scene((64, 64), 1)])


def single_precision(architecture: Architecture, folder: Path) -> None:
    """Nothing has double precision before decoding: Apple's GPUs have none, others are slow at it."""
    module = make(architecture).train()
    images, targets = batch_of(architecture, [scene((64, 64), 4)])
    with _Seen() as seen:
        torch.stack(list(architecture.loss(module, images, targets).values())).sum().backward()  # type: ignore[no-untyped-call]
        with torch.inference_mode():
            module.eval()(images)
    expect(not seen.doubles, f"operations with float64: {seen.doubles}")


def every_parameter(architecture: Architecture, folder: Path) -> None:
    """Every parameter learns."""
    module, total = losses_of(architecture, [scene((96, 96), 12)])
    total.backward()  # type: ignore[no-untyped-call]
    idle = [name for name, parameter in module.named_parameters() if parameter.grad is None]
    expect(not idle, f"without a gradient: {idle}")


def no_objects(architecture: Architecture, folder: Path) -> None:
    """Crowds and masks without a pixel are no objects."""
    pixels, some = scene((64, 64), 4)
    empty = Instances(Masks.empty((64, 64), 1), np.zeros(1, int), CLASSES)
    crowd = Instances(Masks.from_boxes(np.array([[0, 0, 64, 64]]), (64, 64)), np.ones(1, int), CLASSES, crowd=[True])
    for instances in (Instances.concatenate([crowd, some, empty]), empty, crowd):
        losses_of(architecture, [(pixels, instances)])


def seeds(architecture: Architecture, folder: Path) -> None:
    """The same seed gives the same weights, another seed others."""
    first, second, other = (make(architecture, seed=s).state_dict() for s in (5, 5, 6))
    expect(all(torch.equal(first[k], second[k]) for k in first), "one seed gave different weights")
    expect(any(not torch.equal(first[k], other[k]) for k in first), "two seeds gave the same weights")


def safetensors(architecture: Architecture, folder: Path) -> None:
    """Its state comes back from safetensors bit by bit."""
    module, again = (make(architecture, 3, seed=s).eval() for s in (1, 2))
    save_file(module.state_dict(), folder / "m.safetensors")
    again.load_state_dict(load_file(folder / "m.safetensors"))
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expect(_equal(module(image), again(image)), "the outputs differ")


def config(architecture: Architecture, folder: Path) -> None:
    """Its config is a frozen dataclass, and refuses what it does not know."""
    settings = architecture.config()
    expect(dataclasses.is_dataclass(settings), "the config is no dataclass")
    with refused(dataclasses.FrozenInstanceError, "", "a change of the config"):
        settings.dropout = 0.5
    for wrong in (1.0, -0.1):
        with refused(ConfigError, "dropout", f"a dropout of {wrong}"):
            architecture.config(dropout=wrong)
    if has(architecture, "norm"):
        with refused(ConfigError, "norm", "a norm named 'layer'"):
            architecture.config(norm="layer")
    with refused(ConfigError, "class_weights", "three class weights of two classes"):
        make(architecture, class_weights=(1.0, 2.0, 3.0))


def dropout(architecture: Architecture, folder: Path) -> None:
    """Dropout drops in training only."""
    module = make(architecture, dropout=0.5)
    kinds = nn.Dropout | nn.Dropout1d | nn.Dropout2d
    expect(any(isinstance(m, kinds) and m.p == 0.5 for m in module.modules()), "no layer drops half")
    image = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        expect(_equal(module.eval()(image), module.eval()(image)), "two predictions differ")


def slots(architecture: Architecture, folder: Path) -> None:
    """More objects than its slots are refused, never left out."""
    if architecture.slots:
        name = architecture.slots
        with refused(ConfigError, rf"40.*{name}|{name}.*40", f"40 objects, with {name} = 16,"):
            losses_of(architecture, [scene((96, 96), 40)], **{name: 16})


def group_norm(architecture: Architecture, folder: Path) -> None:
    """Where the norm is a setting, it learns with group norm, too, and nothing depends on the batch."""
    if has(architecture, "norm"):
        module, _ = losses_of(architecture, [scene((64, 64), 3)], norm="group")
        expect(not any(isinstance(m, nn.BatchNorm2d) for m in module.modules()), "there is batch norm")


def whole_objects(architecture: Architecture, folder: Path) -> None:
    """Where whole objects are a setting, every parameter learns, with full masks in the labels and without, and each
    prediction has a full mask."""
    if not has(architecture, "amodal"):
        return
    for full in (True, False):
        scenes = [(pixels, _covered(shapes, full)) for pixels, shapes in (scene((96, 96), n) for n in (12, 0))]
        module, total = losses_of(architecture, scenes, amodal=True)
        total.backward()  # type: ignore[no-untyped-call]
        idle = [name for name, parameter in module.named_parameters() if parameter.grad is None]
        expect(not idle, f"without a gradient: {idle}")
    with torch.inference_mode():
        raw = module.eval()(torch.stack([padded(pixels, architecture) for pixels, _ in scenes]))
    for found in architecture.decode(raw, [Frame((70, 141), (96, 96))] * 2, CLASSES, DecodeOptions(conf=0.0)):
        expect(found.full is not None, "a prediction has no full masks")


def _covered(instances: Instances, full: bool) -> Instances:
    """What shows of objects of which each hides those before it; the last was pasted."""
    dense = instances.masks.to_dense()
    seen = np.array([m & ~dense[i + 1 :].any(0) for i, m in enumerate(dense)]).reshape(dense.shape)
    marks = {PASTED: np.arange(len(seen)) == len(seen) - 1}
    whole = instances.replace(masks=Masks.from_dense(seen), full=instances.masks)
    return whole if full else whole.replace(attributes=marks)


def decoding(architecture: Architecture, folder: Path) -> None:
    """Each image's instances have its size, scores in order and none below ``conf``, and pixels."""
    module = make(architecture).eval()
    images = torch.stack([padded(scene((61, 107), n, seed)[0], architecture) for n, seed in ((5, 0), (9, 1))])
    with torch.inference_mode():
        raw = module(images)
    frames = [Frame((61, 107), (61, 107)), Frame((122, 321), (61, 107))]
    for conf in (0.0, 0.05, (0.05, 1.01)):
        options = DecodeOptions(conf=conf)
        found = architecture.decode(raw, frames, CLASSES, options)
        expect([f.size for f in found] == [f.size for f in frames], f"sizes are {[f.size for f in found]}")
        for f in found:
            expect(f.classes == CLASSES and f.scores is not None, f"no scores, or other classes: {f}")
            scores = np.asarray(f.scores)
            expect((np.diff(scores) <= 0).all(), "the best does not come first")
            expect((scores >= options.threshold(f.labels)).all(), f"scores below conf={conf}")
            expect((f.masks.area > 0).all(), "masks without a pixel")
        asked = architecture.decode(raw, frames, CLASSES, dataclasses.replace(options, edges=(1.0, 2.0)))
        for f, edged in zip(found, asked, strict=True):
            expect(edged.replace(attributes={}) == f, "asking how far outlines may be off changes the answer")
            if edged.attributes:
                point, mean = edged.attributes["edge"], edged.attributes["edge_mean"]
                expect(np.array_equal(mean, 2 * point, equal_nan=True), "edges are not multiples of one softness")
                expect((np.nan_to_num(point, nan=1.0) > 0).all(), "an edge that is not soft at all")


def batches(architecture: Architecture, folder: Path) -> None:
    """A batch gives what single images give."""
    module = make(architecture).eval()
    images = torch.stack([padded(scene((64, 64), 6, seed)[0], architecture) for seed in range(3)])
    frames, options = [Frame((64, 64), (64, 64))] * 3, DecodeOptions(conf=0.1)
    with torch.inference_mode():
        together = architecture.decode(module(images), frames, CLASSES, options)
        for i, found in enumerate(together):
            (alone,) = architecture.decode(module(images[i : i + 1]), frames[:1], CLASSES, options)
            expect(len(alone) == len(found), f"image {i}: {len(found)} instances, alone {len(alone)}")
            # sums in another order may move a pixel on an edge
            off = np.abs(alone.masks.area - found.masks.area).sum()
            expect(off <= 0.01 * max(1, found.masks.area.sum()), f"image {i}: {off} pixels differ")


def encoding_memory(architecture: Architecture, folder: Path) -> None:
    """Memory of encoding does not grow with instances times pixels."""
    boxes = np.stack(np.meshgrid(np.arange(0, 1000, 20), np.arange(0, 1000, 20)), -1).reshape(-1, 2)
    masks = Masks.from_boxes(np.concatenate([boxes, boxes + 15], 1), (1024, 1024))  # 2,500: dense would be 2.6 GB
    tracemalloc.start()
    architecture.encode(Instances(masks), architecture.config())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    expect(peak < 150e6, f"{peak / 1e6:.0f} MB for 2,500 instances")


def decoding_memory(architecture: Architecture, folder: Path) -> None:
    """Decoding never builds instances times pixels.

    Random weights find hundreds of objects at any score; their dense masks would be a hundred times the bound.
    """
    module = make(architecture).eval()
    with torch.inference_mode():
        raw = module(torch.rand(1, 1, 128, 128))
        tracemalloc.start()
        with _Seen() as seen:
            (found,) = architecture.decode(raw, [Frame((3000, 3000), (128, 128))], CLASSES, DecodeOptions(conf=0.0))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    bound = max(4 * sum(t.numel() for t in flat(raw)), 1_000_000)
    expect(seen.most <= bound, f"a tensor of {seen.most:,} elements for {len(found)} masks, above {bound:,}")
    expect(peak < 400e6, f"{peak / 1e6:.0f} MB for {len(found)} masks")


def _overlapping(seed: int, overlap: bool) -> Scene:
    """Two discs and two bars; a bar lies across a disc. Whole masks, or what shows."""
    rng = np.random.default_rng(seed)
    pixels, drawn = np.zeros((96, 96), np.float32), np.zeros((4, 96, 96), np.uint8)
    x, y = (int(v) for v in rng.integers(0, 12, 2))
    cv2.circle(drawn[0], (22 + x, 24 + y), 13, 1, -1)
    cv2.circle(drawn[1], (64, 66), int(rng.integers(13, 20)), 1, -1)
    cv2.rectangle(drawn[2], (40, 58 + y), (88, 70 + y), 1, -1)
    cv2.rectangle(drawn[3], (56 + x, 8), (68 + x, 50), 1, -1)
    shapes = drawn > 0
    for shape, value in zip(shapes, (0.45, 0.6, 0.8, 1.0), strict=True):
        pixels[shape] = value
    if not overlap:
        shapes = np.stack([s & ~shapes[i + 1 :].any(0) for i, s in enumerate(shapes)])
    pixels += rng.normal(0, 0.02, pixels.shape).astype(np.float32)
    return pixels, Instances(Masks.from_dense(shapes), [0, 0, 1, 1], CLASSES)


def _in_parts(instances: Instances) -> Instances:
    """Each connected part as an object of its own."""
    parts, source = parts_of(instances.masks, corners=False)
    return Instances(parts, instances.labels[source], instances.classes)


def overfits(architecture: Architecture, folder: Path) -> None:
    """It learns four images by heart, to a mask AP of 0.9, with its own learning rate, within 800 steps.

    Objects overlap where it says that it can find such. A bar cuts a disc in two: a semantic model has no way to know
    that the halves are one object (a perfect map of classes scores 0.86 at best), so for it each part is an object.
    """
    scenes = [_overlapping(seed, architecture.overlap) for seed in range(4)]
    if architecture.kind == "semantic":
        scenes = [(pixels, _in_parts(truth)) for pixels, truth in scenes]
    module = make(architecture).train()
    images, targets = batch_of(architecture, scenes)
    highest = float(architecture.defaults.get("lr", 5e-4))
    optimiser = torch.optim.AdamW(module.parameters(), highest, weight_decay=0.0)
    steps, found = 800, 0.0
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = highest * min(1.0, (step + 1) / 30, (steps - step) / 200)
        optimiser.zero_grad()
        torch.stack(list(architecture.loss(module, images, targets).values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(module.parameters(), 5.0)
        optimiser.step()
        if step % 100 == 99:
            found = _mask_ap(architecture, module, images, scenes)
            if found >= 0.9:
                return
    raise AssertionError(f"mask AP is {found:.2f} after {steps} steps")


def _mask_ap(architecture: Architecture, module: nn.Module, images: Tensor, scenes: Sequence[Scene]) -> float:
    module.eval()
    with torch.inference_mode():
        raw = module(images)
    found = architecture.decode(raw, [Frame(i.size, i.size) for _, i in scenes], CLASSES, DecodeOptions(conf=0.05))
    module.train()
    return evaluate([(truth, answer) for (_, truth), answer in zip(scenes, found, strict=True)], CLASSES)["mask_ap"]


PROMISES = (
    learns, single_precision, every_parameter, no_objects, seeds, safetensors, config, dropout, slots, group_norm,
    whole_objects, decoding, batches, encoding_memory, decoding_memory,
)  # fmt: skip
SLOW = (overfits,)
