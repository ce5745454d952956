"""MaskFormer: a set of queries, each with a class and a mask over the whole image; Mask2Former's plainer forerunner.

Paper: B. Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation", NeurIPS 2021 (arXiv
2107.06278). Pixel decoder (a feature pyramid) and transformer decoder (DETR's) are those of transformers (Apache-2.0),
on a timm encoder (Apache-2.0) or one of transformers' own. Checkpoints in transformers' layout can be adopted; those
that the authors trained may not be used commercially (CC-BY-NC-4.0, as their model zoo says).

What differs: all is smaller by default, to learn from scratch on a CPU; masks are compared at sampled points, from
crops, as Mask2Former does it (see `points`), with this paper's focal and Dice terms; every layer of the decoder
answers and is matched by itself; a score is the class's chance times the mask's mean chance, a query stands for its
likeliest class only, and of two answers for one object the worse one goes; weights begin as in the authors' code, see
`initialise`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DetrConfig, MaskFormerForInstanceSegmentation
from transformers import MaskFormerConfig as LibraryConfig
from transformers.models.maskformer.modeling_maskformer import (
    MaskformerMLPPredictionHead,
    MaskFormerPixelDecoder,
    MaskFormerPreTrainedModel,
    MaskFormerTransformerModule,
)

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models._kit.blocks import NORMS
from apiece.models._kit.losses import class_weights
from apiece.models._kit.queries import check_room, chosen_classes, decode_queries, encode_masks
from apiece.models._kit.set_loss import SetLoss, set_losses
from apiece.models._kit.transformers_parts import (
    STRIDES,
    backbone_settings,
    check_encoder,
    four_stages,
    initialise,
    library_config,
    library_tensors,
)
from apiece.models.contract import Architecture, Checkpoint, DecodeOptions, Frame, ModelInput, Targets, Weights

__all__ = ["ARCHITECTURE", "MaskFormer", "MaskFormerConfig"]

_NAMES = {  # the library's modules, and ours
    "model.pixel_level_module.encoder.": "encoder.body.",
    "model.pixel_level_module.decoder.": "head.pixel_decoder.",
    "model.transformer_module.": "head.transformer.",
    "class_predictor.": "head.class_predictor.",
    "mask_embedder.": "head.mask_embedder.",
}


@dataclass(frozen=True)
class MaskFormerConfig:
    """Settings of the architecture.

    Attributes
    ----------
    backbone : a timm model that gives features at strides 4 to 32, or ``"unet"``.
    weights : ``"none"``, or ``"timm"`` for timm's weights of ``backbone``.
    norm : ``"batch"`` or ``"group"``, in ``backbone``; the rest has group and layer norms.
    encoder : settings of a transformers backbone (``model_type`` "swin" or "resnet", and what its ``config.json`` may
        hold) that takes the place of ``backbone``; empty: none does.
    queries : answers per image; it bounds how many objects can be found, and training needs one per object.
    width : channels of the feature pyramid, a multiple of 32.
    mask_width : channels of the map whose products with the queries are the masks.
    hidden : width of the transformer decoder, a multiple of 4.
    heads : attention heads; it divides ``hidden``.
    layers : layers of the transformer decoder.
    feedforward : width of their hidden layer.
    activation : of that layer: ``"relu"`` or ``"gelu"``.
    dropout : chance of dropping a value in attention's and feed-forward's results, and before the class is told.
    points : points at which a mask is compared with a true one.
    none_weight : weight of "no object" in the loss of the classes.
    class_weights : weight of each class in that loss; empty: all 1.
    """

    backbone: str = "resnet10t"
    weights: str = "none"
    norm: str = "batch"
    encoder: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 100
    width: int = 64
    mask_width: int = 64
    hidden: int = 128
    heads: int = 4
    layers: int = 3
    feedforward: int = 512
    activation: str = "relu"
    dropout: float = 0.0
    points: int = 512
    none_weight: float = 0.1
    class_weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", dict(self.encoder))
        object.__setattr__(self, "class_weights", tuple(float(w) for w in self.class_weights))
        if self.norm not in NORMS:
            raise ConfigError(f"norm must be one of {', '.join(NORMS)}, got {self.norm!r}")
        check_encoder(self.encoder)
        if self.encoder and self.weights != "none":
            raise ConfigError("weights are those of a timm backbone; with an encoder of transformers' they are 'none'")
        if self.activation not in ("relu", "gelu"):
            raise ConfigError(f"activation must be 'relu' or 'gelu', got {self.activation!r}")
        if self.width < 32 or self.width % 32:
            raise ConfigError(f"width must be a multiple of 32, got {self.width}")
        if min(self.mask_width, self.hidden, self.feedforward, self.points) < 8:
            raise ConfigError("mask_width, hidden, feedforward and points must be at least 8")
        if min(self.queries, self.heads, self.layers) < 1:
            raise ConfigError("queries, heads and layers must be at least 1")
        if self.hidden % self.heads or self.hidden % 4:
            raise ConfigError(f"hidden must be a multiple of heads ({self.heads}) and of 4, got {self.hidden}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if not self.none_weight > 0:
            raise ConfigError(f"none_weight must be above 0, got {self.none_weight}")

    def library(self, classes: int) -> LibraryConfig:
        """The same in transformers' words."""
        decoder = DetrConfig(
            num_queries=self.queries, d_model=self.hidden, decoder_layers=self.layers, dropout=self.dropout,
            decoder_attention_heads=self.heads, encoder_attention_heads=self.heads, decoder_ffn_dim=self.feedforward,
            activation_function=self.activation,
        )  # fmt: skip
        return LibraryConfig(
            num_labels=classes,
            fpn_feature_size=self.width,
            mask_feature_size=self.mask_width,
            decoder_config=decoder,
        )


