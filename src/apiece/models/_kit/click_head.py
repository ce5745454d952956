"""The network that answers clicks: a small U-Net over frozen features of the default model and maps of what was asked.

In the line of FocalClick (X. Chen et al., "FocalClick: Towards Practical Interactive Image Segmentation", CVPR 2022,
arXiv 2204.02574) and of RITM (K. Sofiiuk et al., arXiv 2102.06583): clicks are discs on maps, beside the mask before.
What differs: the features are the default model's and are not trained for clicks, so that one encoder serves both; and
one set of weights looks from afar and close by.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece.models._kit.blocks import ConvNorm, ResidualBlock

__all__ = ["MAPS", "ClickHead", "click_features"]

MAPS = 6
"""Maps of what was asked: positive clicks, negative clicks, box, mask before, whether that is known, on the image."""

_WIDTHS = (24, 48, 64, 96, 96)  # at strides 2 to 32


def click_features(swift: nn.Module, images: Tensor) -> list[Tensor]:
    """Return what the head looks at of images (B, 3, H, W): the encoder's stem, then its pyramid; strides 2 to 32."""
    encoder = swift.encoder
    x = encoder.stem(images)  # type: ignore[operator,union-attr]
    found, levels = [x], []
    for stage in encoder.stages:  # type: ignore[union-attr]
        x = stage(x)
        levels.append(x)
    return found + swift.neck(levels)  # type: ignore[operator]


class ClickHead(nn.Module):
    """Map `click_features` and maps (B, `MAPS`, H / 2, W / 2) to logits (B, H / 2, W / 2) of the one object asked for.

    Parameters
    ----------
    stem, neck : channels of the features at stride 2, and at strides 4 to 32.
    """

    def __init__(self, stem: int = 32, neck: int = 64) -> None:
        super().__init__()
        inputs = (stem, neck, neck, neck, neck)
        self.asked = ConvNorm(stem + MAPS, _WIDTHS[0])
        pairs = list(pairwise(_WIDTHS))
        self.down = nn.ModuleList(ConvNorm(fine, coarse, stride=2) for fine, coarse in pairs)
        self.lateral = nn.ModuleList(nn.Conv2d(i, w, 1) for i, w in zip(inputs[1:], _WIDTHS[1:], strict=True))
        self.block = nn.ModuleList(ResidualBlock(width, width, "batch") for width in _WIDTHS[1:])
        self.glance = nn.Conv2d(_WIDTHS[-1], _WIDTHS[-1], 1)
        self.up = nn.ModuleList(nn.Conv2d(coarse, fine, 1) for fine, coarse in pairs)
        self.merge = nn.ModuleList(ConvNorm(fine, fine) for fine, _ in pairs)
        self.to_logits = nn.Conv2d(_WIDTHS[0], 1, 3, padding=1)

    def forward(self, levels: Sequence[Tensor], maps: Tensor) -> Tensor:
        x = self.asked(torch.cat([levels[0].expand(len(maps), -1, -1, -1), maps], 1))
        passed = [x]
        for level, down, lateral, block in zip(levels[1:], self.down, self.lateral, self.block, strict=True):
            x = block(down(x) + lateral(level))
            passed.append(x)
        x = x + self.glance(x.mean((2, 3), keepdim=True)).expand_as(x)
        for k in range(len(self.up) - 1, -1, -1):
            wide = functional.interpolate(self.up[k](x), size=passed[k].shape[-2:], mode="bilinear")
            x = self.merge[k](passed[k] + wide)
        return self.to_logits(x)[:, 0].float()
