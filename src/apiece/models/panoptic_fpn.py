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

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece._arrays import Float32, Int
from apiece.core.instances import Instances
from apiece.core.masks import Masks, label_map_values
from apiece.errors import ConfigError
from apiece.models import mask_rcnn
from apiece.models._kit import class_map, losses
from apiece.models._kit.network import input_size, per_image
from apiece.models._kit.pyramid import climb, climbs
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput, Targets
from apiece.models.mask_rcnn import MaskRCNN, MaskRCNNConfig
from apiece.ops.flatten import without_overlap

__all__ = ["ARCHITECTURE", "PanopticFPN", "PanopticFPNConfig", "merge"]


@dataclass(frozen=True)
class PanopticFPNConfig(MaskRCNNConfig):
    """Set up the semantic branch, beyond `MaskRCNNConfig`, which sets up the half for things.

    Attributes
    ----------
    stuff : indices of the classes that are stuff: one segment per image each, without objects. The rest are things.
    semantic_width : channels of the semantic branch.
    semantic_weight : weight of the semantic branch's loss beside Mask R-CNN's.
    remain : share of its pixels that a thing needs to keep beside those with higher scores, or it is dropped.
    smallest : fewest pixels of the image that a segment of stuff needs.
    """

    stuff: tuple[int, ...] = ()
    semantic_width: int = 64
    semantic_weight: float = 0.5
    remain: float = 0.5
    smallest: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(8, "semantic_width")
        self._at_least(0, "semantic_weight")
        self._at_least(1, "smallest")
        object.__setattr__(self, "stuff", tuple(sorted(int(c) for c in self.stuff)))
        if len(set(self.stuff)) < len(self.stuff) or min(self.stuff, default=0) < 0:
            raise ConfigError(f"stuff needs distinct indices of classes, from 0 on, got {self.stuff}")
        if not 0 <= self.remain <= 1:
            raise ConfigError(f"remain must be from 0 to 1, got {self.remain}")


class SemanticBranch(nn.Module):
    """Turn the pyramid, stride 4 first, into logits ``(B, outputs, H / 4, W / 4)`` in single precision."""

    def __init__(self, config: PanopticFPNConfig, outputs: int) -> None:
        super().__init__()
        width = config.semantic_width
        norm = "group" if config.norm == "frozen" else config.norm  # nothing to freeze: the branch is always new
        self.climbs = climbs(config.width, width, norm)
        self.drop = nn.Dropout2d(config.dropout)
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, features: dict[str, Tensor]) -> Tensor:
        total = climb(self.climbs, [features[str(level)] for level in range(4)])
        logits: Tensor = self.last(self.drop(total)).float()
        return logits


