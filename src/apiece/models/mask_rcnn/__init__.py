"""Mask R-CNN: boxes are proposed, then each is classified, refined and filled; safe from scratch with few images.

Papers: K. He et al., "Mask R-CNN", ICCV 2017 (arXiv 1703.06870); T.-Y. Lin et al., "Feature Pyramid Networks for Object
Detection", CVPR 2017. Built of torchvision's region proposal network, RoI heads and feature pyramid (BSD-3-Clause) on a
timm encoder (Apache-2.0). Weights: timm's for the encoder (each with its own licence), and torchvision's
``maskrcnn_resnet50_fpn`` and ``maskrcnn_resnet50_fpn_v2`` (BSD-3-Clause, learned from COCO), which set the settings to
their own. The second follows Y. Li et al., "Benchmarking Detection Transfer Learning with Vision Transformers" (arXiv
2111.11429).

What differs by default: the encoder is small and its normalisation learns from scratch (torchvision freezes it).
Anchors start at 8 pixels, and pooling reads one sample per cell. No image is resized in here, and masks stay logits of
28 x 28 per box until the shared decoder turns them into run-lengths. True masks are read from crops, never made a float
image each; matching runs in bounded memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead, FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.rpn import RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from apiece._strict_json import LATER
from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models._decode.mask_rcnn import SAMPLES, decode
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import NORMS, STRIDES, norm_layer
from apiece.models._kit.crops import crop_targets, crowd_boxes, learnable, pack_crops
from apiece.models._kit.full_masks import FullHead, encode_full, full_crop_loss
from apiece.models._kit.network import Network, input_size, on_device
from apiece.models._kit.settings import BackboneSettings, check_anchors
from apiece.models._kit.stuff import SemanticBranch, SemanticSettings, encode_stuff, things_among, things_of
from apiece.models._kit.torchvision_weights import MASK_RCNN
from apiece.models._kit.two_stage import Proposer, Regions
from apiece.models._kit.two_stage_boxes import tell_crowded
from apiece.models._kit.two_stage_parts import detection_parts
from apiece.models.contract import Architecture, Checkpoint, ModelInput, Part, Published, Targets, Weights
from apiece.models.mask_rcnn._torchvision import mask_rcnn_settings, mask_rcnn_tensors

__all__ = ["ARCHITECTURE", "MaskRCNN", "MaskRCNNConfig", "detection_losses"]


@dataclass(frozen=True)
class MaskRCNNConfig(BackboneSettings, SemanticSettings):
    """Set up the architecture, beyond `BackboneSettings` and `SemanticSettings`.

    ``norm`` may also be ``"frozen"``: the encoder keeps its batch norms as its weights have them, and nothing else is
    normalised (for pretrained weights, not from scratch).

    Attributes
    ----------
    width : channels of the feature pyramid and of the mask head.
    hidden : width of the box head's two layers.
    mask_layers : convolutions of the mask head.
    proposal_layers : convolutions of the head that proposes boxes.
    box_layers : convolutions of the box head, in place of the first of its two layers; 0: none.
    anchors : sides of the anchors in pixels, at strides 4, 8, 16 and 32, and 64 if there are five.
    aspects : heights of the anchors over their widths.
    scale : side in pixels of a box that is pooled at stride 8; from twice that on at stride 16, and so on.
    pool_samples : samples along each side of a pooled cell.
    proposals : boxes that go on to the second stage, per image; it bounds how many objects can be found.
    samples : proposals of each image that the second stage learns from in one step; a quarter of them objects.
    conf : lowest score that leaves the network; prediction may ask for a higher one, not for a lower one.
    iou : overlap of boxes of one class above which the lower-scoring leaves; prediction may ask for a lower one.
    amodal : find the whole of each object, too, with what others hide of it (`Instances.full`). It learns from labels
        of what is visible: training pastes objects over others (`Occlude`). Full masks in the labels are used.
    unnamed : outputs beside the classes that are never an answer; published weights have some.
    """

    norms: ClassVar[tuple[str, ...]] = (*NORMS, "frozen")
    width: int = 96
    hidden: int = 512
    mask_layers: int = 3
    anchors: tuple[tuple[float, ...], ...] = ((8, 14), (24, 40), (64, 104), (168, 280))
    aspects: tuple[float, ...] = (0.5, 1.0, 2.0)
    scale: float = 64.0
    pool_samples: int = 1
    proposals: int = 2000
    samples: int = 128
    conf: float = 0.05
    iou: float = 0.6
    amodal: bool = field(default=False, metadata=LATER)
    proposal_layers: int = field(default=1, metadata=LATER)
    box_layers: int = field(default=0, metadata=LATER)
    unnamed: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tuples(float, "anchors", "aspects")
        check_anchors(self.anchors, self.aspects, (4, 5))
        self._at_least(8, "width", "hidden", "proposals", "samples")
        self._at_least(1, "scale", "mask_layers", "pool_samples", "proposal_layers")
        self._at_least(0, "box_layers", "unnamed")
        if not (0 <= self.conf < 1 and 0 < self.iou <= 1):
            raise ConfigError(f"conf and iou lie between 0 and 1, got {self.conf} and {self.iou}")


class MaskRCNN(Network):
    """Map images ``(B, C, H, W)`` to a dictionary of lists with one tensor per image, K detections each, best first:

    ``boxes`` (K, 4) half-open xyxy on the input, ``scores`` (K,), ``labels`` (K,), ``masks`` (K, 28, 28) logits.
    With ``amodal`` also ``full`` (K, 28, 28), logits of the whole objects in boxes twice as wide (`widened`).
    With stuff also what `SemanticBranch.answer` gives.
    """

    config: MaskRCNNConfig

    def __init__(self, config: MaskRCNNConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes, background=True)
        self.encoder = build_backbone(config.backbone, input.channels, config.weights, config.norm, STRIDES)
        norm = None if config.norm == "frozen" else partial(norm_layer, config.norm)
        width = config.width
        more = LastLevelMaxPool() if len(config.anchors) == 5 else None
        self.pyramid = FeaturePyramidNetwork(list(self.encoder.channels), width, more, norm)
        aspects = (config.aspects,) * len(config.anchors)
        per_cell = len(config.anchors[0]) * len(config.aspects)
        limit = {"training": config.proposals, "testing": config.proposals}
        self.proposer = Proposer(
            AnchorGenerator(config.anchors, aspects), RPNHead(width, per_cell, config.proposal_layers), 0.6, 0.3, 256,
            0.5, limit, limit, 0.7,
        )  # fmt: skip
        pool = partial(
            MultiScaleRoIAlign, ["0", "1", "2", "3"], sampling_ratio=config.pool_samples,
            canonical_scale=config.scale, canonical_level=3,
        )  # fmt: skip
        box_head = (
            FastRCNNConvFCHead((width, 7, 7), [width] * config.box_layers, [config.hidden], norm)
            if config.box_layers
            else TwoMLPHead(width * 49, config.hidden)
        )
        self.regions = Regions(
            pool(7),
            nn.Sequential(box_head, nn.Dropout(config.dropout)),
            FastRCNNPredictor(config.hidden, classes + 1 + config.unnamed),
            0.5, 0.5, config.samples, 0.25, None, config.conf, config.iou, config.proposals,
        )  # fmt: skip
        with torch.no_grad():  # nearly all boxes are background: without this the first losses are all about that
            self.regions.box_predictor.cls_score.bias[0] = 4.0
        self.mask_pool = pool(SAMPLES // 2)
        self.mask_drop = nn.Dropout2d(config.dropout)
        self.mask_head = MaskRCNNHeads(width, (width,) * config.mask_layers, 1, norm_layer=norm)
        self.mask_predictor = MaskRCNNPredictor(width, width, classes)
        self.full_head = FullHead(width, SAMPLES // 2, SAMPLES) if config.amodal else None
        things_among(classes, config.stuff)
        branch_norm = "group" if config.norm == "frozen" else config.norm  # nothing to freeze: the branch is always new
        self.branch = SemanticBranch(config, width, branch_norm, classes, config.stuff) if config.stuff else None

    def features(self, images: Tensor) -> dict[str, Tensor]:
        """Return the pyramid, stride 4 first, in float32: pooling and box arithmetic need it."""
        pyramid = self.pyramid({str(k): f for k, f in enumerate(self.encoder(images))})
        return {k: v.float() for k, v in pyramid.items()}

    def masks(
        self, features: dict[str, Tensor], boxes: list[Tensor], labels: Tensor, size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return ``masks``, logits (K, 28, 28) of all boxes, of the class that ``labels`` (K,) names; see also ``full``
        of the class."""
        names = ("masks", "full")[: 1 + self.config.amodal]
        if not len(labels):  # batch norm cannot learn from nothing
            return {name: features["0"].new_zeros(0, SAMPLES, SAMPLES) for name in names}
        return self.mask_logits(self.mask_pool(features, boxes, [size] * len(boxes)), labels)

    def mask_logits(self, pooled: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return the same from the pooled features of the boxes, (K, width, 14, 14)."""
        shapes = self.mask_head(self.mask_drop(pooled))
        logits = self.mask_predictor(shapes).float()[torch.arange(labels.shape[0], device=labels.device), labels]
        return {"masks": logits} | ({} if self.full_head is None else {"full": self.full_head(shapes)})

    def forward(self, images: Tensor, sizes: list[tuple[int, int]] | None = None) -> dict[str, list[Tensor] | Tensor]:
        features = self.features(images)
        found: dict[str, list[Tensor] | Tensor] = dict(self.detect(features, input_size(images), sizes))
        if self.branch is not None:
            found.update(self.branch.answer(levels_of(features)))
        return found

    def detect(
        self, features: dict[str, Tensor], size: tuple[int, int], sizes: list[tuple[int, int]] | None = None
    ) -> dict[str, list[Tensor]]:
        """Return what `forward` gives, from the features of images of ``size`` (height, width), padding included.

        Boxes are cut at the border of their image, whose ``sizes`` may be smaller.
        """
        proposals, _ = self.proposer(list(features.values()), size, sizes=sizes)
        pooled = self.regions.box_roi_pool(features, proposals, [size] * len(proposals))
        logits, moves = self.regions.box_predictor(self.regions.box_head(pooled))
        stuff = torch.tensor(self.config.stuff, dtype=torch.int64, device=logits.device)
        boxes, scores, labels = self.regions.postprocess_detections(
            logits.float().index_fill(1, 1 + stuff, -torch.inf),
            moves.float(),
            proposals,
            sizes or [size] * len(proposals),
        )
        named = [label <= self.classes for label in labels]
        boxes, scores, labels = (
            [v[n] for v, n in zip(values, named, strict=True)] for values in (boxes, scores, labels)
        )
        labels = [label - 1 for label in labels]
        tell_crowded(max((len(b) for b in boxes), default=0), self.config.proposals)
        masks = self.masks(features, boxes, torch.cat(labels), size)
        split = {name: list(torch.split(logits, [len(b) for b in boxes])) for name, logits in masks.items()}
        return {"boxes": boxes, "scores": scores, "labels": labels, **split}


def levels_of(features: dict[str, Tensor]) -> list[Tensor]:
    """Return the pyramid at strides 4 to 32."""
    return [features[str(level)] for level in range(4)]


def adopt(checkpoint: Checkpoint, config: MaskRCNNConfig) -> tuple[MaskRCNNConfig, dict[str, Tensor]]:
    """Return ``config`` with the shape of torchvision's ``maskrcnn_resnet50_fpn`` or ``_v2``, and its tensors here.

    A checkpoint of another model is a `ModelFileError`.
    """
    tensors = mask_rcnn_tensors(checkpoint)
    return replace(config, **mask_rcnn_settings(checkpoint)), tensors


def encode(instances: Instances, config: MaskRCNNConfig) -> Targets:
    """Return the training targets of one image; crowds and empty masks are not learned.

    For N instances: ``boxes`` float32 (N, 4), half-open xyxy in pixels of the network's input; ``labels`` int64 (N,);
    ``crops`` uint8 (P,), all masks, each inside its box, one after another; ``layout`` int64 (N, 5), see `pack_crops`.
    For K crowds: ``crowd`` float32 (K, 4), their boxes, where nothing is learned. With ``amodal`` also `encode_full`,
    with stuff `encode_stuff`.
    """
    things = things_of(instances, config.stuff)
    shown, targets = learnable(things)
    crops, layout = pack_crops(shown.masks)
    whole = encode_full(things, 1) if config.amodal else {}
    stuff = encode_stuff(instances, config.stuff) if config.stuff else {}
    return {**targets, "crops": crops, "layout": layout, "crowd": crowd_boxes(things), **whole, **stuff}


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_objectness`` and ``box_proposal`` of the first stage; ``class_region``, ``box_region`` and
    ``mask_region`` of the second; with ``amodal`` also ``mask_full``, with stuff ``class_semantic``."""
    assert isinstance(module, MaskRCNN)
    features, size = module.features(images), input_size(images)
    found = detection_losses(module, features, size, targets)
    if module.branch is not None:
        found["class_semantic"] = module.branch.loss(module.branch(levels_of(features)), targets, size)
    return found


def detection_losses(
    module: MaskRCNN, features: dict[str, Tensor], size: tuple[int, int], targets: Sequence[Targets]
) -> dict[str, Tensor]:
    """Return what `loss` gives, from the features of images of ``size`` (height, width)."""
    moved = on_device(targets, features["0"].device)
    proposals, first = module.proposer(list(features.values()), size, moved)
    regions = module.regions
    boxes, index, labels, wanted = regions.choose(proposals, moved)
    pooled = regions.box_roi_pool(features, boxes, [size] * len(boxes))
    logits, moves = regions.box_predictor(regions.box_head(pooled))
    class_loss, box_loss = _region_loss(
        logits.float(), moves.float(), torch.cat(labels), torch.cat(wanted), module.class_weights
    )

    objects = [label > 0 for label in labels]
    held = [b[o] for b, o in zip(boxes, objects, strict=True)]
    label = torch.cat([v[o] for v, o in zip(labels, objects, strict=True)]) - 1
    index = [i[o] for i, o in zip(index, objects, strict=True)]
    predicted = module.masks(features, held, label, size)
    target = [crop_targets(t["crops"], t["layout"], i, b, SAMPLES) for t, i, b in zip(moved, index, held, strict=True)]
    found = {**first, "class_region": class_loss, "box_region": box_loss, "mask_region": features["0"].sum() * 0.0}
    if len(label):
        found["mask_region"] = functional.binary_cross_entropy_with_logits(predicted["masks"], torch.cat(target))
    if module.full_head is not None:
        found["mask_full"] = full_crop_loss(predicted["full"], moved, index, held)
    return found


def _region_loss(
    logits: Tensor, moves: Tensor, labels: Tensor, wanted: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Return torchvision's ``fastrcnn_loss`` with a weight per class: of the classes, and of the objects' boxes."""
    if not len(labels):  # nothing but crowd
        return logits.sum() * 0.0, moves.sum() * 0.0
    classes = functional.cross_entropy(logits, labels, weights, reduction="sum") / len(labels)
    objects = torch.nonzero(labels > 0).flatten()
    moved = moves.view(len(labels), -1, 4)[objects, labels[objects]]
    boxes = functional.smooth_l1_loss(moved, wanted[objects], beta=1 / 9, reduction="sum") / len(labels)
    return classes, boxes


def parts(module: nn.Module) -> dict[str, Part]:
    """Return the networks that graphs are made of, see `detection_parts`."""
    assert isinstance(module, MaskRCNN)
    return detection_parts(module, module.branch)


_COCO = "instances of COCO 2017 (annotations CC BY 4.0)"


ARCHITECTURE = Architecture(
    summary="two-stage: boxes, then a mask in each; safe from scratch with few images, objects may overlap",
    kind="two-stage",
    config=MaskRCNNConfig,
    build=MaskRCNN,
    encode=encode,
    loss=loss,
    decode=decode,
    parts=parts,
    weights=(
        Weights("torchvision:maskrcnn_resnet50_fpn", "BSD-3-Clause", _COCO),
        Weights("torchvision:maskrcnn_resnet50_fpn_v2", "BSD-3-Clause", _COCO),
    ),
    adopt=adopt,
    sized=True,
    published=Published(MASK_RCNN, settings={"proposals": 1000, "iou": 0.5}),
    defaults={"lr": 1e-3, "batch": 4, "crop": 256, "weight_decay": 1e-2},
)
