"""A plain residual encoder that learns fast from scratch on a CPU: dense 3 x 3 convolutions, few layers, no pooling."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from apiece.models._kit.blocks import ConvNorm, Encoder, ResidualBlock


class ResidualEncoder(Encoder):
    """Map images ``(B, channels, H, W)`` to features at strides 4, 8, 16, ..., finest first.

    Each stage is a convolution of stride 2 and some residual blocks (He et al., CVPR 2016, basic blocks).

    Parameters
    ----------
    stem : channels at stride 2, where there is one convolution only: that resolution is dear.
    widths, depths : channels and residual blocks of each stage.
    dropout : chance of dropping a feature map, in the two coarsest stages only.
    """

    def __init__(
        self,
        channels: int,
        stem: int,
        widths: Sequence[int],
        depths: Sequence[int],
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.channels = tuple(widths)
        self.strides = tuple(4 << k for k in range(len(widths)))
        self.stem = ConvNorm(channels, stem, stride=2, norm=norm)
        self.stages = nn.ModuleList()
        inputs = stem
        for k, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            drop = dropout if k >= len(widths) - 2 else 0.0
            blocks = [ResidualBlock(width, width, norm, drop) for _ in range(depth)]
            self.stages.append(nn.Sequential(ConvNorm(inputs, width, stride=2, norm=norm), *blocks))
            inputs = width

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of every stage."""
        x = self.stem(images)
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features
