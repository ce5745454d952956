"""DETR with its mask head: a transformer reads the image, each learned query answers with a class, a box and a mask.

Paper: N. Carion et al., "End-to-End Object Detection with Transformers", ECCV 2020 (arXiv 2005.12872), section 4.4 for
masks. Built of the layers of transformers' DetrForSegmentation (Apache-2.0) on a timm encoder (Apache-2.0), put
together here; its checkpoints load and give the same outputs. Weights: facebook/detr-resnet-50-panoptic and -101-, COCO
panoptic, things and stuff (Apache-2.0); timm's for the encoder (each with its own licence, named by timm).

As in the paper: queries and objects are matched by class and box, after every layer of the decoder. A mask begins as
the query's attention over the image, which convolutions refine with finer and finer features. The score is the chance
of the class.

What differs: the encoder is small and its normalisation learns (the paper freezes it). The transformer reads features
at stride 16 by default, to which the coarser ones are added, so that masks have half the input's resolution and small
objects a cell of their own. Boxes, classes and masks learn together from the start. Only queries that have an object
make a mask in training, and a few queries at a time in prediction, so memory does not grow with them. The mask's loss
weighs the surroundings of an object as much as the rest of the image. Weights that read the attention begin larger,
without which masks hardly learn from scratch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import DetrConfig, DetrForSegmentation
from transformers.models.detr import modeling_detr

from apiece._strict_json import LATER
from apiece.errors import ConfigError
from apiece.models._decode.detr_mask import decode
from apiece.models._kit import detr_matching
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.labels import labels_of
from apiece.models._kit.network import Network, input_size, on_device
from apiece.models._kit.queries import assign, check_room, encode_masks
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.transformers_parts import check_fixed, library_config, library_tensors, renamed
from apiece.models.contract import Architecture, Checkpoint, ModelInput, Published, Targets, Weights

__all__ = ["ARCHITECTURE", "DetrMask", "DetrMaskSettings"]

_VALUES = 1 << 25  # values of the mask head's widest layer held at once
_POINTS = 4096  # most points at which masks are compared
_TABLE = 4_000_000  # entries of the table of objects and points, per image
_LIFT = 64.0  # of the weights that read attention, when training begins
_NONE = 0.1  # weight of "no object" in the loss of classes


@dataclass(frozen=True)
class DetrMaskSettings(BackboneSettings):
    """Set up the architecture, beyond `BackboneSettings`.

    ``norm`` is that of the encoder of images, ``dropout`` drops values in the transformer.

    Attributes
    ----------
    stride : input pixels along a cell of the features that the transformer reads; a mask's cell is an eighth of it.
    width : channels of the transformer and, falling to a sixteenth, of the mask head; a power of two, or a multiple
        of 128.
    heads : attention heads, a multiple of 8.
    encoder_layers, decoder_layers : layers of the transformer.
    feedforward : width of its feed-forward layers.
    queries : objects that one image may hold.
    unnamed : outputs beside the classes that are never an answer; published weights have some.
    """

    stride: int = 16
    width: int = 128
    heads: int = 8
    encoder_layers: int = 2
    decoder_layers: int = 3
    feedforward: int = 512
    queries: int = 100
    unnamed: int = field(default=0, metadata=LATER)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("stride", (16, 32))
        self._at_least(0, "unnamed")
        self._at_least(1, "encoder_layers", "decoder_layers", "feedforward", "queries")
        parts = [self.width // 2**k for k in range(1, 5)]  # channels of the mask head, in groups of 8 or all
        if self.width < 16 or self.width % 16 or any(n > 8 and n % 8 for n in parts):
            raise ConfigError(f"width must be a power of two or a multiple of 128, got {self.width}")
        if self.heads < 8 or self.heads % 8 or self.width % self.heads:
            raise ConfigError(f"heads must be a multiple of 8 that divides {self.width}, got {self.heads}")


def _library_config(config: DetrMaskSettings) -> Any:
    """Return what the library's layers need to know."""
    return DetrConfig(
        d_model=config.width, encoder_layers=config.encoder_layers, decoder_layers=config.decoder_layers,
        encoder_attention_heads=config.heads, decoder_attention_heads=config.heads,
        encoder_ffn_dim=config.feedforward, decoder_ffn_dim=config.feedforward, num_queries=config.queries,
        dropout=config.dropout,
    )  # fmt: skip


