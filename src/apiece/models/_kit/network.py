"""What every network here is made with: its base class, targets on its device, decoding image by image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from apiece.core.instances import Instances
from apiece.models._kit.losses import class_weights
from apiece.models.contract import DecodeOptions, Frame, Targets

DecodeOne: TypeAlias = Callable[[dict[str, Tensor], Frame, tuple[str, ...], DecodeOptions], Instances]
DecodeBatch: TypeAlias = Callable[[Any, Sequence[Frame], tuple[str, ...], DecodeOptions], list[Instances]]


class Network(nn.Module):
    """A network that knows its settings and has a weight per class for the losses, not saved with the network."""

    config: Any
    class_weights: Tensor  # float32 (classes,), or (1 + classes,) with the background first

    def __init__(self, config: Any, classes: int, *, background: bool = False) -> None:
        super().__init__()
        self.config, self.classes = config, classes
        weights = class_weights(config.class_weights, classes)
        self.register_buffer(
            "class_weights", torch.cat([torch.ones(1), weights]) if background else weights, persistent=False
        )


def per_image(decode: DecodeOne) -> DecodeBatch:
    """Make a decoder of batches from one that decodes the outputs of a single image."""

    @wraps(decode)
    def decode_batch(
        outputs: Any, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        parts = ({name: values[i].detach() for name, values in outputs.items()} for i in range(len(frames)))
        return [decode(part, frame, classes, options) for part, frame in zip(parts, frames, strict=True)]

    return decode_batch


def on_cpu(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the outputs as float32 on the CPU."""
    return {name: values.float().cpu() for name, values in outputs.items()}


def on_device(targets: Sequence[Targets], device: torch.device) -> list[Targets]:
    """Return the targets of each image on a device."""
    return [{name: values.to(device) for name, values in target.items()} for target in targets]


def input_size(images: Tensor) -> tuple[int, int]:
    """Return (height, width) of images (B, C, H, W)."""
    return images.shape[2], images.shape[3]
