"""YOLACT: a box, a class and a few coefficients at every anchor; masks are weighted sums of prototypes.

Paper: D. Bolya et al., "YOLACT: Real-time Instance Segmentation", ICCV 2019 (arXiv 1904.02689). Written here from the
paper on a timm encoder (Apache-2.0) and torchvision's feature pyramid and box coding (BSD-3-Clause). There are no
weights to load but timm's for the encoder (each with its own licence, named by timm).

As in the paper: prototypes at stride 4 behind a ReLU, coefficients behind a tanh, anchors of fixed shapes, smooth L1
for boxes, cross-entropy of masks cropped to the true box, semantic segmentation as an extra task, Fast NMS on boxes.

What differs: the pyramid has a level at stride 4 (P2 to P7) and anchors begin at 8 pixels, so that small objects have
anchors; prototypes are made of that level and need no upsampling. Two sides of anchors per level halve the steps
between them. Classes are learned by focal loss, not by mining three hard negatives per positive: in an image full of
small objects the hardest negatives are mostly the rims of objects, and an image without objects would teach nothing. It
takes no weight that balances classes. Heads have group norm, since they are shared by levels whose statistics differ
and trained from scratch. True masks are shares of cells, read from crops, never full images. Fast NMS goes through the
boxes in rounds, best first, so that it needs no limit on their number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection._utils import BoxCoder
from torchvision.ops import FeaturePyramidNetwork

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models._decode.yolact import STRIDE, decode
from apiece.models._kit import losses
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import STRIDES, ConvNorm
from apiece.models._kit.cell_targets import CellTruth, encode_cells, region_losses
from apiece.models._kit.network import Network
from apiece.models._kit.ragged import centres, few_of_each, rows_at, window_pixels
from apiece.models._kit.settings import BackboneSettings, check_anchors
from apiece.models._kit.two_stage import match_boxes
from apiece.models.contract import Architecture, ModelInput, Targets

__all__ = ["ARCHITECTURE", "Yolact", "YolactConfig"]

_STRIDES = (4, 8, 16, 32, 64, 128)
_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))  # SSD's variances of 0.1 and 0.2


@dataclass(frozen=True)
class YolactConfig(BackboneSettings):
    """Set up the architecture, beyond `BackboneSettings`.

    The heads have group norm always.

    Attributes
    ----------
    width : channels of the feature pyramid, the heads and the prototype branch.
    prototypes : masks that each object's mask is a weighted sum of.
    anchors : sides of the anchors in pixels, at strides 4, 8, 16, 32, 64 and 128.
    aspects : heights of the anchors over their widths.
    background, foreground : IoU of an anchor with an object below which it is background, and from which on it is the
        object's.
    learn : anchors per object whose masks are learned from in one step, drawn at random.
    window : cells of one object that its mask's loss looks at; larger objects are sampled on a grid.
    """

    width: int = 96
    prototypes: int = 32
    anchors: tuple[tuple[float, ...], ...] = ((8, 12), (16, 24), (32, 48), (64, 96), (128, 192), (256, 400))
    aspects: tuple[float, ...] = (0.5, 1.0, 2.0)
    background: float = 0.4
    foreground: float = 0.5
    learn: int = 4
    window: int = 784

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tuples(float, "anchors", "aspects")
        check_anchors(self.anchors, self.aspects, (len(_STRIDES),))
        self._at_least(1, "prototypes", "learn")
        self._at_least(64, "window")
        if not 0 < self.background <= self.foreground < 1:
            raise ConfigError(
                f"background and foreground must rise within (0, 1), got {self.background} and {self.foreground}"
            )
        if self.width < 8 or self.width % 8:
            raise ConfigError(f"width must be a multiple of 8, got {self.width}")


# --- the network ------------------------------------------------------------------------------------------------------


class Yolact(Network):
    """Map images ``(B, C, H, W)``, sides multiples of 32, to a dictionary:

    ``logits`` (B, A, classes) of the A anchors of all levels; ``moves`` (B, A, 4), from each anchor to its box;
    ``boxes`` (B, A, 4), half-open xyxy in pixels of the input; ``coefficients`` (B, A, K) in (-1, 1); ``prototypes``
    (B, K, H / 4, W / 4), 0 or more. All float32.
    """

    config: YolactConfig

    def __init__(self, config: YolactConfig, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        self.encoder = build_backbone(config.backbone, input.channels, config.weights, config.norm, STRIDES)
        width, per_cell = config.width, len(config.anchors[0]) * len(config.aspects)
        norm = partial(ConvNorm, width, width, norm=config.norm)
        self.pyramid = FeaturePyramidNetwork(list(self.encoder.channels), width)
        self.coarser = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(2))
        self.drop = nn.Dropout2d(config.dropout)
        self.head = nn.Sequential(*(ConvNorm(width, width, norm="group") for _ in range(2)))
        self.to_logits = nn.Linear(width, per_cell * classes)
        self.to_moves = nn.Linear(width, per_cell * 4)
        self.to_coefficients = nn.Linear(width, per_cell * config.prototypes)
        self.branch = nn.Sequential(*(norm() for _ in range(3)))
        self.to_prototypes = nn.Conv2d(width, config.prototypes, 1)
        self.to_regions = nn.Conv2d(width, classes, 1)  # in training only
        for last in (self.to_logits, self.to_moves):
            nn.init.normal_(last.weight, std=0.01)
            nn.init.zeros_(last.bias)
        nn.init.constant_(self.to_logits.bias, -math.log(99))  # objects are rare: 0.01

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the pyramid P2 to P7, finest first."""
        levels = list(self.pyramid({str(k): f for k, f in enumerate(self.encoder(images))}).values())
        # oneDNN leaves part of a convolution's bfloat16 gradient unset where its input is one pixel, as of a small crop
        with torch.autocast(images.device.type, enabled=False):
            for conv in self.coarser:
                levels.append(conv(functional.relu(levels[-1].float())))
        return [self.drop(level) for level in levels]

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.answers(self.features(images))

    def answers(self, features: list[Tensor]) -> dict[str, Tensor]:
        """Return what `forward` gives, from the pyramid."""
        outputs: dict[str, list[Tensor]] = {"logits": [], "moves": [], "coefficients": []}
        for level in features:
            shared = self.head(level).permute(0, 2, 3, 1)
            with torch.autocast(shared.device.type, enabled=False):  # boxes and masks are too fine for half precision
                cells = shared.float()
                outputs["logits"].append(_rows(self.to_logits(cells), self.classes))
                outputs["moves"].append(_rows(self.to_moves(cells), 4))
                outputs["coefficients"].append(_rows(self.to_coefficients(cells), self.config.prototypes).tanh())
        joined = {k: torch.cat(v, 1) for k, v in outputs.items()}
        maps = self.branch(features[0])
        with torch.autocast(maps.device.type, enabled=False):
            joined["prototypes"] = functional.relu(self.to_prototypes(maps.float()))
        anchors = self.anchors([(f.shape[2], f.shape[3]) for f in features], maps.device)
        moves = joined["moves"].flatten(0, 1)
        joined["boxes"] = _CODER.decode_single(moves, anchors.repeat(maps.shape[0], 1)).view_as(joined["moves"])
        return joined

    def anchors(self, sizes: Sequence[tuple[int, int]], device: torch.device) -> Tensor:
        """Return boxes float32[A, 4] around the cells' centres, by level, row, column, side and aspect.

        ``sizes`` are (rows, columns) of each level.
        """
        found = []
        for size, stride, sides in zip(sizes, _STRIDES, self.config.anchors, strict=True):
            shapes = [(side / a**0.5, side * a**0.5) for side in sides for a in self.config.aspects]
            half = torch.tensor(shapes, device=device) / 2
            centre = centres(size, stride, device)[:, None]
            found.append(torch.cat([centre - half, centre + half], -1).flatten(0, 1))
        return torch.cat(found)


