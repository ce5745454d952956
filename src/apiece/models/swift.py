"""Swift: one look at the image, a box, a class and a mask at every point; the real-time model of this house.

In the line of YOLACT (Bolya et al., ICCV 2019), CondInst (Tian et al., ECCV 2020, arXiv 2003.05664), SOLOv2 (Wang et
al., NeurIPS 2020) and RTMDet-Ins (Lyu et al., arXiv 2212.07784). Written here from the papers; there are no weights to
load but timm's for a timm encoder (each with its own licence, named by timm).

As in those papers: a feature pyramid, shared heads over its levels, mask features at high resolution, and a kernel per
point that turns them into that point's mask; boxes and classes by task-aligned assignment.

What differs: the kernel is linear, as in SOLOv2, plus a quadratic form in the coordinates of the point's own box, an
ellipse when training begins. So a mask is sensible from the first step and never leaks to a like object elsewhere,
which CondInst reaches with relative coordinates and three layers. Yet a mask stays a weighted sum of maps (the
quadratic form of any box is a sum of 1, x, y, x^2, xy and y^2), which the shared decoder turns into run-lengths near
its box only, exactly and in bounded memory. There is a level at stride 4 for small objects. The mask losses run over a
flat list of the cells near each object; how much of a cell an object covers is known exactly, so outlines are finer
than the cells. A score is the class's times the predicted IoU of the mask (as in Mask Scoring R-CNN, Huang et al., CVPR
2019). Duplicates are removed by the overlap of masks, not of boxes, so that crossing objects stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

from apiece._strict_json import LATER
from apiece.core.instances import Instances
from apiece.errors import ConfigError, UnknownNameError
from apiece.models._decode.swift import decode
from apiece.models._kit import losses
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import STRIDES, ConvNorm, Encoder
from apiece.models._kit.cell_targets import CellTruth, encode_cells, region_losses
from apiece.models._kit.dense_assignment import Assigned, Points, assign
from apiece.models._kit.full_masks import FullTruth, encode_full
from apiece.models._kit.network import Network, input_size
from apiece.models._kit.pyramid import Pyramid, Tower
from apiece.models._kit.quadratic_forms import FORM
from apiece.models._kit.ragged import Pixels, rows_at, segment_sum, window_pixels
from apiece.models._kit.residual_encoder import ResidualEncoder
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.stuff import SemanticBranch, SemanticSettings, encode_stuff, things_among, things_of
from apiece.models.contract import Architecture, ModelInput, Targets, Weights

__all__ = ["ARCHITECTURE", "Swift", "SwiftConfig"]

_ELLIPSE = (2.0, 0.0, 0.0, -2.0, 0.0, -2.0)  # of 1, u, v, uu, uv, vv: the ellipse inscribed in the box
_PRIOR = 1.5  # half a side of the first boxes, in strides
_FULL = 0.05  # weight of the losses of whole objects: what is visible must not suffer


@dataclass(frozen=True)
class _Size:
    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    neck: int
    head: int


_SIZES = {
    "s": _Size(24, (48, 72, 128, 176), (1, 1, 1, 1), 48, 1),
    "m": _Size(32, (64, 128, 224, 320), (1, 1, 1, 1), 64, 1),
    "l": _Size(48, (80, 160, 320, 448), (1, 2, 2, 2), 96, 2),
}


@dataclass(frozen=True)
class SwiftConfig(BackboneSettings, SemanticSettings):
    """Set up the architecture, beyond `BackboneSettings` and `SemanticSettings`.

    Attributes
    ----------
    size : ``"s"`` (1.5 million parameters), ``"m"`` (4.5) or ``"l"`` (15).
    backbone : ``"plain"``: an encoder of its own; else a timm model that gives features at strides 4 to 32.
    mask_stride : 2 or 4: pixels of the input per cell of the mask features.
    prototypes : mask features.
    learn : points per object whose masks are learned from in one step, the best ones.
    window : cells near one object that its mask's loss looks at; larger objects are sampled on a grid.
    amodal : find the whole of each object, too, with what others hide of it (`Instances.full`). It learns from labels
        of what is visible: training pastes objects over others (`Occlude`). Full masks in the labels are used.
    """

    backbone: str = "plain"
    size: str = "m"
    mask_stride: int = 2
    prototypes: int = 32
    learn: int = 3
    window: int = 784
    amodal: bool = field(default=False, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size not in _SIZES:
            raise UnknownNameError("size of swift", self.size, _SIZES)
        self._one_of("mask_stride", (2, 4))
        self._at_least(1, "prototypes", "learn")
        self._at_least(64, "window")


# --- the network ------------------------------------------------------------------------------------------------------


class Swift(Network):
    """Map images ``(B, C, H, W)``, sides multiples of 32, to a dictionary:

    ``logits`` (B, A, classes) of the A points of all levels; ``quality`` (B, A, 1), logits of the IoU that the point's
    mask has; ``boxes`` (B, A, 4), half-open xyxy in pixels of the
    input; ``kernels`` (B, A, K + 6): weights of the K mask features, then of 1, u, v, uu, uv, vv, where u and v
    run from -1 to 1 across the point's box; ``features`` (B, K, H / mask_stride, W / mask_stride). With ``amodal``
    also ``full_boxes`` and ``full_kernels``, the same of whole objects; with stuff also what `SemanticBranch.answer`
    gives.
    """

    config: SwiftConfig

    def __init__(self, config: SwiftConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        size, norm = _SIZES[config.size], config.norm
        if config.backbone == "plain":
            if config.weights != "none":
                raise ConfigError("the plain encoder has no pretrained weights; use weights 'none' or a timm backbone")
            self.encoder: Encoder = ResidualEncoder(
                input.channels, size.stem, size.widths, size.depths, norm, config.dropout
            )
        else:
            self.encoder = build_backbone(config.backbone, input.channels, config.weights, norm, STRIDES)
        self.neck = Pyramid(self.encoder.channels, size.neck, norm)
        self.drop = nn.Dropout2d(config.dropout)
        self.class_tower = Tower(size.neck, size.head, 4, norm)
        self.shape_tower = Tower(size.neck, size.head, 4, norm)
        self.to_logits = nn.Linear(size.neck, classes)
        self.to_shape = nn.Linear(size.neck, 4 + config.prototypes + FORM)
        # of a whole object: the sides of its box, as times those of the visible box, and its mask
        self.to_full = nn.Linear(size.neck, 4 + config.prototypes + FORM) if config.amodal else None
        self.to_quality = nn.Linear(size.neck, 1)
        self.scales = nn.Parameter(torch.zeros(4))
        self.finer = 4 // config.mask_stride
        self.mask_branch = nn.Sequential(*(ConvNorm(size.neck, size.neck, norm=norm) for _ in range(2)))
        self.to_features = nn.Conv2d(size.neck, config.prototypes * self.finer**2, 1)
        self.to_regions = nn.Conv2d(config.prototypes, classes, 1)  # in training only
        things_among(classes, config.stuff)
        self.branch = SemanticBranch(config, size.neck, norm, classes, config.stuff, 1) if config.stuff else None
        for layer in (self.to_logits, self.to_shape, self.to_full):
            if layer is not None:
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            if self.to_full is not None:
                self.to_full.bias[-FORM:] = torch.tensor(_ELLIPSE)
            self.to_regions.bias.fill_(-2.0)  # type: ignore[union-attr]
            self.to_logits.bias.fill_(-4.6)  # objects are rare: a score of 0.01
            self.to_shape.bias[-FORM:] = torch.tensor(_ELLIPSE)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        pyramid = [self.drop(level) for level in self.neck(self.encoder(images))]
        logits, shapes, quality, more = [], [], [], []
        for k, level in enumerate(pyramid):
            classes, shape = self.class_tower(level, k), self.shape_tower(level, k)
            logits.append(self.to_logits(_rows(classes)).float())
            quality.append(self.to_quality(_rows(shape)).float())
            with torch.autocast(images.device.type, enabled=False):  # coordinates are too fine for half precision
                scale = functional.pad(self.scales[k].expand(4), (0, self.config.prototypes + FORM))
                shapes.append(self.to_shape(_rows(shape).float()) + scale)
                if self.to_full is not None:
                    more.append(self.to_full(_rows(shape).float()))
        fine = self.mask_branch(pyramid[0])
        maps = functional.pixel_shuffle(self.to_features(fine), self.finer).float()
        shape = torch.cat(shapes, 1)
        place, stride = self.points(input_size(images)).places(images.device)
        reach = shape[..., :4].clamp(-6, 6).exp() * (_PRIOR * stride)[:, None]
        boxes = torch.cat([place - reach[..., :2], place + reach[..., 2:]], -1)
        found = {
            "logits": torch.cat(logits, 1), "quality": torch.cat(quality, 1), "boxes": boxes,
            "kernels": shape[..., 4:], "features": maps,
        }  # fmt: skip
        if more:
            beyond = torch.cat(more, 1)
            wide = reach.detach() * beyond[..., :4].clamp(-2, 3).exp()
            found["full_boxes"] = torch.cat([place - wide[..., :2], place + wide[..., 2:]], -1)
            found["full_kernels"] = beyond[..., 4:]
        return found if self.branch is None else found | self.branch.answer([fine])

    @staticmethod
    def points(size: tuple[int, int]) -> Points:
        """Return where the points lie on an input of ``size``."""
        return Points(tuple((size[0] // s, size[1] // s) for s in STRIDES), STRIDES)


def _rows(level: Tensor) -> Tensor:
    """Turn (B, n, H, W) into (B, H * W, n)."""
    return level.permute(0, 2, 3, 1).flatten(1, 2)


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: SwiftConfig) -> Targets:
    """Return targets of one image, see `encode_cells`; with ``amodal`` and stuff `encode_full` and `encode_stuff`."""
    things = things_of(instances, config.stuff)
    full = encode_full(things, config.mask_stride) if config.amodal else {}
    stuff = encode_stuff(instances, config.stuff) if config.stuff else {}
    return encode_cells(things, config.mask_stride) | full | stuff


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_points``, ``box_points``, ``mask_points``, ``mask_quality`` and ``mask_regions``; with ``amodal``
    also ``box_full`` and ``mask_full``, with stuff ``class_semantic``."""
    assert isinstance(module, Swift)
    out: dict[str, Tensor] = module(images)
    truth = CellTruth.join(targets, images.device, module.config.mask_stride)
    points = module.points(input_size(images))
    boxes, logits = out["boxes"].flatten(0, 1), out["logits"].flatten(0, 1)
    pairs = assign(points, boxes.detach(), logits.detach(), truth.boxes, truth.labels, truth.image)
    weight = pairs.target * module.class_weights[truth.labels[pairs.truth]]
    total = pairs.target.sum().clamp(min=1.0)

    wanted = torch.zeros_like(logits)
    wanted[pairs.point, truth.labels[pairs.truth]] = pairs.target
    heavy = torch.ones_like(logits[:, 0])
    heavy[pairs.point] = module.class_weights[truth.labels[pairs.truth]]
    heavy[_ignored(points, truth, len(images), pairs)] = 0.0
    classes = (losses.focal(logits, wanted) * heavy[:, None]).sum() / total

    apart = losses.boxes_apart(boxes[pairs.point], truth.boxes[pairs.truth])
    box = (apart * weight).sum() / total
    mask, quality = _mask_loss(module, out, truth, pairs)
    regions = module.to_regions(out["features"]).float()
    found = _full_losses(module, out, targets, truth, pairs) if module.config.amodal else {}
    if module.branch is not None:
        found["class_semantic"] = module.branch.loss(out["semantic"], targets, input_size(images))
    return found | {
        "class_points": classes,
        "box_points": 2.0 * box,
        "mask_points": mask,
        "mask_quality": 0.5 * quality,
        # which classes lie where, from the mask features alone: a signal at every cell (as in YOLACT)
        "mask_regions": 0.5 * (region_losses(regions, truth) * module.class_weights).mean(),
    }


