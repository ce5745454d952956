"""EoMT: a plain vision transformer whose last layers also hold queries; each answers with a class and a mask.

Paper: T. Kerssies et al., "Your ViT is Secretly an Image Segmentation Model", CVPR 2025 (arXiv 2503.19108). Built of
the layers of transformers' EomtForUniversalSegmentation (Apache-2.0), put together here; its checkpoints load and give
the same outputs. Weights: the authors' (MIT), begun from DINOv2 (Apache-2.0), learned on COCO.

As in the paper: no decoder and no features at several strides. Queries join the patches before the last layers, and in
these a query looks at the patches that its mask covers, where the checkpoint was not weaned off it. The masks are
products of queries and upsampled patches. Losses are those of Mask2Former.

What differs: all is small by default, with fine patches, to learn from scratch. A checkpoint knows inputs of one size,
640 x 640 or 1280 x 1280, and the library takes no other. Here smaller inputs are padded to it, as by the authors'
preprocessing, and on larger ones positions are interpolated; ``--imgsz 640`` resizes images to what was learned. Losses
are computed from crops and at fewer points (see ``points``). Training does not wean off masked attention, so a model
from scratch keeps it. Overlaps stay; of two answers for one object the worse one goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.compiler import is_exporting
from torch.nn import functional
from transformers import EomtConfig as LibraryConfig
from transformers import EomtForUniversalSegmentation

from apiece.errors import ConfigError
from apiece.models._decode.eomt import decode
from apiece.models._kit.mask_classification import QueryModel, QuerySettings, encode, loss
from apiece.models._kit.network import input_size
from apiece.models._kit.query_masks import CELL
from apiece.models._kit.set_loss import SetLoss
from apiece.models._kit.transformers_parts import check_fixed, library_config, library_tensors
from apiece.models.contract import Architecture, Checkpoint, ModelInput, Published, Weights

__all__ = ["ARCHITECTURE", "Eomt", "EomtSettings"]

_PATCHES = {CELL << k: k for k in range(1, 4)}  # side of a patch, and how often it is halved to a cell of the masks
# settings of the library that nothing here can express
_FIXED: Mapping[str, Any] = {"drop_path_rate": 0.0, "hidden_act": "gelu", "use_swiglu_ffn": False}


@dataclass(frozen=True)
class EomtSettings(QuerySettings):
    """Set up the architecture, beyond `QuerySettings`.

    ``dropout`` drops values in the transformer's input and in its attention.

    Attributes
    ----------
    size : side in pixels of the square input whose positions are learned, a multiple of ``patch``.
    patch : side of a patch in pixels: 8, 16 or 32.
    width, depth, heads : channels, layers and attention heads of the transformer.
    blocks : how many of the layers, the last ones, have queries.
    expansion : width of the layers' feed-forward part over ``width``.
    registers : tokens that stand for nothing, beside the patches.
    scale : of each layer's contribution when training begins.
    """

    size: int = 128
    patch: int = 8
    width: int = 192
    depth: int = 6
    heads: int = 3
    blocks: int = 2
    expansion: int = 4
    registers: int = 4
    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("patch", tuple(_PATCHES))
        self._at_least(1, "width", "depth", "heads", "blocks", "expansion")
        self._at_least(0, "registers")
        if self.size < self.patch or self.size % self.patch:
            raise ConfigError(f"size must be a multiple of patch ({self.patch}), got {self.size}")
        if self.width % self.heads:
            raise ConfigError(f"heads must divide width ({self.width}), got {self.heads}")
        if self.blocks > self.depth:
            raise ConfigError(f"blocks must be at most depth ({self.depth}), got {self.blocks}")

    def library(self, channels: int, classes: int) -> LibraryConfig:
        """Return the settings as transformers' configuration."""
        return LibraryConfig(
            num_labels=classes, num_channels=channels, image_size=self.size, patch_size=self.patch,
            hidden_size=self.width, num_hidden_layers=self.depth, num_attention_heads=self.heads,
            num_blocks=self.blocks, mlp_ratio=self.expansion, num_register_tokens=self.registers,
            layerscale_value=self.scale, num_queries=self.queries, num_upscale_blocks=_PATCHES[self.patch],
            hidden_dropout_prob=self.dropout, attention_dropout=self.dropout,
        )  # fmt: skip


