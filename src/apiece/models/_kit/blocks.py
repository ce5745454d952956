"""What encoders, necks and heads are made of: a base class, convolution blocks, the choice of normalisation."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from apiece.errors import ConfigError, UnknownNameError

NORMS = ("batch", "group")
STRIDES = (4, 8, 16, 32)
"""Strides of the features that most models here take."""


def norm_layer(name: str, channels: int) -> nn.Module:
    """Return a normalisation that learns from scratch.

    ``"batch"`` is fastest and needs some pixels per batch. ``"group"`` does not depend on the batch; it takes groups of
    8 channels, or one group where 8 does not divide them.
    """
    if name == "batch":
        return nn.BatchNorm2d(channels)
    if name == "group":
        return nn.GroupNorm(channels // 8 if channels % 8 == 0 else 1, channels)
    raise UnknownNameError("norm", name, NORMS)


class ConvNorm(nn.Sequential):
    """Convolution without bias, normalisation, ReLU: ``(B, in, H, W)`` to ``(B, out, H / stride, W / stride)``."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, norm: str = "batch") -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
            norm_layer(norm, outputs),
            nn.ReLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut (He et al., CVPR 2016): ``(B, in, H, W)`` to ``(B, out, H, W)``."""

    def __init__(self, inputs: int, outputs: int, norm: str = "batch", dropout: float = 0.0) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, norm=norm)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), norm_layer(norm, outputs))
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1, bias=False)
        self.drop = nn.Dropout2d(dropout)
        self.activate = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.activate(self.second(self.drop(self.first(x))) + self.shortcut(x))
        return out


class Encoder(nn.Module):
    """Map images ``(B, C, H, W)`` to a pyramid of features, finest first, with these channels and strides."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    _chosen: Sequence[int] | None = None

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features at all strides that the encoder has."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> list[Tensor]:
        found = self.features(images)
        return found if self._chosen is None else [found[i] for i in self._chosen]

    def narrow(self, name: str, strides: tuple[int, ...]) -> None:
        """Give features at these strides only; an encoder (called ``name``) that lacks one is refused."""
        chosen = [i for i, stride in enumerate(self.strides) if stride in strides]
        if len(chosen) != len(strides):
            raise ConfigError(
                f"the model needs features at strides {strides[0]} to {strides[-1]}; {name!r} has {self.strides}"
            )
        self._chosen, self.strides = chosen, strides
        self.channels = tuple(self.channels[i] for i in chosen)