def _ignored(points: Points, truth: CellTruth, images: int, pairs: Assigned) -> Tensor:
    """Return the points in a crowd's box that no object claims: bool[B * A]."""
    inside = torch.zeros(images, points.count, dtype=torch.bool, device=pairs.point.device)
    place, _ = points.places(inside.device)
    for box, image in zip(truth.crowd, truth.crowd_image.tolist(), strict=True):
        inside[image] |= ((place > box[:2]) & (place < box[2:])).all(1)
    flat = inside.flatten()
    flat[pairs.point] = False
    return flat


def _mask_loss(module: Swift, out: dict[str, Tensor], truth: CellTruth, pairs: Assigned) -> tuple[Tensor, Tensor]:
    """Return Dice and cross-entropy of each object's best points' masks near it, and the loss of their IoU."""
    some = pairs.rank < module.config.learn
    point, index = pairs.point[some], pairs.truth[some]
    if not len(point):
        return (out["kernels"].sum() + out["features"].sum()) * 0.0, out["quality"].sum() * 0.0
    logits, target, near = _drawn(module, out["features"], out["kernels"], out["boxes"], truth, point, index)
    count = len(point)
    each = losses.dice(logits, target, near.window, count) + losses.bce(logits, target, near.window, count)
    weight = _share(module, truth, index)
    drawn = (logits.detach() > 0).float()
    both = segment_sum(torch.minimum(drawn, target), near.window, count)
    either = segment_sum(torch.maximum(drawn, target), near.window, count)
    foretold = functional.binary_cross_entropy_with_logits(
        out["quality"].flatten()[point], both / either.clamp(min=1e-3), reduction="none"
    )
    return (each * weight).sum(), (foretold * weight).sum()


