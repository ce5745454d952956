"""Panoptic FPN: Mask R-CNN and a semantic branch on one feature pyramid; things and stuff merged without overlap.

Papers: A. Kirillov et al., "Panoptic Feature Pyramid Networks", CVPR 2019 (arXiv 1901.02446); the merge is that of A.
Kirillov et al., "Panoptic Segmentation", CVPR 2019 (arXiv 1801.00868). The half for things is `mask_rcnn` here, of
torchvision's parts (BSD-3-Clause) on a timm encoder (Apache-2.0); branch and merge are written from the papers. There
are no weights to load but timm's for the encoder (each with its own licence, named by timm).

As in the papers: every level of the pyramid climbs to stride 4, levels are added, and one more layer gives a class per
pixel, among them "no stuff"; its loss is added with a weight. Things by falling score take the pixels that nothing
before them took. A thing of which too little is left is dropped and takes none. Stuff fills the rest, but for classes
with too few pixels.

What differs: stuff is a setting, none by default: the branch then learns where each class of things is, which helps the
pyramid, and is not run in prediction. What no label covers is background and learned as "no stuff", not ignored. Where
labels overlap, things learn what shows of them (the smallest lies on top). A segment of stuff is scored by its mean
probability. The merge goes through all things at once in a few rounds, with the result of one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models import mask_rcnn
from apiece.models._decode.panoptic_fpn import decode
from apiece.models._kit import losses
from apiece.models._kit.network import input_size
from apiece.models._kit.stuff import SemanticBranch, encode_stuff, things_among, visible_things
from apiece.models._kit.two_stage_parts import detection_parts
from apiece.models.contract import Architecture, ModelInput, Part, Targets
from apiece.models.mask_rcnn import MaskRCNN, MaskRCNNConfig, levels_of

__all__ = ["ARCHITECTURE", "PanopticFPN", "PanopticFPNConfig"]


@dataclass(frozen=True)
class PanopticFPNConfig(MaskRCNNConfig):
    """Set up the merge of things and stuff, beyond `MaskRCNNConfig`.

    Attributes
    ----------
    remain : share of its pixels that a thing needs to keep beside those with higher scores, or it is dropped.
    """

    remain: float = 0.5
    smallest: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.remain <= 1:
            raise ConfigError(f"remain must be from 0 to 1, got {self.remain}")


class PanopticFPN(nn.Module):
    """Map images ``(B, C, H, W)`` to what `MaskRCNN` gives for things, ``labels`` among all classes, and ``remain``.

    ``remain`` is float64 (B,), on the CPU. With stuff there is also what `SemanticBranch.answer` gives.
    """

    def __init__(self, config: PanopticFPNConfig, input: ModelInput, classes: int) -> None:
        super().__init__()
        self.config = config
        things = things_among(classes, config.stuff)
        losses.class_weights(config.class_weights, classes)  # as many as classes
        self.thing_classes: Tensor
        self.register_buffer("thing_classes", torch.tensor(things), persistent=False)
        own_weights = tuple(config.class_weights[c] for c in things if config.class_weights)
        self.things = MaskRCNN(replace(config, stuff=(), class_weights=own_weights), input, len(things))
        norm = "group" if config.norm == "frozen" else config.norm  # nothing to freeze: the branch is always new
        self.branch = SemanticBranch(config, config.width, norm, classes, config.stuff or things)

    def forward(self, images: Tensor) -> dict[str, list[Tensor] | Tensor]:
        features = self.things.features(images)
        found: dict[str, list[Tensor] | Tensor] = dict(self.things.detect(features, input_size(images)))
        found["labels"] = [self.thing_classes[label] for label in found["labels"]]
        # not on the images' device: some cannot hold such
        found["remain"] = torch.full((len(images),), self.config.remain, dtype=torch.float64)
        if self.config.stuff:
            found.update(self.branch.answer(levels_of(features)))
        return found


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: PanopticFPNConfig) -> Targets:
    """Return the training targets of one image: those of `mask_rcnn.encode`, and ``semantic``.

    Each thing keeps its visible pixels only (where instances overlap, the smallest is on top), and classes are numbered
    among the things alone. ``semantic`` is that of `encode_stuff`; without stuff, of all classes.
    """
    things = mask_rcnn.encode(visible_things(instances, config.stuff), replace(config, stuff=()))
    return {**things, **encode_stuff(instances, config.stuff or range(len(instances.classes)))}


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the five losses of `mask_rcnn.loss`, and ``class_semantic``, cross-entropy of the branch."""
    assert isinstance(module, PanopticFPN)
    size = input_size(images)
    features = module.things.features(images)
    found = mask_rcnn.detection_losses(module.things, features, size, targets)
    return {**found, "class_semantic": module.branch.loss(module.branch(levels_of(features)), targets, size)}


def parts(module: nn.Module) -> dict[str, Part]:
    """Return the networks that graphs are made of, see `detection_parts`."""
    assert isinstance(module, PanopticFPN)
    return detection_parts(module.things, module.branch if module.config.stuff else None)


ARCHITECTURE = Architecture(
    summary="two-stage: Mask R-CNN with a semantic branch; things and stuff share the image without overlap",
    kind="two-stage",
    config=PanopticFPNConfig,
    build=PanopticFPN,
    encode=encode,
    loss=loss,
    decode=decode,
    parts=parts,
    overlap=False,
    defaults=mask_rcnn.ARCHITECTURE.defaults,
)