class _Head(MaskFormerPreTrainedModel):  # type: ignore[misc]
    """The library's parts beyond the encoder."""

    def __init__(self, config: LibraryConfig, channels: Sequence[int]) -> None:
        super().__init__(config)
        hidden = config.decoder_config.hidden_size
        self.pixel_decoder = MaskFormerPixelDecoder(
            in_features=channels[-1],
            feature_size=config.fpn_feature_size,
            mask_feature_size=config.mask_feature_size,
            lateral_widths=list(channels[:-1]),
        )
        self.transformer = MaskFormerTransformerModule(in_features=channels[-1], config=config)
        self.drop = nn.Dropout(config.decoder_config.dropout)
        self.class_predictor = nn.Linear(hidden, config.num_labels + 1)
        self.mask_embedder = MaskformerMLPPredictionHead(hidden, hidden, config.mask_feature_size)
        self.post_init()
        initialise(self)

    def forward(self, features: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        pixels = self.pixel_decoder(features).last_hidden_state
        decoder = self.transformer.decoder
        found = self.transformer(features[-1], output_hidden_states=True)
        # what the last layer gives is normed already; the first of them is the queries before any layer
        states = [decoder.layernorm(s) for s in found.hidden_states[1:-1]] + [found.last_hidden_state]
        return [
            (self.class_predictor(self.drop(s)), torch.einsum("bqc,bchw->bqhw", self.mask_embedder(s), pixels))
            for s in states
        ]


class MaskFormer(nn.Module):
    """Images ``(B, C, H, W)`` to ``classes`` (B, Q, classes + 1), logits with "no object" last, and ``masks``
    (B, Q, H / 4, W / 4), logits over the whole input."""

    def __init__(self, config: MaskFormerConfig, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights(config.class_weights, classes), persistent=False)
        self.encoder, self.levels, widths = four_stages(
            config.encoder, config.backbone, channels, config.weights, config.norm
        )
        self.head = _Head(config.library(classes), widths)

    def answers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Class and mask logits after each layer, the last one's being the model's answer."""
        features = self.encoder(images)
        found: list[tuple[Tensor, Tensor]] = self.head([features[i].float().contiguous() for i in self.levels])
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits, maps = self.answers(images)[-1]
        return {"classes": logits.float(), "masks": maps.float()}


def build(config: MaskFormerConfig, input: ModelInput, classes: int) -> MaskFormer:
    """The network, randomly initialised from torch's generator."""
    return MaskFormer(config, input.channels, classes)


def encode(instances: Instances, config: MaskFormerConfig) -> Targets:
    """Targets of one image, see `encode_masks`."""
    return encode_masks(instances)


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """``class_query``, ``mask_point`` and ``mask_dice``, each summed over the layers; see `set_losses`.

    Raises
    ------
    ConfigError
        naming ``queries``, if an image has more objects.
    """
    assert isinstance(module, MaskFormer)
    config = module.config
    check_room(targets, config.queries)
    moved = [{k: v.to(images.device) for k, v in t.items()} for t in targets]
    size = (int(images.shape[2]), int(images.shape[3]))
    rule = SetLoss(classes=1.0, mask=20.0, dice=1.0, none=config.none_weight, points=config.points, focal=True)
    return set_losses(module.answers(images), moved, size, module.class_weights, rule)


def decode(
    outputs: dict[str, Tensor], frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
) -> list[Instances]:
    """Masks at the image's size, which may overlap; a score is the class's chance times the mask's mean chance."""
    chances = chosen_classes(outputs["classes"])
    return [
        decode_queries(chances[i], outputs["masks"][i], frame, classes, options, cell=STRIDES[0])
        for i, frame in enumerate(frames)
    ]


def adopt(checkpoint: Checkpoint, config: MaskFormerConfig) -> tuple[MaskFormerConfig, dict[str, Tensor]]:
    """A checkpoint of transformers: its shape, and its tensors under our names.

    Raises
    ------
    ConfigError
        if it is of another kind, or its settings cannot be expressed here.
    ModelFileError
        if tensors are missing.
    """
    kind = checkpoint.settings.get("model_type")
    if kind != "maskformer":
        raise ConfigError(f"{checkpoint.source} is of type {kind!r}, not a 'maskformer' checkpoint")
    library = library_config(LibraryConfig, checkpoint)
    tensors = library_tensors(MaskFormerForInstanceSegmentation, library, checkpoint)
    decoder = library.decoder_config
    shaped = replace(
        config, weights="none", encoder=backbone_settings(library.backbone_config), queries=decoder.num_queries,
        width=library.fpn_feature_size, mask_width=library.mask_feature_size, hidden=decoder.d_model,
        heads=decoder.decoder_attention_heads, layers=decoder.decoder_layers, feedforward=decoder.decoder_ffn_dim,
        activation=decoder.activation_function,
    )  # fmt: skip
    return shaped, {
        ours + name.removeprefix(theirs): value
        for name, value in tensors.items()
        for theirs, ours in _NAMES.items()
        if name.startswith(theirs)
    }


_LICENCE = "CC-BY-NC-4.0 (the authors' model zoo; the hub's card says other)"

ARCHITECTURE = Architecture(
    summary="queries over a feature pyramid; simpler than mask2former and behind it, may overlap",
    kind="query",
    config=MaskFormerConfig,
    build=build,
    encode=encode,
    loss=loss,
    decode=decode,
    stride=32,
    slots="queries",
    weights=(Weights("hf:facebook/maskformer-swin-tiny-coco", _LICENCE, "COCO panoptic, Swin-T"),),
    adopt=adopt,
    defaults={"lr": 4e-4, "batch": 4, "crop": 256, "weight_decay": 5e-2},
)