class Eomt(QueryModel):
    """See `QueryModel`; the queries answer before each layer that they are in and after the last."""

    config: EomtSettings
    rule = SetLoss(classes=2.0, mask=5.0, dice=5.0)

    def __init__(self, config: EomtSettings, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        self.net: Any = EomtForUniversalSegmentation(config.library(input.channels, classes))
        self.net.criterion = nn.Identity()  # losses are ours
        # what a raw value of 0 becomes: padding is that
        black = -torch.tensor(input.mean) / torch.tensor(input.std)
        self.black: Tensor
        self.register_buffer("black", black[:, None, None], persistent=False)

    def answers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return class and mask logits of each layer that answers, the masks over ``images``."""
        net, (height, width) = self.net, input_size(images)
        tokens, grid = self._tokens(images)
        first, found = self.config.depth - self.config.blocks, []
        for k, layer in enumerate(net.layers):
            seen = None
            if k == first:
                tokens = torch.cat([net.query.weight.expand(tokens.shape[0], -1, -1), tokens], 1)
            # a graph cannot ask for a number; where the chance is 0, the layer sees everything anyway
            if k >= first and (self.training or is_exporting() or net.attn_mask_probs[k - first] > 0):
                found.append(self._answer(net.layernorm(tokens), grid))
                seen = self._seen(found[-1][1], grid, net.attn_mask_probs[k - first])
            tokens = layer(tokens, seen)
        found.append(self._answer(net.layernorm(tokens), grid))
        return [
            (logits, maps[..., : (height + CELL - 1) // CELL, : (width + CELL - 1) // CELL]) for logits, maps in found
        ]

    def _tokens(self, images: Tensor) -> tuple[Tensor, tuple[int, int]]:
        """Return what the first layer gets, and the grid of patches (rows, columns), padded to the learned size."""
        embed, side, patch = self.net.embeddings, self.config.size, self.config.patch
        # a graph of any size cannot ask whether there is something to pad or to interpolate, so it always does
        larger: Any = torch.sym_max
        bottom, right = (larger(side, (n + patch - 1) // patch * patch) - n for n in input_size(images))
        if is_exporting() or bottom or right:
            images = functional.pad(images - self.black, (0, right, 0, bottom)) + self.black
        grid = images.shape[2] // patch, images.shape[3] // patch
        position = embed.position_embeddings.weight
        if is_exporting() or grid != (side // patch, side // patch):
            square = position.T.reshape(1, -1, side // patch, side // patch).float()
            position = functional.interpolate(square, size=grid, mode="bicubic")[0].flatten(1).T
        patches = embed.patch_embeddings(images) + position
        rest = [token.expand(images.shape[0], -1, -1) for token in (embed.cls_token, embed.register_tokens)]
        return embed.dropout(torch.cat([*rest, patches], 1)), grid

    def _answer(self, tokens: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return class logits and mask logits, a cell for 4 x 4 pixels, of the queries among normed tokens."""
        net, queries = self.net, tokens[:, : self.config.queries]
        patches = tokens[:, self.config.queries + net.embeddings.num_prefix_tokens :]
        pixels = net.upscale_block(patches.transpose(1, 2).reshape(tokens.shape[0], -1, *grid))
        maps = torch.einsum("bqc,bchw->bqhw", net.mask_head(queries), pixels)
        return net.class_predictor(queries), maps

    def _seen(self, maps: Tensor, grid: tuple[int, int], chance: Tensor) -> Tensor:
        """Return which tokens each token looks at, bool (B, 1, T, T): a query sees the patches of its mask, with this
        chance, else all; nothing else is hidden."""
        queries, before = self.config.queries, self.config.queries + self.net.embeddings.num_prefix_tokens
        inside = functional.interpolate(maps.detach(), size=grid, mode="bilinear").flatten(2) > 0
        free = torch.rand(inside.shape[:2], device=maps.device) >= chance
        total = before + inside.shape[2]
        seen = torch.ones(maps.shape[0], 1, total, total, dtype=torch.bool, device=maps.device)
        seen[:, 0, :queries, before:] = inside | free[..., None]
        return seen


def adopt(checkpoint: Checkpoint, config: EomtSettings) -> tuple[EomtSettings, dict[str, Tensor]]:
    """Return the settings of a checkpoint of transformers, and its tensors under our names.

    Raises
    ------
    ConfigError, ModelFileError
        if the checkpoint is of another kind, its settings cannot be expressed here, or tensors are missing.
    """
    theirs = library_config(LibraryConfig, checkpoint)
    check_fixed(checkpoint, theirs, {**_FIXED, "num_upscale_blocks": _PATCHES.get(theirs.patch_size)})
    found = replace(
        config, size=theirs.image_size, patch=theirs.patch_size, width=theirs.hidden_size,
        depth=theirs.num_hidden_layers, heads=theirs.num_attention_heads, blocks=theirs.num_blocks,
        expansion=theirs.mlp_ratio, registers=theirs.num_register_tokens, scale=theirs.layerscale_value,
        queries=theirs.num_queries,
    )  # fmt: skip
    state = library_tensors(EomtForUniversalSegmentation, theirs, checkpoint)
    return found, {f"net.{k}": v for k, v in state.items() if not k.startswith("criterion.")}


ARCHITECTURE = Architecture(
    summary="queries within a plain vision transformer: simple, strong with pretrained weights at their own size",
    kind="query",
    config=EomtSettings,
    build=Eomt,
    encode=encode,
    loss=loss,
    decode=decode,
    slots="queries",
    weights=(
        Weights("hf:tue-mps/coco_instance_eomt_large_640", "MIT", "COCO instances, ViT-L, inputs of 640 x 640"),
        Weights("hf:tue-mps/coco_instance_eomt_large_1280", "MIT", "COCO instances, ViT-L, inputs of 1280 x 1280"),
        Weights("hf:tue-mps/coco_panoptic_eomt_large_640", "MIT", "COCO panoptic, ViT-L, inputs of 640 x 640"),
    ),
    adopt=adopt,
    # images are padded with black by the network itself, so not before it
    published=Published("eomt", preprocess={"size": {"shortest_edge": 640, "longest_edge": 640}, "pad": 1}),
    defaults={"lr": 4e-4, "batch": 4, "crop": 256, "weight_decay": 5e-2},
)
