"""The encoder that settings name: images to a pyramid of features, finest first, with 1 to 12 input channels."""

from __future__ import annotations

from typing import Any

from apiece.errors import ConfigError
from apiece.models._kit.blocks import Encoder
from apiece.models._kit.unet import UNetEncoder


def build_backbone(
    name: str,
    channels: int,
    weights: str = "none",
    norm: str = "batch",
    strides: tuple[int, ...] | None = None,
    **unet: Any,
) -> Encoder:
    """Build the encoder called ``name``: ``"unet"``, or a model of timm's.

    Parameters
    ----------
    weights, norm : see `timm_backbone.TimmBackbone`.
    strides : the strides at which features are needed; None: all that the encoder has.
    unet : further arguments of `UNetEncoder`, for that encoder only.
    """
    if name == "unet":
        if weights != "none":
            raise ConfigError("the unet encoder has no pretrained weights; use weights 'none' or a timm backbone")
        encoder: Encoder = UNetEncoder(channels, norm=norm, **unet)
    else:
        from apiece.models._kit.timm_backbone import TimmBackbone  # timm takes longer to import than torch

        encoder = TimmBackbone(name, channels, weights, norm)
    if strides is not None:
        encoder.narrow(name, strides)
    return encoder