@dataclass(frozen=True)
class _Read:
    """What the transformer has made of a batch, with Q queries."""

    queries: Tensor  # (layers, B, Q, width): after each layer of the decoder, normalised
    memory: Tensor  # (B, width, h, w): the encoder's output
    features: Tensor  # (B, width, h, w): its input
    fine: list[Tensor]  # three maps of finer features, coarsest first


class DetrMask(Network):
    """Map images ``(B, C, H, W)`` to a dictionary, for Q queries:

    ``logits`` (B, Q, classes + 1), of a softmax whose last class is "no object"; ``boxes`` (B, Q, 4): centre x, centre
    y, width, height as shares of the input; ``masks`` (B, Q, h, w), logits; ``cell`` (B, 2), height and width of a cell
    of them in pixels.
    """

    config: DetrMaskSettings

    def __init__(self, config: DetrMaskSettings, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        library: Any = modeling_detr
        self.backbone = build_backbone(config.backbone, input.channels, config.weights, config.norm)
        strides = [config.stride >> k for k in range(4)]
        self.levels = [self.backbone.strides.index(s) for s in strides if s in self.backbone.strides]
        if len(self.levels) != 4:
            raise ConfigError(
                f"detr_mask with stride {config.stride} needs features at strides {strides}; {config.backbone!r} has "
                f"{self.backbone.strides}"
            )
        inside = _library_config(config)
        widths = [self.backbone.channels[k] for k in self.levels]
        self.projection = nn.Conv2d(widths[0], config.width, 1)
        deeper = [k for k, s in enumerate(self.backbone.strides) if s > config.stride]
        self.deeper = nn.ModuleDict({str(k): nn.Conv2d(self.backbone.channels[k], config.width, 1) for k in deeper})
        self.drop = nn.Dropout(config.dropout)
        self.position: Any = library.DetrSinePositionEmbedding(config.width // 2, normalize=True)
        self.encoder: Any = library.DetrEncoder(inside)
        self.queries = nn.Embedding(config.queries, config.width)
        self.decoder: Any = library.DetrDecoder(inside)
        self.classify = nn.Linear(config.width, classes + config.unnamed + 1)
        self.box: Any = library.DetrMLPPredictionHead(config.width, config.width, 4, 3)
        self.attention: Any = library.DetrMHAttentionMap(config.width, config.heads)
        self.mask_head: Any = library.DetrMaskHeadSmallConv(config.width + config.heads, widths[1:], config.width)
        self._initialise()

    def _initialise(self) -> None:
        """Draw weights as in the authors' code: Xavier in the transformer, He with slope 1 in the mask head."""
        for part in (self.encoder, self.decoder, self.attention):
            for value in part.parameters():
                if value.ndim > 1:
                    nn.init.xavier_uniform_(value)
        for layer in self.mask_head.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_uniform_(layer.weight, a=1)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        with torch.no_grad():  # chances over all cells and heads are far smaller than the features beside them
            self.mask_head.conv1.conv.weight[:, self.config.width :] *= _LIFT

    def read(self, images: Tensor) -> _Read:
        """Run the encoder of images, and encoder and decoder of the transformer."""
        found = self.backbone(images)
        coarse, *fine = (found[k] for k in self.levels)
        features = self.projection(coarse)
        for k, project in self.deeper.items():
            features = features + functional.interpolate(project(found[int(k)]), size=coarse.shape[-2:], mode="nearest")
        tokens = features.flatten(2).transpose(1, 2)
        place = self.position(features.shape, images.device, torch.float32).flatten(2).transpose(1, 2)
        memory = self.drop(tokens)
        for layer in self.encoder.layers:
            memory = layer(memory, None, spatial_position_embeddings=place)
        slots = self.queries.weight.expand(images.shape[0], -1, -1)
        vectors, after = torch.zeros_like(slots), []
        for layer in self.decoder.layers:
            vectors = layer(vectors, None, place, slots, memory)
            after.append(self.decoder.layernorm(vectors))
        memory = memory.transpose(1, 2).reshape(features.shape)
        return _Read(torch.stack(after), memory, features, fine)

    def masks(self, read: _Read, image: int, queries: Tensor) -> Tensor:
        """Return logits (K, h, w) of queries (K, width) of one image, a few at a time.

        Features that all queries share pass once through the layers before the queries' own part.
        """
        head, one = self.mask_head, slice(image, image + 1)
        maps = self.attention(queries[None], read.memory[one])[0]  # (K, heads, h, w)
        fine = [stage.fpn_adapter(f[one]) for stage, f in zip(head.fpn_stages, read.fine, strict=True)]
        # the widest layer is the last stage's input
        step = max(1, _VALUES // fine[-1].numel())
        shared = read.features[one]
        parts = []
        for a in range(0, len(maps), step):
            some = maps[a : a + step]
            x = torch.cat([shared.expand(len(some), -1, -1, -1), some], 1)
            x = head.conv2(head.conv1(x))
            for stage, f in zip(head.fpn_stages, fine, strict=True):
                x = stage.refine(f + functional.interpolate(x, size=f.shape[-2:], mode="nearest"))
            parts.append(head.output_conv(x)[:, 0].float())
        return torch.cat(parts) if parts else fine[-1].new_zeros(0, *fine[-1].shape[-2:], dtype=torch.float32)

    def answers(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of classes and boxes (centre x, centre y, width, height) of any queries, in float32."""
        return self.classify(queries).float(), self.box(queries).float().sigmoid()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        read = self.read(images)
        logits, boxes = self.answers(read.queries[-1])
        masks = [self.masks(read, i, read.queries[-1, i]) for i in range(len(images))]
        maps = torch.stack(masks)
        # where the input is no multiple of 32, the library stretches the last, cut cell over the image like all others
        cell = boxes.new_tensor([images.shape[2] / maps.shape[2], images.shape[3] / maps.shape[3]])
        return {"logits": logits, "boxes": boxes, "masks": maps, "cell": cell.expand(images.shape[0], 2)}


# --- training ---------------------------------------------------------------------------------------------------------


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_query`` and ``box_query``, summed over the decoder's layers, and the last one's ``mask_query``."""
    assert isinstance(module, DetrMask)
    check_room(targets, module.config.queries)
    size, moved = input_size(images), on_device(targets, images.device)
    truth = [detr_matching.relative_boxes(t["boxes"], size) for t in moved]
    count = max(1, sum(len(t) for t in truth))
    read = module.read(images)
    logits, boxes = module.answers(read.queries)
    classes, box = logits.sum() * 0.0, boxes.sum() * 0.0
    pairs: list[tuple[Tensor, Tensor]] = []
    for layer in range(len(logits)):
        pairs = [_match(logits[layer, i], boxes[layer, i], t["labels"], truth[i]) for i, t in enumerate(moved)]
        classes = classes + _class_loss(logits[layer], boxes[layer], moved, pairs, module.class_weights, size)
        for i, (query, target) in enumerate(pairs):
            share = module.class_weights[moved[i]["labels"][target]]
            box = box + (detr_matching.box_loss(boxes[layer, i, query], truth[i][target]) * share).sum() / count
    mask = logits.sum() * 0.0
    for i, (query, target) in enumerate(pairs):
        # without an object the mask head still takes part, with no weight: every parameter has a gradient
        own = read.queries[-1, i, query] if len(query) else read.queries[-1, i, :1]
        mask = mask + _mask_loss(module.masks(read, i, own), moved[i], target, module, size) / count
    return {"class_query": classes, "box_query": box, "mask_query": mask}


def _match(logits: Tensor, boxes: Tensor, labels: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Return queries and objects of one image, pair by pair."""
    with torch.no_grad():
        return assign(detr_matching.box_cost(boxes, truth) - logits.softmax(-1)[:, labels])


def _class_loss(
    logits: Tensor, boxes: Tensor, targets: list[Targets], pairs: list[tuple[Tensor, Tensor]], weights: Tensor,
    size: tuple[int, int],
) -> Tensor:  # fmt: skip
    """Return the weighted mean of the cross-entropy over all queries of a batch; "no object" weighs a tenth."""
    none = logits.shape[-1] - 1
    label = torch.full(logits.shape[:2], none, device=logits.device)
    weight = torch.full(logits.shape[:2], _NONE, device=logits.device)
    for i, (query, target) in enumerate(pairs):
        centre = boxes[i, :, :2].detach() * boxes.new_tensor([size[1], size[0]])
        weight[i][detr_matching.crowded(targets[i], centre)] = 0.0  # in a crowd there may well be an object
        label[i, query] = targets[i]["labels"][target]
        weight[i, query] = weights[targets[i]["labels"][target]]
    each = functional.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
    return (each * weight.flatten()).sum() / weight.sum().clamp(min=1e-6)


def _mask_loss(maps: Tensor, targets: Targets, target: Tensor, module: DetrMask, size: tuple[int, int]) -> Tensor:
    """Return the sum over the objects ``target`` (K,) of one image, whose maps (K, h, w) are the queries' answers."""
    if not len(target):
        return maps.sum() * 0.0
    boxes = targets["boxes"][target]
    points = detr_matching.draw_points(size, boxes, min(_POINTS, max(512, _TABLE // len(target))))
    truth = detr_matching.at_points(targets["crops"], targets["layout"][target], points)
    near = detr_matching.near_points(boxes, points, 4)
    seen = (~detr_matching.crowded(targets, points)).float()
    each = detr_matching.mask_loss(detr_matching.sample(maps, points, size), truth, near, seen)
    return (5 * each * module.class_weights[targets["labels"][target]]).sum()


# --- published weights ------------------------------------------------------------------------------------------------


def adopt(checkpoint: Checkpoint, config: DetrMaskSettings) -> tuple[DetrMaskSettings, dict[str, Tensor]]:
    """Return settings and tensors of a checkpoint for transformers' DetrForSegmentation.

    Raises
    ------
    ConfigError, ModelFileError
        if the checkpoint is for another network, or one with parts that are not built here.
    """
    theirs: Any = library_config(DetrConfig, checkpoint, use_pretrained_backbone=False)
    encoder = theirs.backbone_config
    check_fixed(checkpoint, encoder, {"model_type": "timm_backbone"})
    same = {"decoder_attention_heads": theirs.encoder_attention_heads, "decoder_ffn_dim": theirs.encoder_ffn_dim}
    check_fixed(checkpoint, theirs, {**_FIXED, **same})
    ours = replace(
        config, backbone=encoder.backbone, weights="none", norm="batch", stride=32, width=theirs.d_model,
        heads=theirs.encoder_attention_heads, encoder_layers=theirs.encoder_layers,
        decoder_layers=theirs.decoder_layers, feedforward=theirs.encoder_ffn_dim, queries=theirs.num_queries,
        unnamed=(labels := labels_of(checkpoint)).unnamed,
    )  # fmt: skip
    tensors = renamed(library_tensors(DetrForSegmentation, theirs, checkpoint), _NAMES)
    tensors |= {k: labels.arranged(tensors[k], after=1) for k in ("classify.weight", "classify.bias")}
    # the library's frozen normalisation does not count batches
    counts = [k.replace("running_var", "num_batches_tracked") for k in tensors if k.endswith("running_var")]
    return ours, {**tensors, **dict.fromkeys(counts, torch.tensor(0))}


_NAMES = {
    "detr.model.backbone.model.": "backbone.body.",
    "detr.model.input_projection.": "projection.",
    "detr.model.query_position_embeddings.": "queries.",
    "detr.model.": "",
    "detr.class_labels_classifier.": "classify.",
    "detr.bbox_predictor.": "box.",
    "bbox_attention.": "attention.",
    "": "",
}
_FIXED = {
    "activation_function": "relu", "auxiliary_loss": False, "dilation": False, "position_embedding_type": "sine",
}  # fmt: skip

_COCO = "things and stuff of COCO 2017 panoptic (annotations CC BY 4.0)"

ARCHITECTURE = Architecture(
    summary="query-based: the first end-to-end detector; slow to learn from scratch, for comparison and its weights",
    kind="query",
    config=DetrMaskSettings,
    build=DetrMask,
    encode=encode_masks,
    loss=loss,
    decode=decode,
    slots="queries",
    weights=(
        Weights("hf:facebook/detr-resnet-50-panoptic", "Apache-2.0", _COCO),
        Weights("hf:facebook/detr-resnet-101-panoptic", "Apache-2.0", _COCO),
    ),
    adopt=adopt,
    published=Published("detr", preprocess={"size": {"shortest_edge": 800, "longest_edge": 1333}, "pad": 1}),
    defaults={"lr": 5e-4, "batch": 8, "crop": 256, "weight_decay": 1e-4},
)
