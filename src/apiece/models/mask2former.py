"""Mask2Former: each query looks where its own mask lay a layer before, and answers with a class and a mask.

Paper: B. Cheng et al., "Masked-attention Mask Transformer for Universal Image Segmentation", CVPR 2022 (arXiv
2112.01527). Pixel decoder (deformable attention) and transformer decoder are those of transformers (Apache-2.0), on a
timm encoder (Apache-2.0) or one of transformers' own. Checkpoints in transformers' layout can be adopted; the authors'
own may not be used commercially (CC-BY-NC-4.0, as their model zoo says).

What differs: all is smaller by default, to learn from scratch on a CPU. Losses are computed from crops and at fewer
points (see ``points``), never from a dense mask per object. A query stands for its likeliest class only, and of two
answers for one object the worse one goes. Whole layers are not dropped: the library does so at the rate of ``dropout``,
which leaves a mask of the wrong size for the next layer. Weights begin as in the authors' code, see `initialise`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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

from apiece.errors import ConfigError
from apiece.models._decode.mask2former import decode
from apiece.models._kit.blocks import STRIDES
from apiece.models._kit.mask_classification import (
    LICENCE,
    PREPROCESS,
    MaskClassifier,
    MaskClassifierSettings,
    encode,
    loss,
    shaped,
)
from apiece.models._kit.set_loss import SetLoss
from apiece.models._kit.transformers_parts import check_fixed, initialise, library_config, library_tensors, renamed
from apiece.models.contract import Architecture, Checkpoint, Published, Weights

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
class Mask2FormerConfig(MaskClassifierSettings):
    """Set up the architecture, beyond `MaskClassifierSettings`.

    ``heads`` also divides ``width``, and three of the ``layers`` see each of the strides 32, 16 and 8 once.

    Attributes
    ----------
    pixel_layers : layers of deformable attention in the pixel decoder.
    pixel_feedforward : width of their hidden layer.
    """

    pixel_layers: int = 2
    pixel_feedforward: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(8, "pixel_feedforward")
        self._at_least(1, "pixel_layers")
        if self.width % self.heads:
            raise ConfigError(f"width must be a multiple of heads ({self.heads}), got {self.width}")

    def library(self, classes: int) -> LibraryConfig:
        """Return the settings as transformers' configuration, which counts the answer before the first layer."""
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
        """Let deformable attention begin by looking along one direction per head, a step further with each point."""
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


class Mask2Former(MaskClassifier):
    """See `MaskClassifier`; the queries answer before the first layer of the decoder and after each."""

    make_head = _Head
    rule = SetLoss(classes=2.0, mask=5.0, dice=5.0)


def adopt(checkpoint: Checkpoint, config: Mask2FormerConfig) -> tuple[Mask2FormerConfig, dict[str, Tensor]]:
    """Return the settings of a checkpoint of transformers, and its tensors under our names.

    Raises
    ------
    ConfigError, ModelFileError
        if the checkpoint is of another kind, its settings cannot be expressed here, or tensors are missing.
    """
    library = library_config(LibraryConfig, checkpoint)
    check_fixed(checkpoint, library, _FIXED)
    found = shaped(
        config, library.backbone_config, queries=library.num_queries, width=library.feature_size,
        mask_width=library.mask_feature_size, hidden=library.hidden_dim, heads=library.num_attention_heads,
        pixel_layers=library.encoder_layers, pixel_feedforward=library.encoder_feedforward_dim,
        layers=library.decoder_layers - 1, feedforward=library.dim_feedforward,
    )  # fmt: skip
    return found, renamed(library_tensors(Mask2FormerForUniversalSegmentation, library, checkpoint), _NAMES)


ARCHITECTURE = Architecture(
    summary="queries with masked attention; accurate with pretrained weights, slow to learn from scratch, may overlap",
    kind="query",
    config=Mask2FormerConfig,
    build=Mask2Former,
    encode=encode,
    loss=loss,
    decode=decode,
    slots="queries",
    weights=(
        Weights("hf:facebook/mask2former-swin-tiny-coco-instance", LICENCE, "COCO instances, Swin-T"),
        Weights("hf:facebook/mask2former-swin-small-coco-instance", LICENCE, "COCO instances, Swin-S"),
    ),
    adopt=adopt,
    published=Published("mask2former", preprocess=PREPROCESS),
    defaults={"lr": 4e-4, "batch": 4, "crop": 256, "weight_decay": 5e-2},
)
