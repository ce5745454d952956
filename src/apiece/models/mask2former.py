"""Mask2Former: each query looks where its own mask lay a layer before, and answers with a class and a mask.

Paper: B. Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", CVPR 2022 (arXiv
2112.01527). Pixel decoder (deformable attention) and transformer decoder are those of transformers (Apache-2.0), on a
timm encoder (Apache-2.0) or one of transformers' own. Checkpoints in transformers' layout can be adopted; those that
the authors trained may not be used commercially (CC-BY-NC-4.0, as their model zoo says).

What differs: all is smaller by default, to learn from scratch on a CPU; losses are computed here, from crops and with
fewer points (see `points`), never from a dense mask per object; a query stands for its likeliest class only, and of two
answers for one object the worse one goes; dropping whole layers, which the library does at the rate of ``dropout`` and
which leaves a mask of the wrong size for the next layer, is off; weights begin as in the authors' code (see
`initialise`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Mask2FormerConfig as LibraryConfig
from transformers import Mask2FormerForUniversalSegmentation
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerPixelDecoder,
    Mask2FormerPreTrainedModel,
    Mask2FormerTransformerModule,
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

__all__ = ["ARCHITECTURE", "Mask2Former", "Mask2FormerConfig"]

# settings of the library that no published checkpoint changes, and that nothing here can express
_FIXED: Mapping[str, Any] = {
    "activation_function": "relu", "common_stride": 4, "enforce_input_projection": False,
    "feature_strides": list(STRIDES), "pre_norm": False,
}  # fmt: skip
_NAMES = {  # the library's modules, and ours
    "model.pixel_level_module.encoder.": "encoder.body.",
    "model.pixel_level_module.decoder.": "head.pixel_decoder.",
    "model.transformer_module.": "head.transformer.",
    "class_predictor.": "head.class_predictor.",
}


@dataclass(frozen=True)
class Mask2FormerConfig:
    """Settings of the architecture.

    Attributes
    ----------
    backbone : a timm model that gives features at strides 4 to 32, or ``"unet"``.
    weights : ``"none"``, or ``"timm"`` for timm's weights of ``backbone``.
    norm : ``"batch"`` or ``"group"``, in ``backbone``; the rest has group and layer norms.
    encoder : settings of a transformers backbone (``model_type`` "swin" or "resnet", and what its ``config.json`` may
        hold) that takes the place of ``backbone``; empty: none does.
    queries : answers per image; it bounds how many objects can be found, and training needs one per object.
    width : channels of the pixel decoder, a multiple of 32.
    mask_width : channels of the map whose products with the queries are the masks.
    hidden : width of the transformer decoder.
    heads : attention heads; it divides ``width`` and ``hidden``.
    pixel_layers : layers of deformable attention in the pixel decoder.
    pixel_feedforward : width of their hidden layer.
    layers : layers of the transformer decoder; three see each of the strides 32, 16 and 8 once.
    feedforward : width of their hidden layer.
    dropout : chance of dropping a value in attention and feed-forward layers, and before the class is told.
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
    pixel_layers: int = 2
    pixel_feedforward: int = 256
    layers: int = 3
    feedforward: int = 512
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
        if self.width < 32 or self.width % 32:
            raise ConfigError(f"width must be a multiple of 32, got {self.width}")
        if min(self.mask_width, self.hidden, self.pixel_feedforward, self.feedforward, self.points) < 8:
            raise ConfigError("mask_width, hidden, pixel_feedforward, feedforward and points must be at least 8")
        if min(self.queries, self.heads, self.pixel_layers, self.layers) < 1:
            raise ConfigError("queries, heads, pixel_layers and layers must be at least 1")
        if self.width % self.heads or self.hidden % self.heads or self.hidden % 4:
            raise ConfigError(f"width and hidden must be multiples of heads ({self.heads}), and hidden of 4")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout must be from 0 to below 1, got {self.dropout}")
        if not self.none_weight > 0:
            raise ConfigError(f"none_weight must be above 0, got {self.none_weight}")

    def library(self, classes: int) -> LibraryConfig:
        """The same in transformers' words; its count of layers includes the answer before the first."""
        return LibraryConfig(
            num_labels=classes, feature_size=self.width, mask_feature_size=self.mask_width, hidden_dim=self.hidden,
            num_attention_heads=self.heads, encoder_layers=self.pixel_layers, decoder_layers=self.layers + 1,
            encoder_feedforward_dim=self.pixel_feedforward, dim_feedforward=self.feedforward, dropout=self.dropout,
            num_queries=self.queries, feature_strides=list(STRIDES),
        )  # fmt: skip


