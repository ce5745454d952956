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

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from apiece._arrays import Float, Int
from apiece._plugins import Room
from apiece.core.instances import Instances
from apiece.ops.parts import largest_part
from apiece.transforms.input import Frame, ModelInput

if TYPE_CHECKING:  # settings and `--help` need no torch
    from torch import Tensor, nn

__all__ = [
    "LIBRARIES",
    "NAMES",
    "ROOM",
    "Architecture",
    "Checkpoint",
    "DecodeOptions",
    "Frame",
    "ModelInput",
    "Part",
    "Published",
    "Targets",
    "Weights",
    "is_name",
]

_LOG = logging.getLogger("apiece")

LIBRARIES = ("hf", "timm", "torchvision")
"""What may stand before the colon where weights are named ``library:name``."""
NAMES = ("default", "imagenet", "timm")
"""Names of weights without a library."""

Targets: TypeAlias = "dict[str, Tensor]"
"""Training targets of one image; what they are is the architecture's own business."""


@dataclass(frozen=True)
class DecodeOptions:
    """Say how raw outputs become instances.

    `Architecture.decode` may leave ``max_instances`` and ``one_piece`` to `finished`.

    Attributes
    ----------
    conf : lowest score kept, 0 to 1 (default 0.05): one number, or one per class.
    iou : overlap above which the lower-scoring of two instances of a class is a duplicate (default 0.5).
    max_instances : most instances kept per image, best scores first (default None: all).
    one_piece : whether objects are in one piece, for each class; of such masks the largest part is kept. Empty: none.
    edges : give instances the attributes ``edge`` and ``edge_mean``: how far an outline may be off (95%) at one place,
        and as a whole. Both are so many times the softness of the mask's edge, half the distance between its outlines
        at the chances 0.4 and 0.6. None: no such attributes.

    Examples
    --------
    >>> options = DecodeOptions(conf=(0.5, 0.3))
    >>> options.threshold(np.array([1, 0, 1]))
    array([0.3, 0.5, 0.3])
    """

    conf: float | tuple[float, ...] = 0.05
    iou: float = 0.5
    max_instances: int | None = None
    one_piece: tuple[bool, ...] = ()
    edges: tuple[float, float] | None = None

    def finished(self, found: Instances) -> Instances:
        """Return the instances that `decode` found, best scores first, as a person gets them.

        At most ``max_instances`` stay, and masks of classes in one piece lose stray parts. A warning says if instances
        are lost.
        """
        if any(self.one_piece):
            single = np.array(self.one_piece)[found.labels]
            found = found.replace(masks=largest_part(found.masks, single))
        most = self.max_instances
        if most is None or len(found) <= most:
            return found
        self.tell_lost(len(found))
        return found[:most]

    def tell_lost(self, count: int) -> None:
        """Warn that of so many objects ``max_instances`` are kept."""
        most = self.max_instances
        _LOG.warning("%d objects found in one image, the best %d kept: raise max_instances", count, most)

    def threshold(self, labels: Int) -> Float:
        """Return the lowest score kept, float64 (N,), for each of ``labels`` (N,)."""
        values = np.asarray(self.conf, np.float64)
        return np.broadcast_to(values, labels.shape) if values.ndim == 0 else values[labels]


@dataclass(frozen=True)
class Weights:
    """Name pretrained weights that an architecture can start from, as ``apiece models`` lists them.

    Attributes
    ----------
    name : what ``--weights`` takes, such as ``"timm"`` or ``"hf:facebook/mask2former-swin-tiny-coco-instance"``.
    licence : SPDX name of the licence they are published under; of the data they learned from, where that is stricter.
    summary : what they were trained on, in a few words.
    terms : what a person should know of the licence before using them; empty: nothing more.
    """

    name: str
    licence: str
    summary: str
    terms: str = ""


def is_name(spec: object) -> bool:
    """Return whether this names weights, as ``library:name`` or ``default``, and is no path of something.

    >>> is_name("torchvision:maskrcnn_resnet50_fpn_v2"), is_name("runs/bolts")
    (True, False)
    """
    text = str(spec)
    library, colon, _ = text.partition(":")
    return text in NAMES or (bool(colon) and library in LIBRARIES)


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """Hold weights of another library, read but not interpreted.

    Attributes
    ----------
    tensors : name to tensor, on the CPU.
    settings : its ``config.json``; empty where it has none.
    source : where it was read from, for messages.
    licence : what it may be used for, if it says so; else empty.
    preprocess : its ``preprocessor_config.json``; empty where it has none.
    folder : where its files lie, such as those of a tokenizer; None where it is no folder of transformers.
    """

    tensors: Mapping[str, Tensor]
    settings: Mapping[str, Any]
    source: str
    licence: str = ""
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True)
class Published:
    """Say how checkpoints that `Architecture.adopt` understands predict as their own library does.

    Attributes
    ----------
    model_type : what such a checkpoint's ``config.json`` says it is.
    settings : the architecture's settings in which prediction there differs from here.
    preprocess : what a ``preprocessor_config.json`` means that leaves a key out. ``pad`` is a key of its own: sides are
        padded to multiples of it.
    conf : lowest score of an object.
    """

    model_type: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    conf: float = 0.5


@dataclass(frozen=True, eq=False)
class Part:
    """Hold a part of a network that becomes a graph of its own.

    Attributes
    ----------
    module : gives a dictionary of tensors.
    free : of each input, by name and in order, the axes that may have any length, and what each length is called; empty
        for the first part, which takes images.
    example, other : two sets of inputs, by name: of the first a graph is made, the other checks it.
    """

    module: nn.Module
    free: Mapping[str, Mapping[int, str]]
    example: Mapping[str, Tensor]
    other: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Architecture:
    """Describe one architecture: everything that training, prediction and the shared tests need to know.

    CONTRIBUTING shows a whole one under "Add a model".
    """

    summary: str
    """One line for ``apiece models``: what it is good and bad at."""
    kind: str
    """``"two-stage"``, ``"single-stage"``, ``"query"``, ``"bottom-up"`` or ``"semantic"``."""
    config: type[Any]
    """Frozen dataclass of its settings; every field documented, all with defaults, JSON-able. ``dropout`` and
    ``class_weights`` are among them."""
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
    sized: bool = False
    """Whether the module also takes the (height, width) that each image fills of the padded input, as a list."""
    overlap: bool = True
    """Whether the masks it finds may overlap; if not, it learns and finds the visible part of each object."""
    slots: str = ""
    """Setting that bounds how many objects one image may hold, such as ``"queries"``; empty: nothing does. Training
    raises it to what the data needs; more objects than that are refused, never left out."""
    weights: tuple[Weights, ...] = ()
    """Pretrained weights that `adopt` understands, and timm's where the config has a ``backbone``."""
    adopt: Callable[[Checkpoint, Any], tuple[Any, dict[str, Tensor]]] | None = None
    """``(checkpoint of another library, config)`` to the config that gives a network of the checkpoint's shape, and
    its tensors under this module's names. None: there are none but timm's."""
    published: Published | None = None
    """How such checkpoints predict as they were published; None: they are there to begin training from."""
    parts: Callable[[nn.Module], dict[str, Part]] | None = None
    """The networks that graphs are made of where one graph cannot hold all; the first is ``model``. What is done
    between them is `stages` in ``_decode``. None: the module is one graph."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Training settings that suit it (``lr``, ``batch`` ...), where they differ from the common ones."""


ROOM: Room[Architecture] = Room("apiece.models", "ARCHITECTURE", Architecture)
"""Where the architectures are found."""
