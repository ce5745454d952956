"""What an architecture is: one file in this package that defines ``ARCHITECTURE = Architecture(...)``.

The road through a model, the same for all::

    Instances ── encode ──▶ targets ─┐
    images ──────────────────────────┴─ loss ──▶ {"box": ..., "class": ..., "mask": ...}      (training)
    images ── module(images) ──▶ raw outputs ── decode(outputs, frames) ──▶ Instances           (prediction)

`loss` gets the module itself, so a two-stage model can pool features where its own proposals lie.
`decode` turns raw outputs into run-lengths at the original image size through `Masks.from_logits`,
`Masks.from_prototypes` or `Masks.from_label_map`, never through an N x H x W stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from apiece.core.instances import Instances
from apiece.errors import ConfigError

__all__ = ["Architecture", "DecodeOptions", "Frame", "ModelInput", "Targets"]

Targets = dict[str, Tensor]
"""Training targets of one image; what they are is the architecture's own business."""


@dataclass(frozen=True)
class ModelInput:
    """What a model takes; saved in ``model.json``.

    Attributes
    ----------
    channels : channels of the network's input, 1 to 12. A grey image given to a 3-channel model is repeated; any other
        mismatch is an error.
    normalise : ``"percentile"``: each image is scaled so that its 1st and 99.8th percentile (over all channels
        together) become 0 and 1; ``"range"``: integers are divided by their dtype's maximum, floats are taken as they
        are. Then ``(x - mean) / std``.
    mean, std : one per channel, applied after that.
    imgsz : the longer side, in pixels, that an image is resized to; None keeps the image's own pixels.
    """

    channels: int = 3
    normalise: str = "percentile"
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    imgsz: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(v) for v in self.mean))
        object.__setattr__(self, "std", tuple(float(v) for v in self.std))
        if not 1 <= self.channels <= 12:
            raise ConfigError(f"channels must be 1 to 12, got {self.channels}")
        if self.normalise not in ("percentile", "range"):
            raise ConfigError(f"normalise must be 'percentile' or 'range', got {self.normalise!r}")
        if len(self.mean) != self.channels or len(self.std) != self.channels or min(self.std) <= 0:
            raise ConfigError(f"mean and std need {self.channels} values each, std above 0; got {self.mean} and {self.std}")
        if self.imgsz is not None and self.imgsz < 32:
            raise ConfigError(f"imgsz must be at least 32, got {self.imgsz}")


@dataclass(frozen=True)
class Frame:
    """Where one network input lies on its image.

    The image is resized to ``input_size`` and padded at the bottom and on the right, so image coordinate ``x`` is
    network coordinate ``x * input_size[1] / size[1]`` (continuous, pixel edges at integers).

    Attributes
    ----------
    size : (height, width) of the image: masks come out at this size.
    input_size : (height, width) of the part of the network input that the image fills.
    """

    size: tuple[int, int]
    input_size: tuple[int, int]


@dataclass(frozen=True)
class DecodeOptions:
    """How raw outputs become instances.

    Attributes
    ----------
    conf : lowest score kept: one number, or one per class.
    iou : overlap above which the lower-scoring of two instances of a class is a duplicate.
    max_instances : most instances kept per image, best scores first; None keeps all. When it bites, a warning says so.
    """

    conf: float | tuple[float, ...] = 0.05
    iou: float = 0.5
    max_instances: int | None = None

    def threshold(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """The lowest score kept, for each label of an array."""
        return np.broadcast_to(np.float64(self.conf), labels.shape) if np.isscalar(self.conf) else np.asarray(self.conf)[labels]


@dataclass(frozen=True)
class Architecture:
    """One architecture: everything that training, prediction and the shared tests need to know."""

    summary: str
    """One line for ``apiece models``: what it is good and bad at."""
    config: type[Any]
    """Frozen dataclass of its settings; every field documented, all with defaults, JSON-able."""
    build: Callable[[Any, ModelInput, int], nn.Module]
    """``(config, input, number of classes)`` to a module, randomly initialised; ``module(images)`` gives raw outputs."""
    encode: Callable[[Instances, Any], Targets]
    """``(instances on the network's grid, config)`` to targets; runs in data-loader workers."""
    loss: Callable[[nn.Module, Tensor, Sequence[Targets]], dict[str, Tensor]]
    """``(module, images of shape (B, C, H, W) float32, targets)`` to named scalar losses whose sum is minimised.
    Names begin with ``box``, ``class`` or ``mask``, which is how they are reported."""
    decode: Callable[[Any, Sequence[Frame], tuple[str, ...], DecodeOptions], list[Instances]]
    """``(raw outputs, frames, classes, options)`` to scored instances at each image's own size, best first."""
    stride: int = 32
    """Input sides are padded to a multiple of this."""
    dropout: bool = False
    """Whether the config has a ``dropout`` field."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that suit it (``lr``, ``batch`` ...), where they differ from the common ones."""
