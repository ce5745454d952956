"""Encoders: images to a pyramid of features, finest first, with 1 to 12 input channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import timm
from timm.layers import GroupNorm
from torch import Tensor, nn

from apiece.errors import ConfigError, UnknownNameError
from apiece.models._layers.unet import UNetEncoder

__all__ = ["TimmBackbone", "build_backbone"]


class TimmBackbone(nn.Module):
    """A timm model's features, finest first.

    Parameters
    ----------
    name : timm's name of a model that can give features.
    channels : input channels; pretrained first layers are adapted by timm.
    weights : ``"none"`` or ``"timm"``.
    norm : ``"batch"`` leaves the model's own normalisation; ``"group"`` asks for group norm (ResNets).

    Raises
    ------
    UnknownNameError
        if timm has no such model.
    ConfigError
        if the model cannot give features, or the weights cannot be had (the message says what to do).
    """

    def __init__(self, name: str, channels: int, weights: str = "none", norm: str = "batch") -> None:
        super().__init__()
        if not timm.is_model(name):
            raise UnknownNameError("backbone", name, ["unet", *timm.list_models()])
        if weights not in ("none", "timm"):
            raise ConfigError(f"weights must be 'none' or 'timm', got {weights!r}")
        options: dict[str, Any] = {"norm_layer": partial(GroupNorm, num_groups=8)} if norm == "group" else {}
        try:
            self.body = timm.create_model(
                name, pretrained=weights == "timm", features_only=True, in_chans=channels, **options
            )
        except (OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            hint = "; without network use weights 'none' or put them into the Hugging Face cache first"
            raise ConfigError(
                f"backbone {name!r} with norm {norm!r} cannot be built: {error}{hint if weights == 'timm' else ''}"
            ) from error
        self.channels = tuple(int(c) for c in self.body.feature_info.channels())
        self.strides = tuple(int(s) for s in self.body.feature_info.reduction())

    def forward(self, images: Tensor) -> list[Tensor]:
        features: list[Tensor] = self.body(images)
        return features


def build_backbone(
    name: str,
    channels: int,
    weights: str = "none",
    *,
    widths: Sequence[int] = (32, 64, 128, 192, 192),
    norm: str = "batch",
    dropout: float = 0.0,
) -> UNetEncoder | TimmBackbone:
    """The encoder called ``name``: ``"unet"``, made of ``widths``, or timm's.

    Raises
    ------
    ConfigError, UnknownNameError
        if it does not exist or cannot be had.
    """
    if name == "unet":
        if weights != "none":
            raise ConfigError("the unet encoder has no pretrained weights; use weights 'none' or a timm backbone")
        return UNetEncoder(channels, widths, norm, dropout)
    return TimmBackbone(name, channels, weights, norm)