def _full_losses(
    module: Swift, out: dict[str, Tensor], targets: Sequence[Targets], visible: CellTruth, pairs: Assigned
) -> dict[str, Tensor]:
    """Return the losses of whole objects' boxes and masks, of the best point of each object that teaches something.

    Cells where nobody knows what lies behind teach nothing.
    """
    truth = FullTruth.join(targets, out["features"].device, module.config.mask_stride)
    boxes, kernels = out["full_boxes"], out["full_kernels"]
    some = (pairs.rank < 1) & truth.teaches[pairs.truth]
    point, index = pairs.point[some], pairs.truth[some]
    if not len(point):
        return {"box_full": boxes.sum() * 0.0, "mask_full": kernels.sum() * 0.0}
    weight = module.class_weights[truth.cells.labels[index]] / len(index)
    drawn = boxes.flatten(0, 1)[point]
    apart = losses.boxes_apart(drawn, truth.nearest_box(drawn, index))
    logits, target, near = _drawn(module, out["features"], kernels, boxes, truth.cells, point, index)
    covered = truth.unknown[truth.cells.image[index][near.window], near.y, near.x]
    heard = ~(covered & ~truth.known[index][near.window] & (target == 0))
    seen = visible.share(index, near)[heard]
    logits, target, window, count = logits[heard], target[heard], near.window[heard], len(point)
    each = losses.dice(logits, target, window, count) + losses.bce(logits, target, window, count)
    behind = seen == 0
    partly = segment_sum((target * behind.float()), window, count) > 2
    each = each + partly * losses.dice(logits[behind], target[behind], window[behind], count)
    return {"box_full": _FULL * (apart * weight).sum(), "mask_full": _FULL * (each * weight).sum()}


