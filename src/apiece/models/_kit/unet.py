"""A compact U-Net (Ronneberger et al., MICCAI 2015) for training from scratch on a CPU.

Differs from the paper: residual blocks, a normalisation layer, a strided stem so that no convolution runs at full
resolution (the head shuffles its channels back to full resolution), nearest upsampling and same padding.
`UNetDecoder` also serves as the neck over any pyramid of features, such as timm's.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, cat, nn
from torch.nn import functional

from apiece.models._kit.blocks import ConvNorm, Encoder, ResidualBlock


class UNetEncoder(Encoder):
    """Map images to a pyramid of features, finest first.

    Parameters
    ----------
    widths : channels of each level; level ``k`` has ``1 / (2 * 2**k)`` of the input's resolution.
    dropout : chance of dropping a feature map, in the two coarsest levels only.
    """

    def __init__(
        self, channels: int, widths: Sequence[int] = (32, 64, 128, 192, 192), norm: str = "batch", dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.channels = tuple(widths)
        self.strides = tuple(2 << k for k in range(len(widths)))
        self.stem = ConvNorm(channels, widths[0], kernel=4 + 1, stride=2, norm=norm)
        inputs = (widths[0], *widths[:-1])
        drops = [dropout if k >= len(widths) - 2 else 0.0 for k in range(len(widths))]
        self.levels = nn.ModuleList(ResidualBlock(i, o, norm, d) for i, o, d in zip(inputs, widths, drops, strict=True))

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of every level."""
        x = self.stem(images)
        features: list[Tensor] = []
        for k, level in enumerate(self.levels):
            x = level(functional.max_pool2d(x, 2) if k else x)
            features.append(x)
        return features


class UNetDecoder(nn.Module):
    """Turn a pyramid of features, finest first, into one map with ``out_channels`` channels at the finest
    resolution.

    Parameters
    ----------
    channels : channels of each level of the pyramid.
    limit : most channels that a level of the decoder has.
    """

    def __init__(self, channels: Sequence[int], norm: str = "batch", limit: int = 256) -> None:
        super().__init__()
        widths = [min(c, limit) for c in channels]
        below = [*widths[1:-1], channels[-1]]
        self.out_channels = widths[0]
        self.merge = nn.ModuleList(
            ConvNorm(deep + skip, width, norm=norm)
            for deep, skip, width in zip(below, channels[:-1], widths[:-1], strict=True)
        )
        self.refine = ConvNorm(widths[0], widths[0], norm=norm)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        x = features[-1]
        for skip, merge in zip(reversed(features[:-1]), reversed(self.merge), strict=True):
            x = merge(cat([functional.interpolate(x, size=skip.shape[-2:], mode="nearest"), skip], 1))
        out: Tensor = self.refine(x)
        return out
