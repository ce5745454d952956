"""Embedding: every pixel votes for its object's centre, then votes are clustered; for thousands of touching objects.

Papers: D. Neven et al., "Instance Segmentation by Jointly Optimizing Spatial Embeddings and Clustering Bandwidth", CVPR
2019 (arXiv 1906.11109); T. Goldsborough et al., "InstanSeg", arXiv 2408.15954. Written from the papers; there are no
weights to load but timm's for the encoder (each with its own licence, named by timm).

As in Neven et al.: an offset and a bandwidth at every pixel, a seed map per class, a loss on each instance's mask. As
in InstanSeg: the seed map learns the normalised distance to the object's edge, so it has one peak per object and
valleys where objects touch; in training the cluster's centre and bandwidth are those of one pixel drawn by the
predicted seed map, which is what prediction uses, and not a mean over the true object.

What differs from both: each pixel has a reach of its own (logit = reach - log(1 + squared distance in bandwidths)),
which plays the part of InstanSeg's small network per seed yet keeps the clustering in closed form. A mask's loss is
Dice and cross-entropy, where both papers use the Lovász hinge; a small loss draws offsets to the centre of mass. The
losses run over a flat list of the pixels near each instance, not over an N x H x W stack. Clustering looks votes up in
the plane where they land, so no window limits an object's size. Votes are interpolated to the image's own resolution
before they are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece._arrays import Float32, Int32
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.errors import ConfigError
from apiece.models._decode.embedding import REACH, decode
from apiece.models._kit import losses
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.network import Network, input_size
from apiece.models._kit.ragged import Pixels, owners, segment_sum, window_pixels
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.unet import UNetDecoder
from apiece.models.contract import Architecture, ModelInput, Targets

__all__ = ["ARCHITECTURE", "Embedding", "EmbeddingConfig"]

_OFFSET = 16.0  # pixels per unit of the offset head, so that its outputs are near 1


@dataclass(frozen=True)
class EmbeddingConfig(BackboneSettings):
    """Set up the architecture, beyond `BackboneSettings`.

    ``dropout`` has no effect in an encoder of timm's.

    Attributes
    ----------
    widths : channels of each level of the ``unet`` encoder, from stride 2 on; each level doubles the stride.
    window : pixels near one instance that its loss looks at; larger instances are sampled on a grid.
    """

    backbone: str = "unet"
    widths: tuple[int, ...] = (32, 64, 128, 192, 192)
    window: int = 2304

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tuples(int, "widths")
        self._at_least(64, "window")
        if len(self.widths) < 2 or min(self.widths) < 8:
            raise ConfigError(f"widths needs two levels or more of at least 8 channels each, got {self.widths}")


class Embedding(Network):
    """Map images ``(B, C, H, W)`` to maps at the same resolution, in a dictionary:

    ``seed`` (B, classes, H, W), logits; ``offset`` (B, 2, H, W), x and y in pixels; ``bandwidth`` (B, 2, H, W), in
    pixels; ``reach`` (B, 1, H, W), below 2: a pixel
    joins a seed if its squared distance in bandwidths is below ``exp(reach) - 1``.
    """

    config: EmbeddingConfig

    def __init__(self, config: EmbeddingConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        self.encoder = build_backbone(
            config.backbone, input.channels, config.weights, config.norm, widths=config.widths, dropout=config.dropout
        )
        self.decoder = UNetDecoder(self.encoder.channels, config.norm)
        self.shuffle = self.encoder.strides[0]
        self.head = nn.Conv2d(self.decoder.out_channels, (classes + 5) * self.shuffle**2, 1)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        with torch.no_grad():  # objects are rare: start from a low seed map
            self.head.bias[: classes * self.shuffle**2] = -2.0  # type: ignore[index]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.decoder(self.encoder(images))
        # votes carry fractions of a pixel over tens of pixels: too fine for half precision
        with torch.autocast(images.device.type, enabled=False):
            raw = functional.pixel_shuffle(self.head(features.float()), self.shuffle)
        seed, offset, bandwidth, reach = torch.split(raw, [self.classes, 2, 2, 1], 1)
        return {
            "seed": seed,
            "offset": offset * _OFFSET,
            "bandwidth": 4.0 * bandwidth.clamp(-4, 4).exp(),
            "reach": REACH - functional.softplus(REACH - reach),
        }


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: EmbeddingConfig) -> Targets:
    """Return targets of one image.

    ``map`` int32 (H, W): index of the smallest instance at each pixel plus 1, 0 for background, -1 where only a crowd
    lies; ``distance`` float32 (H, W): distance to the object's edge, 1 at its deepest pixel; ``labels`` int64 (N,);
    ``windows`` int64 (N, 4): half-open xyxy of each instance's visible part with a margin, empty if none shows;
    ``area`` int64 (N,): visible pixels.
    """
    single = instances[~instances.crowd]
    count = len(single)
    label_map = single.masks.to_label_map(np.arange(1, count + 1), np.int32, overlap="smallest")
    if instances.crowd.any():
        crowd = instances[instances.crowd].masks.union().to_dense()[0]
        label_map = np.where((label_map == 0) & crowd, np.int32(-1), label_map)
    visible = Masks.from_label_map(np.maximum(label_map, 0))
    present = np.unique(label_map[label_map > 0]) - 1
    boxes = np.zeros((count, 4), np.int64)
    boxes[present] = visible.boxes
    margin = np.maximum(4, (boxes[:, 2:] - boxes[:, :2]) // 3)
    height, width = instances.size
    windows = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], 1).clip(0, [width, height] * 2)
    windows[boxes[:, 2] == boxes[:, 0]] = 0
    area = np.zeros(count, np.int64)
    area[present] = visible.area
    return {
        "map": torch.from_numpy(label_map),
        "distance": torch.from_numpy(edge_distance(label_map)),
        "labels": torch.from_numpy(np.array(single.labels)),
        "windows": torch.from_numpy(windows),
        "area": torch.from_numpy(area),
    }


def edge_distance(label_map: Int32) -> Float32:
    """Return the distance of each labelled pixel to the nearest pixel of another value, 1 at its object's deepest.

    Outside the image counts as the same object, so that a cut object has its peak where its whole would.
    """
    padded = np.pad(label_map, 1, mode="edge")
    inner = np.ones(label_map.shape, bool)
    height, width = label_map.shape
    for dy, dx in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner &= padded[dy : dy + height, dx : dx + width] == label_map
    inner &= label_map > 0
    depth = cv2.distanceTransform(inner.astype(np.uint8), cv2.DIST_L2, 3) + 1
    distance = np.where(label_map > 0, depth, 0).astype(np.float32)
    deepest = np.ones(int(label_map.max(initial=0)) + 1, np.float32)
    owner = np.maximum(label_map, 0)
    np.maximum.at(deepest, owner.ravel(), distance.ravel())
    scaled: Float32 = distance / deepest[owner]
    return scaled


@dataclass(frozen=True)
class _Batch:
    """Targets of a batch, flat: instances numbered through, pixels numbered through."""

    owner: Tensor  # int64[B, H, W]: instance + 1 over the whole batch, 0 background, -1 ignored
    distance: Tensor  # float32[B, H, W]
    labels: Tensor
    area: Tensor
    windows: Tensor
    image: Tensor  # int64[N]: image of each instance


def _batch(targets: Sequence[Targets], size: tuple[int, int], device: torch.device) -> _Batch:
    numbered, distances, first = [], [], 0
    for t in targets:
        pad = (0, size[1] - t["map"].shape[1], 0, size[0] - t["map"].shape[0])
        owner = functional.pad(t["map"].to(device).long(), pad)
        numbered.append(torch.where(owner > 0, owner + first, owner))
        distances.append(functional.pad(t["distance"].to(device), pad))
        first += len(t["labels"])
    joined = {k: torch.cat([t[k].to(device) for t in targets]) for k in ("labels", "area", "windows")}
    image = owners([len(t["labels"]) for t in targets], device)
    return _Batch(torch.stack(numbered), torch.stack(distances), image=image, **joined)


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``box_offset``, ``class_seed``, ``mask_instance`` and ``mask_foreground``, each a scalar."""
    assert isinstance(module, Embedding)
    out: dict[str, Tensor] = module(images)
    batch = _batch(targets, input_size(images), images.device)
    seed, foreground = _dense_losses(out, batch, module.class_weights)
    keep = batch.area > 0
    near = window_pixels(torch.where(keep[:, None], batch.windows, 0), module.config.window)
    if not len(near.window):
        nothing = out["offset"].sum() * 0.0
        return {"box_offset": nothing, "class_seed": seed, "mask_instance": nothing, "mask_foreground": foreground}
    offset, instance = _instance_losses(out, batch, near, module.class_weights)
    return {"box_offset": offset, "class_seed": seed, "mask_instance": instance, "mask_foreground": foreground}


