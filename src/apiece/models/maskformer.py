"""MaskFormer: a set of queries, each with a class and a mask over the whole image; Mask2Former's plainer forerunner.

Paper: B. Cheng et al., "Per-Pixel Classification is Not All You Need for Semantic Segmentation", NeurIPS 2021 (arXiv
2107.06278). Pixel decoder (a feature pyramid) and transformer decoder (DETR's) are those of transformers (Apache-2.0),
on a timm encoder (Apache-2.0) or one of transformers' own. Checkpoints in transformers' layout can be adopted; the
authors' own may not be used commercially (CC-BY-NC-4.0, as their model zoo says).

What differs: all is smaller by default, to learn from scratch on a CPU. Masks are compared at sampled points, from
crops, as Mask2Former does it (see ``points``), with this paper's focal and Dice terms. Every layer of the decoder
answers and is matched by itself. A score is the class's chance times the mask's mean chance; a query stands for its
likeliest class only, and of two answers for one object the worse one goes. Weights begin as in the authors' code, see
`initialise`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

from apiece.models._decode.maskformer import decode
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
from apiece.models._kit.transformers_parts import initialise, library_config, library_tensors, renamed
from apiece.models.contract import Architecture, Checkpoint, Published, Weights

__all__ = ["ARCHITECTURE", "MaskFormer", "MaskFormerConfig"]

_NAMES = {  # the library's modules, and ours
    "model.pixel_level_module.encoder.": "encoder.body.",
    "model.pixel_level_module.decoder.": "head.pixel_decoder.",
    "model.transformer_module.": "head.transformer.",
    "class_predictor.": "head.class_predictor.",
    "mask_embedder.": "head.mask_embedder.",
}


@dataclass(frozen=True)
class MaskFormerConfig(MaskClassifierSettings):
    """Set up the architecture, beyond `MaskClassifierSettings`.

    Attributes
    ----------
    activation : of the transformer decoder's hidden layers: ``"relu"`` or ``"gelu"``.
    """

    activation: str = "relu"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("activation", ("relu", "gelu"))

    def library(self, classes: int) -> LibraryConfig:
        """Return the settings as transformers' configuration."""
        decoder = DetrConfig(
            num_queries=self.queries, d_model=self.hidden, decoder_layers=self.layers, dropout=self.dropout,
            decoder_attention_heads=self.heads, encoder_attention_heads=self.heads, decoder_ffn_dim=self.feedforward,
            activation_function=self.activation,
        )  # fmt: skip
        return LibraryConfig(
            num_labels=classes, fpn_feature_size=self.width, mask_feature_size=self.mask_width, decoder_config=decoder
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


class MaskFormer(MaskClassifier):
    """See `MaskClassifier`; every layer of the decoder answers."""

    make_head = _Head
    rule = SetLoss(classes=1.0, mask=20.0, dice=1.0, focal=True)


def adopt(checkpoint: Checkpoint, config: MaskFormerConfig) -> tuple[MaskFormerConfig, dict[str, Tensor]]:
    """Return the settings of a checkpoint of transformers, and its tensors under our names.

    Raises
    ------
    ConfigError, ModelFileError
        if the checkpoint is of another kind, or tensors are missing.
    """
    library = library_config(LibraryConfig, checkpoint)
    tensors = library_tensors(MaskFormerForInstanceSegmentation, library, checkpoint)
    decoder = library.decoder_config
    found = shaped(
        config, library.backbone_config, queries=decoder.num_queries, width=library.fpn_feature_size,
        mask_width=library.mask_feature_size, hidden=decoder.d_model, heads=decoder.decoder_attention_heads,
        layers=decoder.decoder_layers, feedforward=decoder.decoder_ffn_dim, activation=decoder.activation_function,
    )  # fmt: skip
    return found, renamed(tensors, _NAMES)


ARCHITECTURE = Architecture(
    summary="queries over a feature pyramid; simpler than mask2former and behind it, may overlap",
    kind="query",
    config=MaskFormerConfig,
    build=MaskFormer,
    encode=encode,
    loss=loss,
    decode=decode,
    slots="queries",
    weights=(Weights("hf:facebook/maskformer-swin-tiny-coco", LICENCE, "COCO panoptic, Swin-T"),),
    adopt=adopt,
    published=Published("maskformer", preprocess=PREPROCESS),
    defaults={"lr": 4e-4, "batch": 4, "crop": 256, "weight_decay": 5e-2},
)
