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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from apiece.core.instances import Instances
from apiece.transforms._input import Frame, ModelInput

if TYPE_CHECKING:  # settings and `--help` need no torch
    from torch import Tensor, nn

__all__ = ["Architecture", "DecodeOptions", "Frame", "ModelInput", "Targets"]

Targets: TypeAlias = "dict[str, Tensor]"
"""Training targets of one image; what they are is the architecture's own business."""


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
        values = np.asarray(self.conf, np.float64)
        return np.broadcast_to(values, labels.shape) if values.ndim == 0 else values[labels]


@dataclass(frozen=True)
class Architecture:
    """One architecture: everything that training, prediction and the shared tests need to know."""

    summary: str
    """One line for ``apiece models``: what it is good and bad at."""
    config: type[Any]
    """Frozen dataclass of its settings; every field documented, all with defaults, JSON-able."""
    build: Callable[[Any, ModelInput, int], nn.Module]
    """``(config, input, number of classes)`` to a module, random weights; ``module(images)`` gives raw outputs."""
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