def _rows(cells: Tensor, values: int) -> Tensor:
    """Turn (B, H, W, n * values) into (B, H * W * n, values)."""
    return cells.reshape(cells.shape[0], -1, values)  # `len` would bind a graph to one size of batch


# --- training ---------------------------------------------------------------------------------------------------------


def encode(instances: Instances, config: YolactConfig) -> Targets:
    """Return targets of one image, see `encode_cells`."""
    return encode_cells(instances, STRIDE)


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_anchors``, ``box_anchors``, ``mask_anchors`` and ``mask_regions``, weighted as in the paper."""
    assert isinstance(module, Yolact)
    features = module.features(images)
    out = module.answers(features)
    anchors = module.anchors([(f.shape[2], f.shape[3]) for f in features], images.device)
    truth = CellTruth.join(targets, images.device, STRIDE)
    anchor, owner, ignored = _match(module.config, anchors, targets, out["logits"])
    label = truth.labels[owner]
    total = max(len(anchor), 1)

    logits = out["logits"].flatten(0, 1)
    wanted = torch.zeros_like(logits)
    wanted[anchor, label] = 1.0
    heavy = (~ignored).float()
    heavy[anchor] = module.class_weights[label]
    classes = (losses.focal(logits, wanted) * heavy[:, None]).sum() / total

    target = _CODER.encode_single(truth.boxes[owner], anchors[anchor % len(anchors)])
    moves = out["moves"].flatten(0, 1)[anchor]
    apart = functional.smooth_l1_loss(moves, target, reduction="none").sum(1)
    return {
        "class_anchors": classes,
        "box_anchors": 1.5 * (apart * module.class_weights[label]).sum() / total,
        "mask_anchors": 6.125 * _mask_loss(module, out, truth, anchor, owner),
        "mask_regions": (region_losses(module.to_regions(features[0]).float(), truth) * module.class_weights).sum(),
    }


def _match(
    config: YolactConfig, anchors: Tensor, targets: Sequence[Targets], logits: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return anchors of objects and the object of each, int64[P] into those of all images, and the anchors that
    learn nothing, bool[B * A]."""
    positive, owner, ignored, first = [], [], [], 0
    for i, t in enumerate(targets):
        truth, crowd = t["boxes"].to(logits.device), t["crowd"].to(logits.device)
        index, state = match_boxes(truth, crowd, anchors, config.background, config.foreground, rescue=True)
        mine = torch.nonzero(state == 1).flatten()
        positive.append(mine + i * len(anchors))
        owner.append(index[mine] + first)
        ignored.append(state == -1)
        first += len(truth)
    return torch.cat(positive), torch.cat(owner), torch.cat(ignored)


