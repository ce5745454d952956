"""Checkpoints of torchvision's ``maskrcnn_resnet50_fpn`` and ``_v2`` (BSD-3-Clause) under the names of `MaskRCNN`."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from apiece.errors import ModelFileError
from apiece.models._kit.labels import Labels, labels_of
from apiece.models._kit.torchvision_weights import described
from apiece.models.contract import Checkpoint

MASK_RCNN: MappingProxyType[str, Any] = MappingProxyType(
    {
        "backbone": "resnet50",
        "norm": "frozen",
        "width": 256,
        "hidden": 1024,
        "mask_layers": 4,
        "anchors": ((32,), (64,), (128,), (256,), (512,)),
        "aspects": (0.5, 1.0, 2.0),
        "scale": 112.0,
        "pool_samples": 2,
    }
)
"""Settings of `MaskRCNNConfig` that describe the network: everything else does not change what it computes."""
MASK_RCNN_V2: MappingProxyType[str, Any] = MappingProxyType(
    {**MASK_RCNN, "norm": "batch", "proposal_layers": 2, "box_layers": 4}
)
"""The same of the second version, whose heads have more layers, all of them normalised."""

_EPS = 1e-5  # of the encoder's norms here
_RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # names of files written before torchvision 0.13, such as the published one, first
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)", lambda m: f"roi_heads.mask_head.{int(m[1]) - 1}.0.{m[2]}"),
    (r"backbone\.body\.(.*)", r"encoder.body.\1"),
    (r"backbone\.fpn\.(.*)", r"pyramid.\1"),
    (r"rpn\.head\.(.*)", r"proposer.head.\1"),
    (r"roi_heads\.box_head\.(.*)", r"regions.box_head.0.\1"),
    (r"roi_heads\.box_predictor\.(.*)", r"regions.box_predictor.\1"),
    (r"roi_heads\.(mask_head|mask_predictor)\.(.*)", r"\1.\2"),
)


def mask_rcnn_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the settings of `MaskRCNNConfig` that a checkpoint of torchvision's has."""
    second = "roi_heads.box_head.0.0.weight" in checkpoint.tensors
    found = dict(MASK_RCNN_V2 if second else MASK_RCNN)
    return {**found, "weights": "none", "unnamed": labels_of(described(checkpoint)).unnamed}


def mask_rcnn_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors under `MaskRCNN`'s names; a checkpoint of another network is a `ModelFileError`.

    Outputs without a name go behind the classes, and masks that no box ever asks for are left out. The encoder's norms
    divide by ``sqrt(variance + eps)`` with torchvision's ``eps``; the weight takes the difference to ours, so the
    result is the same.
    """
    given = checkpoint.tensors
    if (
        "roi_heads.mask_predictor.mask_fcn_logits.weight" not in given
        or "backbone.body.layer4.2.conv3.weight" not in given
    ):
        raise ModelFileError(
            checkpoint.source,
            "mask_rcnn reads whole checkpoints of torchvision's maskrcnn_resnet50_fpn and _v2 (names backbone.body.*, "
            "backbone.fpn.*, rpn.*, roi_heads.*); this is another model's",
        )
    labels, first = labels_of(described(checkpoint)), "rpn.head.conv.1.0.weight" not in given
    # the first version's file was trained with frozen norms, which count no batches, and an eps of 0; others have ours
    counted = any(name.endswith("num_batches_tracked") for name in given)
    published = not counted and len(given["roi_heads.box_predictor.cls_score.bias"]) == 91
    eps = 0.0 if published else _EPS
    tensors: dict[str, Tensor] = {}
    for name, tensor in given.items():
        if first and name.endswith("num_batches_tracked"):
            continue
        variance = given.get(f"{name.removesuffix('weight')}running_var")
        if eps != _EPS and name.endswith(".weight") and variance is not None:
            tensor = tensor * torch.sqrt((variance.double() + _EPS) / (variance.double() + eps)).to(tensor.dtype)
        tensors[_renamed(name)] = _classes_first(name, tensor, labels)
    return tensors


def _classes_first(name: str, tensor: Tensor, labels: Labels) -> Tensor:
    """Return a tensor of the last layers in the order of `Labels`; the background stays in front."""
    if "mask_fcn_logits" in name:
        return labels.arranged(tensor[1:])[: len(labels.names)]
    if "box_predictor.cls_score" in name:
        return labels.arranged(tensor, before=1)
    if "box_predictor.bbox_pred" in name:
        return labels.arranged(tensor, before=1, each=4)
    return tensor


def _renamed(name: str) -> str:
    for pattern, new in _RENAMED:
        if found := re.fullmatch(pattern, name):
            name = found.expand(new) if isinstance(new, str) else new(found)
    return name