class PanopticFPN(nn.Module):
    """Map images ``(B, C, H, W)`` to what `MaskRCNN` gives for things, ``labels`` among all classes, and ``remain``.

    ``remain`` is float64 (B,), on the CPU. With stuff there are also ``semantic`` (B, 1 + S, H, W), logits, "no stuff"
    first; ``stuff`` int64 (B, S), its classes; ``smallest`` int64 (B,), on the CPU.
    """

    def __init__(self, config: PanopticFPNConfig, input: ModelInput, classes: int) -> None:
        super().__init__()
        self.config = config
        things = [c for c in range(classes) if c not in config.stuff]
        if max(config.stuff, default=0) >= classes or not things:
            raise ConfigError(
                f"stuff needs indices below {classes}, the number of classes, and leaves one or more things; "
                f"got {config.stuff} (with stuff alone, use the architecture 'semantic')"
            )
        weights = losses.class_weights(config.class_weights, classes)
        painted = list(config.stuff) or things
        self.thing_classes: Tensor
        self.semantic_weights: Tensor
        self.register_buffer("thing_classes", torch.tensor(things), persistent=False)
        self.register_buffer("semantic_weights", torch.cat([torch.ones(1), weights[painted]]), persistent=False)
        detector = replace(config, class_weights=tuple(config.class_weights[c] for c in things if config.class_weights))
        self.things = MaskRCNN(detector, input, len(things))
        self.branch = SemanticBranch(config, 1 + len(painted))

    def semantic(self, features: dict[str, Tensor], size: tuple[int, int]) -> Tensor:
        """Return logits of each pixel of the input, (B, 1 + classes of the branch, H, W)."""
        return functional.interpolate(self.branch(features), size=size, mode="bilinear")

    def forward(self, images: Tensor) -> dict[str, list[Tensor] | Tensor]:
        size = input_size(images)
        features = self.things.features(images)
        found: dict[str, list[Tensor] | Tensor] = dict(self.things.detect(features, size))
        found["labels"] = [self.thing_classes[label] for label in found["labels"]]
        # not on the images' device: some cannot hold such
        found["remain"] = torch.full((len(images),), self.config.remain, dtype=torch.float64)
        if self.config.stuff:
            found["semantic"] = self.semantic(features, size)
            found["stuff"] = torch.tensor([self.config.stuff] * len(images), device=images.device)
            found["smallest"] = torch.full((len(images),), self.config.smallest)
        return found


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: PanopticFPNConfig) -> Targets:
    """Return the training targets of one image: those of `mask_rcnn.encode`, and ``semantic``.

    Each thing keeps its visible pixels only (where instances overlap, the smallest is on top), and classes are numbered
    among the things alone. ``semantic``, int16 (H, W), is the class of each pixel for the semantic branch: 1 + index
    into ``config.stuff``, or 1 + class if there is no stuff; 0 on everything else; -1 where only a crowd lies.
    """
    stuff = np.array(config.stuff, np.int64)
    is_stuff = np.isin(instances.labels, stuff)
    painted = (
        np.where(is_stuff, np.searchsorted(stuff, instances.labels) + 1, 0) if len(stuff) else instances.labels + 1
    )
    single = np.flatnonzero(~instances.crowd)
    label_map = instances.masks[single].to_label_map(dtype=np.int32, overlap="smallest")
    shown = single[label_map_values(label_map) - 1]
    visible = instances[shown].replace(masks=Masks.from_label_map(label_map))
    seen = Instances.concatenate([visible, instances[instances.crowd]])
    things = seen[~np.isin(seen.labels, stuff)]
    numbered = things.replace(labels=things.labels - np.searchsorted(stuff, things.labels))
    return {**mask_rcnn.encode(numbered, config), "semantic": class_map.paint_classes(instances, painted)}


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return the five losses of `mask_rcnn.loss`, and ``class_semantic``, cross-entropy of the branch."""
    assert isinstance(module, PanopticFPN)
    size = input_size(images)
    features = module.things.features(images)
    found = mask_rcnn.detection_losses(module.things, features, size, targets)
    target = class_map.stack_maps([t["semantic"] for t in targets], size, images.device)
    pixels = class_map.cross_entropy(module.semantic(features, size), target, module.semantic_weights)
    return {**found, "class_semantic": module.config.semantic_weight * pixels}


# --- prediction -------------------------------------------------------------------------------------------------------


@per_image
def decode(out: dict[str, Tensor], frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return things without overlap, and one segment per class of stuff in the pixels that they leave."""
    things = mask_rcnn.decode_one(out, frame, classes, options)
    visible, kept = without_overlap(things.masks, float(out["remain"]))
    segments = things[kept].replace(masks=visible)
    if "semantic" not in out:
        return segments
    logits, stuff = out["semantic"].float().cpu().numpy(), out["stuff"].cpu().numpy()
    return merge(segments, logits, stuff, int(out["smallest"]), frame, options)


def merge(
    things: Instances,
    logits: Float32,
    stuff: Int,
    smallest: int,
    frame: Frame,
    options: DecodeOptions,
) -> Instances:
    """Return things and, in the pixels that they leave, segments of stuff with ``smallest`` pixels or more.

    ``logits`` is (1 + S, H, W) on the network's input, "no stuff" first; ``stuff`` (S,) names the classes. Best first.
    """
    best, probability = class_map.class_pixels(logits, frame)
    best[things.masks.union().to_label_map() > 0] = 0
    masks = Masks.from_label_map(best)
    labels = stuff[label_map_values(best).astype(np.int64) - 1]
    scores = class_map.mean_inside(probability, masks)
    keep = (masks.area >= smallest) & (scores >= options.threshold(labels))
    segments = Instances(masks, labels, things.classes, scores, full=None if things.full is None else masks)[keep]
    both = Instances.concatenate([things, segments])
    assert both.scores is not None
    return both[np.argsort(-both.scores, kind="stable")]


ARCHITECTURE = Architecture(
    summary="two-stage: Mask R-CNN with a semantic branch; things and stuff share the image without overlap",
    kind="two-stage",
    config=PanopticFPNConfig,
    build=PanopticFPN,
    encode=encode,
    loss=loss,
    decode=decode,
    overlap=False,
    defaults=mask_rcnn.ARCHITECTURE.defaults,
)
