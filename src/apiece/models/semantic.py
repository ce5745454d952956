"""Semantic: a class for every pixel, then connected regions as objects; the baseline that shows what instances buy.

Papers: O. Ronneberger et al., "U-Net", MICCAI 2015 (arXiv 1505.04597); J. Long et al., "Fully Convolutional Networks
for Semantic Segmentation", CVPR 2015 (arXiv 1411.4038); L.-C. Chen et al., "Rethinking Atrous Convolution for Semantic
Image Segmentation" (DeepLabV3), arXiv 1706.05587. The U-Net is written here; the other two heads are torchvision's
(BSD-3-Clause); encoders are timm's (Apache-2.0) or the compact one here. There are no weights to load but timm's for
the encoder (each with its own licence, named by timm).

One class per pixel by softmax, and not a sigmoid per class: a pixel then belongs to one region at most, so regions
never overlap. No map of edges, distances or centres is learned: touching objects of one class merge into one, and an
object that another cuts in two becomes two. This model is there to show that.

What differs: cross-entropy and Dice together; the U-Net's last layer shuffles channels to full resolution; the FCN and
DeepLabV3 heads read all levels from stride 8 on, joined at stride 8, where the papers widen the encoder's steps
(dilation) to keep that stride; their dropout is a setting; classes are decided at the image's own resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import ASPPPooling, DeepLabHead
from torchvision.models.segmentation.fcn import FCNHead

from apiece.core.instances import Instances
from apiece.models._decode.semantic import decode
from apiece.models._kit import class_map
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import norm_layer
from apiece.models._kit.network import Network, input_size
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.unet import UNetDecoder
from apiece.models.contract import Architecture, ModelInput, Targets

__all__ = ["ARCHITECTURE", "Semantic", "SemanticConfig"]

HEADS = ("unet", "fcn", "deeplab")


@dataclass(frozen=True)
class SemanticConfig(BackboneSettings):
    """Set up the architecture, beyond `BackboneSettings`.

    Attributes
    ----------
    head : ``"unet"``: sharp outlines; ``"fcn"``: smallest; ``"deeplab"``: DeepLabV3, sees furthest.
    smallest : fewest pixels of the image that a region needs to be an object.
    """

    head: str = "unet"
    smallest: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("head", HEADS)
        self._at_least(1, "smallest")


class Semantic(Network):
    """Map images ``(B, C, H, W)`` to a dictionary:

    ``classes`` (B, 1 + classes, H, W), logits, background first; ``smallest`` int64 (B,), the setting.
    """

    config: SemanticConfig

    def __init__(self, config: SemanticConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes, background=True)
        self.encoder = build_backbone(config.backbone, input.channels, config.weights, config.norm)
        build_head = {"unet": UNetHead, "fcn": JoinedHead, "deeplab": JoinedHead}[config.head]
        self.head = build_head(config, self.encoder.channels, self.encoder.strides, classes + 1)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits = self.head(self.encoder(images)).float()
        if logits.shape[-2:] != images.shape[-2:]:
            logits = functional.interpolate(logits, size=images.shape[-2:], mode="bilinear")
        smallest = torch.full((images.shape[0],), self.config.smallest, dtype=torch.int64, device=images.device)
        return {"classes": logits, "smallest": smallest}


class UNetHead(nn.Module):
    """Go the U-Net's way up, and give logits whose channels are shuffled to the input's resolution."""

    def __init__(self, config: SemanticConfig, channels: Sequence[int], strides: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.shuffle = strides[0]
        self.decoder = UNetDecoder(channels, config.norm)
        self.drop = nn.Dropout2d(config.dropout)
        self.last = nn.Conv2d(self.decoder.out_channels, outputs * self.shuffle**2, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        return functional.pixel_shuffle(self.last(self.drop(self.decoder(features))), self.shuffle)


class JoinedHead(nn.Module):
    """Run torchvision's FCN or DeepLabV3 head on every level from stride 8 on, joined at the finest of them."""

    def __init__(self, config: SemanticConfig, channels: Sequence[int], strides: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.levels = [i for i, stride in enumerate(strides) if stride >= 8] or [len(strides) - 1]
        inputs = sum(channels[i] for i in self.levels)
        self.drop = nn.Dropout2d(config.dropout)
        self.head = FCNHead(inputs, outputs) if config.head == "fcn" else DeepLabHead(inputs, outputs)
        _adapt(self.head, config.norm, config.dropout)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        size = features[self.levels[0]].shape[-2:]
        joined = [functional.interpolate(features[i], size=size, mode="bilinear") for i in self.levels]
        out: Tensor = self.head(self.drop(torch.cat(joined, 1)))
        return out


def _adapt(head: nn.Module, norm: str, dropout: float) -> None:
    """Give torchvision's layers the normalisation and dropout of the settings."""
    for module in head.modules():
        if isinstance(module, ASPPPooling):  # one value per channel: batch norm cannot learn from a batch of one
            module[2] = norm_layer("group", module[2].num_features)
        for name, child in list(module.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, norm_layer(norm, child.num_features))
            elif isinstance(child, nn.Dropout):
                child.p = dropout


def encode(instances: Instances, config: SemanticConfig) -> Targets:
    """Return targets of one image: ``classes`` int16 (H, W): class of the smallest instance at each pixel plus 1, 0
    for background, -1 where only a crowd lies."""
    return {"classes": class_map.paint_classes(instances, instances.labels + 1)}


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_pixel`` (cross-entropy) and ``mask_dice``, each a scalar."""
    assert isinstance(module, Semantic)
    logits = module(images)["classes"]
    target = class_map.stack_maps([t["classes"] for t in targets], input_size(images), images.device)
    return {
        "class_pixel": class_map.cross_entropy(logits, target, module.class_weights),
        "mask_dice": class_map.class_dice(logits, target, module.class_weights),
    }


ARCHITECTURE = Architecture(
    summary="a class per pixel, connected regions as objects: the baseline; touching objects of a class merge",
    kind="semantic",
    config=SemanticConfig,
    build=Semantic,
    encode=encode,
    loss=loss,
    decode=decode,
    overlap=False,
    defaults={"lr": 2e-3, "batch": 8, "crop": 256, "weight_decay": 1e-2},
)