class _Head(Mask2FormerPreTrainedModel):  # type: ignore[misc]
    """The library's parts beyond the encoder."""

    def __init__(self, config: LibraryConfig, channels: Sequence[int]) -> None:
        super().__init__(config)
        self.pixel_decoder = Mask2FormerPixelDecoder(config, feature_channels=list(channels))
        self.transformer = Mask2FormerTransformerModule(in_features=config.feature_size, config=config)
        self.transformer.decoder.layerdrop = 0.0
        self.drop = nn.Dropout(config.dropout)
        self.class_predictor = nn.Linear(config.hidden_dim, config.num_labels + 1)
        self.post_init()
        initialise(self)
        self._spread()

    @torch.no_grad()
    def _spread(self) -> None:
        """Deformable attention begins by looking along one direction per head, a step further with each point."""
        for layer in self.pixel_decoder.encoder.layers:
            attention = layer.self_attn
            angle = torch.arange(attention.n_heads) * (2 * math.pi / attention.n_heads)
            towards = torch.stack([angle.cos(), angle.sin()], 1)
            towards = towards / towards.abs().amax(1, keepdim=True)  # to the side of a square
            steps = torch.arange(1, attention.n_points + 1)[:, None]
            offsets = (towards[:, None, None] * steps).expand(-1, attention.n_levels, -1, -1)
            nn.init.zeros_(attention.sampling_offsets.weight)
            attention.sampling_offsets.bias.copy_(offsets.flatten())
            nn.init.zeros_(attention.attention_weights.weight)

    def forward(self, features: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        # group norm under autocast gives bfloat16 on a CPU, and points to look at would be as coarse
        kind = features[0].device.type
        with torch.autocast(kind, enabled=torch.is_autocast_enabled(kind) and kind != "cpu"):
            pixels = self.pixel_decoder(features)
        found = self.transformer(pixels.multi_scale_features, pixels.mask_features)
        return [
            (self.class_predictor(self.drop(state.transpose(0, 1))), maps)
            for state, maps in zip(found.intermediate_hidden_states, found.masks_queries_logits, strict=True)
        ]


class Mask2Former(nn.Module):
    """Images ``(B, C, H, W)`` to ``classes`` (B, Q, classes + 1), logits with "no object" last, and ``masks``
    (B, Q, H / 4, W / 4), logits over the whole input."""

    def __init__(self, config: Mask2FormerConfig, channels: int, classes: int) -> None:
        super().__init__()
        self.config = config
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights(config.class_weights, classes), persistent=False)
        self.encoder, self.levels, widths = four_stages(
            config.encoder, config.backbone, channels, config.weights, config.norm
        )
        self.head = _Head(config.library(classes), widths)

    def answers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Class and mask logits before the first layer and after each, the last one's being the model's answer."""
        features = self.encoder(images)
        found: list[tuple[Tensor, Tensor]] = self.head([features[i].float().contiguous() for i in self.levels])
        return found

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits, maps = self.answers(images)[-1]
        return {"classes": logits.float(), "masks": maps.float()}


def build(config: Mask2FormerConfig, input: ModelInput, classes: int) -> Mask2Former:
    """The network, randomly initialised from torch's generator."""
    return Mask2Former(config, input.channels, classes)


def encode(instances: Instances, config: Mask2FormerConfig) -> Targets:
    """Targets of one image, see `encode_masks`."""
    return encode_masks(instances)


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """``class_query``, ``mask_point`` and ``mask_dice``, each summed over the layers; see `set_losses`.

    Raises
    ------
    ConfigError
        naming ``queries``, if an image has more objects.
    """
    assert isinstance(module, Mask2Former)
    config = module.config
    check_room(targets, config.queries)
    moved = [{k: v.to(images.device) for k, v in t.items()} for t in targets]
    size = (int(images.shape[2]), int(images.shape[3]))
    rule = SetLoss(classes=2.0, mask=5.0, dice=5.0, none=config.none_weight, points=config.points)
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


def adopt(checkpoint: Checkpoint, config: Mask2FormerConfig) -> tuple[Mask2FormerConfig, dict[str, Tensor]]:
    """A checkpoint of transformers: its shape, and its tensors under our names.

    Raises
    ------
    ConfigError
        if it is of another kind, or its settings cannot be expressed here.
    ModelFileError
        if tensors are missing.
    """
    kind = checkpoint.settings.get("model_type")
    if kind != "mask2former":
        raise ConfigError(f"{checkpoint.source} is of type {kind!r}, not a 'mask2former' checkpoint")
    library = library_config(LibraryConfig, checkpoint)
    for name, value in _FIXED.items():
        own = getattr(library, name)
        if (list(own) if isinstance(own, tuple) else own) != value:
            raise ConfigError(f"{checkpoint.source}: {name} is {own!r}; only {value!r} is supported")
    shaped = replace(
        config, weights="none", encoder=backbone_settings(library.backbone_config),
        queries=library.num_queries, width=library.feature_size, mask_width=library.mask_feature_size,
        hidden=library.hidden_dim, heads=library.num_attention_heads, pixel_layers=library.encoder_layers,
        pixel_feedforward=library.encoder_feedforward_dim, layers=library.decoder_layers - 1,
        feedforward=library.dim_feedforward,
    )  # fmt: skip
    tensors = library_tensors(Mask2FormerForUniversalSegmentation, library, checkpoint)
    return shaped, {
        ours + name.removeprefix(theirs): value
        for name, value in tensors.items()
        for theirs, ours in _NAMES.items()
        if name.startswith(theirs)
    }


_LICENCE = "CC-BY-NC-4.0 (the authors' model zoo; the hub's card says other)"

ARCHITECTURE = Architecture(
    summary="queries with masked attention; accurate with pretrained weights, slow to learn from scratch, may overlap",
    kind="query",
    config=Mask2FormerConfig,
    build=build,
    encode=encode,
    loss=loss,
    decode=decode,
    stride=32,
    slots="queries",
    weights=(
        Weights("hf:facebook/mask2former-swin-tiny-coco-instance", _LICENCE, "COCO instances, Swin-T"),
        Weights("hf:facebook/mask2former-swin-small-coco-instance", _LICENCE, "COCO instances, Swin-S"),
    ),
    adopt=adopt,
    defaults={"lr": 4e-4, "batch": 4, "crop": 256, "weight_decay": 5e-2},
)