def _mask_loss(module: Yolact, out: dict[str, Tensor], truth: CellTruth, anchor: Tensor, owner: Tensor) -> Tensor:
    """Return the cross-entropy of masks inside the true boxes, and a cell around, as a mean over each box."""
    some = few_of_each(owner, module.config.learn)
    anchor, owner = anchor[some], owner[some]
    maps = out["prototypes"]
    if not len(anchor):
        return (out["coefficients"].sum() + maps.sum()) * 0.0
    height, width = maps.shape[2:]
    boxes = truth.boxes[owner] / STRIDE
    low = (boxes[:, :2].floor().long() - 1).clamp(min=0)
    high = torch.minimum(boxes[:, 2:].ceil().long() + 1, low.new_tensor([width, height]))
    near = window_pixels(torch.cat([low, high], 1), module.config.window)
    target = truth.share(owner, near)
    values = rows_at(maps, truth.image[owner][near.window], near.x, near.y)
    weights = out["coefficients"].flatten(0, 1)[anchor]
    logits = (values * weights[near.window]).sum(1)
    each = losses.bce(logits, target, near.window, len(anchor))
    return (each * module.class_weights[truth.labels[owner]]).mean()


ARCHITECTURE = Architecture(
    summary="fast, single-stage: masks are sums of prototypes; crossing objects of one class may share a box and go",
    kind="single-stage",
    config=YolactConfig,
    build=Yolact,
    encode=encode,
    loss=loss,
    decode=decode,
    defaults={"lr": 1e-3, "batch": 8, "crop": 256, "weight_decay": 1e-2},
)