def _dense_losses(out: dict[str, Tensor], batch: _Batch, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of the seed map and of foreground against background, over pixels outside of crowds."""
    seen = batch.owner >= 0
    index = batch.owner.clamp(min=0)
    # a small object has few pixels but counts as one object: its pixels weigh up to four times as much
    lift = (400.0 / batch.area.clamp(min=1)).sqrt().clamp(1.0, 4.0) * weights[batch.labels]
    weight = torch.cat([lift.new_ones(1), lift])[index] * seen
    label = torch.cat([batch.labels.new_zeros(1), batch.labels])[index]
    target = torch.zeros_like(out["seed"]).scatter_(1, label[:, None], batch.distance[:, None])
    seed = losses.focal(out["seed"], target, gamma=1.0).sum(1) * weight
    inside = (batch.owner > 0).float()
    ground = functional.binary_cross_entropy_with_logits(2 * out["reach"][:, 0], inside, reduction="none") * weight
    total = seen.sum().clamp(min=1)
    return 4.0 * seed.sum() / total, ground.sum() / total


def _instance_losses(out: dict[str, Tensor], batch: _Batch, near: Pixels, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses of offsets to the centre of mass, and of each instance's cluster against its mask."""
    height, width = batch.owner.shape[1:]
    count = len(batch.labels)
    flat = (batch.image[near.window] * height + near.y) * width + near.x
    owner = batch.owner.view(-1)[flat]
    used = owner >= 0
    window, flat, owner = near.window[used], flat[used], owner[used]
    x, y = near.x[used] + 0.5, near.y[used] + 0.5
    inside = owner == window + 1
    channels = {k: v.permute(1, 0, 2, 3).reshape(v.shape[1], -1) for k, v in out.items()}
    offset = channels["offset"][:, flat]
    votes = torch.stack([x, y]) + offset

    mine, size = window[inside], segment_sum(inside.float(), window, count)
    centre = torch.stack([segment_sum(v[inside], mine, count) for v in (x, y)]) / size.clamp(min=1)
    scale = batch.area.clamp(min=1).float().sqrt()[mine]
    misses = functional.smooth_l1_loss(votes[:, inside] / scale, centre[:, mine] / scale, beta=0.1, reduction="none")
    per_instance = segment_sum(misses.sum(0), mine, count) / size.clamp(min=1)

    shown = size > 0
    label = batch.labels[window]
    peak = _draw_seeds(channels["seed"].detach()[label, flat], inside, window, count)
    chosen = flat[peak.clamp(min=0)]
    spread = channels["bandwidth"][:, chosen]
    distance = (((votes - votes[:, peak.clamp(min=0)][:, window]) / spread[:, window]) ** 2).sum(0)
    logits = channels["reach"][0, flat] - torch.log1p(distance)
    # steeper logits: their sigmoid, not only their sign, is to be the mask
    target, steep = inside.float(), 2 * logits
    mask = 1.5 * losses.dice(steep, target, window, count) + losses.bce(steep, target, window, count)
    share = shown * weights[batch.labels]
    share = share / shown.sum().clamp(min=1)
    return (per_instance * share).sum(), (mask * share).sum()


def _draw_seeds(logits: Tensor, inside: Tensor, window: Tensor, count: int) -> Tensor:
    """Draw one pixel of each instance, with the odds of its seed logit: index into the list of pixels, -1 for none."""
    noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)))
    key = torch.where(inside, 2.0 * logits.float() + noise, -torch.inf)
    best = torch.full((count,), -torch.inf, device=logits.device).scatter_reduce(0, window, key, "amax")
    at_best = inside & (key == best[window])
    index = torch.where(at_best, torch.arange(len(window), device=logits.device), -1)
    return torch.full((count,), -1, device=logits.device).scatter_reduce(0, window, index, "amax")


ARCHITECTURE = Architecture(
    summary="bottom-up: pixels vote for their object's centre; thousands of small touching objects, no overlaps",
    kind="bottom-up",
    config=EmbeddingConfig,
    build=Embedding,
    encode=encode,
    loss=loss,
    decode=decode,
    overlap=False,
    defaults={"lr": 3e-3, "batch": 8, "crop": 192, "weight_decay": 1e-2},
)
