"""RF-DETR: boxes proposed by a vision transformer's own cells become queries that answer with a class and a mask.

Paper: I. Robinson et al., "RF-DETR: Neural Architecture Search for Real-Time Detection Transformers" (arXiv
2511.09554), on LW-DETR (Q. Chen et al., arXiv 2406.03459) and Group DETR (Q. Chen et al., ICCV 2023). Built of the
layers of transformers' RfDetrForInstanceSegmentation (Apache-2.0), put together here; its checkpoints load and give the
same outputs. Weights: Roboflow's RF-DETR-Seg, learned on COCO (Apache-2.0).

As in the paper: a DINOv2 encoder whose layers look at windows, but for the layers that are read out; a C2f projector;
proposals from the encoder's cells; a shallow decoder with deformable attention whose reference boxes stay where they
were proposed; groups of queries in training; classification weighted by IoU; masks as products of queries and pixel
features at a quarter of the input.

What differs: a small encoder with fine patches, for training from scratch. Windows are cut right where the input is not
square (the library mixes rows and columns up), and the input is padded to whole windows. Where queries outnumber cells,
the best cells are taken again. Masks are compared with the objects, and matched, at points that all queries share;
points near an object weigh as much as all others, where the library draws the least certain points of every mask's
grid.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import RfDetrConfig, RfDetrForInstanceSegmentation

from apiece._strict_json import LATER
from apiece.errors import ConfigError
from apiece.models._decode.rf_detr import RATIO, decode
from apiece.models._kit import detr_matching
from apiece.models._kit.labels import labels_of
from apiece.models._kit.network import Network, input_size, on_device
from apiece.models._kit.queries import check_room, encode_masks
from apiece.models._kit.settings import Settings
from apiece.models._kit.transformers_parts import check_fixed, library_config, library_tensors
from apiece.models._kit.window_attention import windowed_features
from apiece.models.contract import Architecture, Checkpoint, ModelInput, Published, Targets, Weights

__all__ = ["ARCHITECTURE", "RfDetr", "RfDetrSettings"]

_TABLE = 2_000_000  # entries of the table of objects and points, per image
_POINTS = 2048  # most points at which masks are compared


@dataclass(frozen=True)
class RfDetrSettings(Settings):
    """Set up the architecture, beyond `Settings`.

    ``dropout`` drops values in the encoder's input and in the decoder.

    Attributes
    ----------
    patch : side of the encoder's patches in pixels.
    windows : windows along each side of the input that the encoder's attention is confined to.
    grid : side of the square of learned positions, in patches; they are interpolated to any input.
    width, depth, heads : channels, layers and attention heads of the encoder.
    taps : layers whose output is read, counted from 1; attention sees the whole image in the layer after each.
    hidden : channels of projector, decoder and masks.
    blocks : convolution blocks of the projector.
    layers : layers of the decoder.
    self_heads, cross_heads, points : heads of the decoder's two attentions, and points each head samples.
    feedforward, mask_feedforward : width of the decoder's and of the mask head's feed-forward layers.
    queries : objects that one image may hold.
    groups : sets of queries that learn side by side; prediction uses the first.
    unnamed : outputs beside the classes that are never an answer; published weights have some.
    """

    patch: int = 8
    windows: int = 2
    grid: int = 32
    width: int = 192
    depth: int = 6
    heads: int = 3
    taps: tuple[int, ...] = (2, 4, 6)
    hidden: int = 128
    blocks: int = 3
    layers: int = 3
    self_heads: int = 4
    cross_heads: int = 8
    points: int = 4
    feedforward: int = 512
    mask_feedforward: int = 512
    queries: int = 100
    groups: int = 2
    unnamed: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tuples(int, "taps")
        self._at_least(1, *(k for k, value in vars(self).items() if isinstance(value, int) and k != "unnamed"))
        self._at_least(0, "unnamed")
        if list(self.taps) != sorted({*self.taps, self.depth}) or self.taps[0] < 1:
            raise ConfigError(f"taps must be layers in ascending order, {self.depth} the last, got {self.taps}")
        for name, whole, part in (
            ("heads", self.width, self.heads),
            ("self_heads", self.hidden, self.self_heads),
            ("cross_heads", self.hidden, self.cross_heads),
        ):
            if whole % part:
                raise ConfigError(f"{name} must divide {whole} channels, got {part}")
        if self.hidden % 4:
            raise ConfigError(f"hidden must be a multiple of 4, got {self.hidden}")


def _library_config(config: RfDetrSettings, channels: int, classes: int) -> Any:
    """Return the same network as transformers describes it."""
    make: Any = RfDetrConfig  # takes more names than it is typed with
    encoder = {
        "model_type": "rf_detr_dinov2", "num_channels": channels, "patch_size": config.patch,
        "image_size": config.grid * config.patch, "num_windows": config.windows, "hidden_size": config.width,
        "num_hidden_layers": config.depth, "num_attention_heads": config.heads, "use_mask_token": False,
        "out_indices": list(config.taps), "hidden_dropout_prob": config.dropout,
    }  # fmt: skip
    return make(
        backbone_config=encoder, num_labels=classes + config.unnamed, d_model=config.hidden,
        c2f_num_blocks=config.blocks, decoder_layers=config.layers, decoder_ffn_dim=config.feedforward,
        decoder_n_points=config.points, decoder_self_attention_heads=config.self_heads,
        decoder_cross_attention_heads=config.cross_heads, intermediate_size=config.mask_feedforward,
        num_queries=config.queries, group_detr=config.groups, dropout=config.dropout, mask_downsample_ratio=RATIO,
    )  # fmt: skip


@dataclass(frozen=True)
class _Answers:
    """What queries say after one layer; Q queries per image, all groups in training."""

    logits: Tensor  # (B, Q, classes)
    boxes: Tensor  # (B, Q, 4), shares of the padded input
    vectors: Tensor  # (B, Q, hidden): a mask is the product with the pixels' features ...
    pixels: Tensor  # (B, hidden, h, w)
    groups: int


class RfDetr(Network):
    """Map images ``(B, C, H, W)`` to a dictionary, for Q queries:

    ``logits`` (B, Q, classes), of a sigmoid each; ``boxes`` (B, Q, 4): centre x, centre y, width, height as shares of
    the input padded to whole windows; ``masks`` (B, Q, h, w), logits, a cell for 4 x 4 pixels from the upper left.
    """

    config: RfDetrSettings

    def __init__(self, config: RfDetrSettings, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        self.net: Any = RfDetrForInstanceSegmentation(_library_config(config, input.channels, classes))
        self.multiple = math.lcm(config.patch * config.windows, RATIO)

    # --- encoder ------------------------------------------------------------------------------------------------------

    def features(self, images: Tensor) -> Tensor:
        """Return (B, hidden, H / patch, W / patch), of images whose sides are multiples of ``multiple``."""
        part = self.net.model.model.backbone
        found: Tensor = part.projector(windowed_features(part.backbone, images, self.config.taps))
        return found

    # --- proposals ----------------------------------------------------------------------------------------------------

    def propose(self, features: Tensor) -> tuple[list[tuple[Tensor, Tensor, Tensor]], Tensor]:
        """Propose a box and its chance from each cell; the best become the queries' reference boxes.

        For each group the logits, boxes and vectors of its distinct proposals are returned, best first, at most as many
        as queries; and reference boxes without gradient, float32 (B, queries of all groups, 4).
        """
        model = self.net.model.model
        memory = features.flatten(2).transpose(1, 2).float()
        nowhere = torch.zeros(memory.shape[:2], dtype=torch.bool, device=memory.device)
        cells, anchors, invalid = model.gen_encoder_output_proposals(memory, nowhere, [features.shape[2:]])
        queries, found, references = self.config.queries, [], []
        for group in range(self.config.groups if self.training else 1):
            vectors = model.enc_output_norm[group](model.enc_output[group](cells))
            logits = model.enc_out_class_embed[group](vectors)
            boxes = detr_matching.refine(anchors, model.enc_out_bbox_embed[group](vectors))
            ranking = logits.float().masked_fill(invalid, -torch.inf).amax(-1)
            best = ranking.topk(min(queries, ranking.shape[1]), 1).indices
            chosen = [torch.gather(t, 1, best[..., None].expand(-1, -1, t.shape[-1])) for t in (logits, boxes, vectors)]
            found.append((chosen[0], chosen[1], chosen[2]))
            again = torch.arange(queries, device=best.device) % best.new_full((), best.shape[1])
            references.append(chosen[1].detach()[:, again])
        embedded = model.reference_point_embed.weight[: queries * len(found)].float()
        return found, detr_matching.refine(torch.cat(references, 1), embedded)

    # --- decoder and masks --------------------------------------------------------------------------------------------

    def decode(self, features: Tensor, references: Tensor) -> list[Tensor]:
        """Return the queries' vectors after each layer, (B, Q, hidden)."""
        decoder = self.net.model.model.decoder
        memory = features.flatten(2).transpose(1, 2)
        shape = torch.tensor([features.shape[2:]], device=features.device)
        whole = features.new_ones(features.shape[0], 1, 2, dtype=torch.float32)
        inputs, position = decoder.get_reference(references, whole)
        vectors = self.net.model.model.query_feat.weight[: references.shape[1]].expand(features.shape[0], -1, -1)
        found = []
        for layer in decoder.layers:
            vectors = layer(
                vectors, encoder_hidden_states=memory, position_embeddings=position, reference_points=inputs,
                spatial_shapes=shape, spatial_shapes_list=[tuple(features.shape[2:])],
                level_start_index=shape.new_zeros(1),
            )  # fmt: skip
            found.append(decoder.layernorm(vectors))
        return found

    def answers(self, images: Tensor) -> list[_Answers]:
        """Return what queries say after each layer of the decoder, the last one last; in training, proposals first."""
        height, width = images.shape[2:]
        images = functional.pad(images, (0, -width % self.multiple, 0, -height % self.multiple))
        features = self.features(images)
        proposed, references = self.propose(features)
        size = (images.shape[2] // RATIO, images.shape[3] // RATIO)
        pixels = functional.interpolate(features, size=size, mode="bilinear", align_corners=False)
        found = []
        if self.training:
            logits, boxes, vectors = (torch.cat(part, 1) for part in zip(*proposed, strict=True))
            found.append(_Answers(logits.float(), boxes, self._mask_vectors(vectors), pixels, len(proposed)))
        heads = self.net.model
        for block, vectors in zip(self.net.blocks, self.decode(features, references), strict=True):
            pixels = block(pixels)
            boxes = detr_matching.refine(references, heads.bbox_embed(vectors))
            if self.training or block is self.net.blocks[-1]:
                seen = self.net.spatial_features_proj(pixels)
                logits = heads.class_embed(vectors).float()
                found.append(_Answers(logits, boxes, self._mask_vectors(vectors), seen, len(proposed)))
        return found

    def _mask_vectors(self, vectors: Tensor) -> Tensor:
        found: Tensor = self.net.query_features_proj(self.net.query_features_block(vectors))
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        last, first = self.answers(images)[-1], slice(self.config.queries)
        masks = torch.einsum("bqc,bchw->bqhw", last.vectors[:, first], last.pixels) + self.net.segmentation_bias
        return {"logits": last.logits[:, first], "boxes": last.boxes[:, first], "masks": masks.float()}


# --- training ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Truth:
    """Objects of one image, and the points at which masks are compared."""

    labels: Tensor
    boxes: Tensor  # float32 (N, 4), shares of the padded input
    points: Tensor  # float32 (S, 2), pixels
    masks: Tensor  # float32 (N, S)
    near: Tensor  # bool (N, S)
    seen: Tensor  # float32 (S,), 0 in a crowd
    targets: Targets
    size: tuple[int, int]  # of the padded input


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_``, ``box_`` and ``mask_`` with ``proposal`` or ``query``; queries summed over layers."""
    assert isinstance(module, RfDetr)
    check_room(targets, module.config.queries)
    answers = module.answers(images)
    grid = input_size(answers[-1].pixels)
    truth = [_truth(t, grid, module.config.groups) for t in on_device(targets, images.device)]
    count = max(1, sum(len(t.labels) for t in truth)) * answers[-1].groups
    total: dict[str, Tensor] = {}
    with torch.autocast(images.device.type, enabled=False):
        for k, answer in enumerate(answers):
            for name, value in _layer_loss(module, answer, truth).items():
                key = f"{name}_{'query' if k or not module.training else 'proposal'}"
                total[key] = total.get(key, 0.0) + value / count
    return total


def _truth(targets: Targets, grid: tuple[int, int], groups: int) -> _Truth:
    boxes, size = targets["boxes"], (grid[0] * RATIO, grid[1] * RATIO)
    most = min(_POINTS, max(512, _TABLE // max(1, len(boxes) * groups)))
    points = detr_matching.draw_points(size, boxes, most)
    masks = detr_matching.at_points(targets["crops"], targets["layout"], points)
    near = detr_matching.near_points(boxes, points, RATIO)
    seen = (~detr_matching.crowded(targets, points)).float()
    return _Truth(
        targets["labels"], detr_matching.relative_boxes(boxes, size), points, masks, near, seen, targets, size
    )


def _layer_loss(module: RfDetr, answer: _Answers, truth: Sequence[_Truth]) -> dict[str, Tensor]:
    """Return sums over all objects and groups of one layer's answers."""
    logits, boxes, bias, weights = answer.logits, answer.boxes, module.net.segmentation_bias, module.class_weights
    quality = torch.zeros_like(logits)  # what an object's own class should say
    scale = torch.ones_like(logits)
    taken = torch.zeros_like(logits, dtype=torch.bool)
    nothing = (answer.vectors.float().sum() + answer.pixels.float().sum() + bias.sum()) * 0.0
    box, mask = [boxes.sum() * 0.0], [nothing]
    for i, t in enumerate(truth):
        vectors, pixels = answer.vectors[i].float(), detr_matching.sample(answer.pixels[i], t.points, t.size)
        with torch.no_grad():
            cost = 2 * detr_matching.focal_cost(logits[i], t.labels) + detr_matching.box_cost(boxes[i], t.boxes)
            cost = cost + 5 * detr_matching.mask_cost(vectors @ pixels + bias, t.masks)
            query, target = detr_matching.assign_groups(cost, answer.groups)
            centre = boxes[i, :, :2] * boxes.new_tensor([t.size[1], t.size[0]])
            scale[i][detr_matching.crowded(t.targets, centre)] = 0.0
            label = t.labels[target]
            overlap = detr_matching.paired_iou(boxes[i, query], t.boxes[target])
            quality[i, query, label] = (logits[i, query, label].sigmoid() ** 0.25 * overlap**0.75).clamp(0.01)
            share = weights[label]
            scale[i, query] = 1.0
            scale[i, query, label] = share
            taken[i, query, label] = True
        box.append((detr_matching.box_loss(boxes[i, query], t.boxes[target]) * share).sum())
        predicted = vectors[query] @ pixels + bias
        mask.append((5 * detr_matching.mask_loss(predicted, t.masks[target], t.near[target], t.seen) * share).sum())
    # quality where an object is, its complement's square elsewhere: the easy background counts little
    positive = functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    negative = logits.sigmoid() ** 2 * functional.softplus(logits)
    classes = torch.where(taken, positive, negative) * scale
    return {"class": classes.sum(), "box": torch.stack(box).sum(), "mask": torch.stack(mask).sum()}


# --- published weights ------------------------------------------------------------------------------------------------


def adopt(checkpoint: Checkpoint, config: RfDetrSettings) -> tuple[RfDetrSettings, dict[str, Tensor]]:
    """Return settings and tensors of a checkpoint for transformers' RfDetrForInstanceSegmentation.

    Raises
    ------
    ConfigError, ModelFileError
        if the checkpoint is for another network, or one with parts that are not built here.
    """
    theirs: Any = library_config(RfDetrConfig, checkpoint)
    encoder = theirs.backbone_config
    ours = replace(
        config, patch=encoder.patch_size, windows=encoder.num_windows, grid=encoder.image_size // encoder.patch_size,
        width=encoder.hidden_size, depth=encoder.out_indices[-1], heads=encoder.num_attention_heads,
        taps=tuple(encoder.out_indices), hidden=theirs.d_model, blocks=theirs.c2f_num_blocks,
        layers=theirs.decoder_layers, self_heads=theirs.decoder_self_attention_heads,
        cross_heads=theirs.decoder_cross_attention_heads, points=theirs.decoder_n_points,
        feedforward=theirs.decoder_ffn_dim, mask_feedforward=theirs.intermediate_size, queries=theirs.num_queries,
        groups=theirs.group_detr, unnamed=(labels := labels_of(checkpoint)).unnamed,
    )  # fmt: skip
    same = _library_config(ours, encoder.num_channels, len(labels.names))
    for mine, other in ((same, theirs), (same.backbone_config, encoder)):
        check_fixed(checkpoint, other, {name: getattr(mine, name, None) for name in _SHAPING})
    state = library_tensors(RfDetrForInstanceSegmentation, theirs, checkpoint)
    unused = [f"encoder.layer.{k}." for k in range(ours.depth, encoder.num_hidden_layers)]
    kept = {k: v for k, v in state.items() if "mask_token" not in k and not any(u in k for u in unused)}
    return ours, {f"net.{k}": labels.arranged(v) if "class_embed" in k else v for k, v in kept.items()}


# what changes the network's outputs and has no setting here
_SHAPING = (
    "hidden_expansion", "activation_function", "decoder_activation_function", "attention_bias", "layer_norm_eps",
    "num_feature_levels", "mask_downsample_ratio", "segmentation_head_activation_function", "mlp_ratio", "hidden_act",
    "qkv_bias", "use_swiglu_ffn", "apply_layernorm", "reshape_hidden_states",
)  # fmt: skip

_TIERED = (
    "the licence of the two largest sizes is stated both as Apache-2.0 (of all segmentation models) and as Roboflow's "
    "tiered Platform Model License 1.0 (of the XL and 2XL models): ask Roboflow before you use them in a product"
)

ARCHITECTURE = Architecture(
    summary="query-based on a vision transformer: no duplicates, overlaps kept; strong with pretrained weights",
    kind="query",
    config=RfDetrSettings,
    build=RfDetr,
    encode=encode_masks,
    loss=loss,
    decode=decode,
    stride=16,
    slots="queries",
    weights=tuple(
        Weights(
            f"hf:Roboflow/rf-detr-seg-{size}",
            "Apache-2.0",
            "instances of COCO 2017 (annotations CC BY 4.0)",
            _TIERED if "x" in size else "",
        )
        for size in ("nano", "small", "medium", "large", "xlarge", "2xlarge")
    ),
    adopt=adopt,
    published=Published(
        "rf_detr",
        preprocess={
            "size": {"shortest_edge": 800, "longest_edge": 1333},
            "image_processor_type": "RfDetrImageProcessor",
            "pad": 1,
        },
    ),
    defaults={"lr": 5e-4, "batch": 4, "crop": 256, "weight_decay": 1e-2},
)