def _drawn(
    module: Swift, maps: Tensor, kernels: Tensor, boxes: Tensor, truth: CellTruth, point: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Pixels]:
    """Return logits and truth, of the objects ``index`` as their points draw them, in cells near each object."""
    height, width = maps.shape[2:]
    stride, true = module.config.mask_stride, truth.boxes[index]
    margin = 0.2 * (true[:, 2:] - true[:, :2]) + stride
    low = ((true[:, :2] - margin) / stride).floor().long().clamp(min=0)
    high = ((true[:, 2:] + margin) / stride).ceil().long()
    high = torch.minimum(high, high.new_tensor([width, height]))
    near = window_pixels(torch.cat([low, high], 1), module.config.window)
    rows = rows_at(maps, truth.image[index][near.window], near.x, near.y)
    box = boxes.flatten(0, 1).detach()[point][near.window]
    form = form_values((near.x + 0.5) * stride, (near.y + 0.5) * stride, box).clamp(-9, 9)
    logits = (torch.cat([rows, form], 1) * kernels.flatten(0, 1)[point][near.window]).sum(1)
    return logits, truth.share(index, near), near


def form_values(x: Tensor, y: Tensor, boxes: Tensor) -> Tensor:
    """Return 1, u, v, uu, uv and vv at places ``x``, ``y`` (P,) in boxes (P, 4), half-open xyxy in pixels: (P, 6).

    ``u`` and ``v`` run from -1 to 1 across the box.
    """
    u = 2 * (x - boxes[:, 0]) / (boxes[:, 2] - boxes[:, 0]) - 1
    v = 2 * (y - boxes[:, 1]) / (boxes[:, 3] - boxes[:, 1]) - 1
    return torch.stack([torch.ones_like(u), u, v, u * u, u * v, v * v], 1)


def _share(module: Swift, truth: CellTruth, index: Tensor) -> Tensor:
    """Return the weight of each chosen point: every object counts alike, however many points learn it."""
    weight = module.class_weights[truth.labels[index]]
    return weight / segment_sum(torch.ones_like(weight), index, len(truth.labels))[index] / len(truth.labels)


ARCHITECTURE = Architecture(
    summary="real-time: a box, a class and a mask at every point; good from scratch, objects may overlap",
    kind="single-stage",
    config=SwiftConfig,
    build=Swift,
    encode=encode,
    loss=loss,
    decode=decode,
    defaults={"lr": 2e-3, "weight_decay": 2e-2},
    weights=(
        Weights(
            "default",
            "Apache-2.0",
            "objects of any kind, all of one class; they ship with apiece (size m), and predict uses them by itself",
        ),
    ),
)
