"""What Mask2Former, MaskFormer and EoMT share: queries that each answer with a class and a mask; the first two also an
encoder.

Their decoders are transformers' own (Apache-2.0), put together in each model file (`MaskClassifier.make_head`). Losses
are computed at points and from crops (`set_loss`); of two queries that answer for one object the worse leaves
(`decode_queries`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from torch import Tensor, nn

from apiece.core.instances import Instances
from apiece.errors import ConfigError
from apiece.models._kit.backbone import build_backbone
from apiece.models._kit.blocks import STRIDES
from apiece.models._kit.network import Network, input_size, on_device
from apiece.models._kit.queries import check_room, encode_masks
from apiece.models._kit.set_loss import SetLoss, set_losses
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.stuff import StuffSettings, stuff_answer, things_among
from apiece.models._kit.stuff_segments import joined
from apiece.models._kit.transformers_parts import LibraryBackbone, backbone_settings, check_encoder
from apiece.models.contract import ModelInput, Targets

LICENCE = "CC-BY-NC-4.0 (the authors' model zoo; the hub's card says other)"
"""Of the weights that the authors of both papers published."""
PREPROCESS: Mapping[str, Any] = {"size": {"shortest_edge": 800, "longest_edge": 1333}, "size_divisor": 32}
"""How transformers resizes images for both where a ``preprocessor_config.json`` does not say."""


@dataclass(frozen=True)
class QuerySettings(StuffSettings):
    """Set up a model of queries, beyond `StuffSettings`.

    Attributes
    ----------
    queries : answers per image; it bounds how many objects can be found, and training needs one per object.
    points : points at which a mask is compared with a true one.
    none_weight : weight of "no object" in the loss of the classes.
    """

    queries: int = 100
    points: int = 512
    none_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least(1, "queries")
        self._at_least(8, "points")
        if not self.none_weight > 0:
            raise ConfigError(f"none_weight must be above 0, got {self.none_weight}")


class QueryModel(Network):
    """Map images ``(B, C, H, W)`` to logits of Q queries.

    ``classes`` (B, Q, classes + 1), "no object" last; ``masks`` (B, Q, H / 4, W / 4), over the whole input. With stuff
    also what `stuff_answer` gives: a query answers for each class of it.
    """

    config: QuerySettings
    rule: ClassVar[SetLoss]
    """Weights of the losses."""

    def __init__(self, config: QuerySettings, classes: int) -> None:
        super().__init__(config, classes)
        things_among(classes, config.stuff)

    def answers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return class and mask logits of each layer that answers; the last one's are the model's answer."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits, maps = self.answers(images)[-1]
        return {"classes": logits.float(), "masks": maps.float(), **stuff_answer(self.config, images)}


@dataclass(frozen=True)
class MaskClassifierSettings(BackboneSettings, QuerySettings):
    """Set up both architectures, beyond `BackboneSettings` and `QuerySettings`.

    Attributes
    ----------
    encoder : settings of a transformers backbone (``model_type`` "swin" or "resnet", and what its ``config.json`` may
        hold) that takes the place of ``backbone``; empty: ``backbone`` is used.
    width : channels of the pixel decoder, a multiple of 32.
    mask_width : channels of the map whose products with the queries are the masks.
    hidden : width of the transformer decoder, a multiple of 4.
    heads : attention heads; it divides ``hidden``.
    layers : layers of the transformer decoder.
    feedforward : width of their hidden layer.
    """

    encoder: Mapping[str, Any] = field(default_factory=dict)
    width: int = 64
    mask_width: int = 64
    hidden: int = 128
    heads: int = 4
    layers: int = 3
    feedforward: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encoder", dict(self.encoder))
        check_encoder(self.encoder)
        if self.encoder and self.weights != "none":
            raise ConfigError(f"weights must be 'none' where encoder takes the backbone's place, got {self.weights!r}")
        self._at_least(8, "mask_width", "hidden", "feedforward")
        self._at_least(1, "heads", "layers")
        if self.width < 32 or self.width % 32:
            raise ConfigError(f"width must be a multiple of 32, got {self.width}")
        if self.hidden % self.heads or self.hidden % 4:
            raise ConfigError(f"hidden must be a multiple of heads ({self.heads}) and of 4, got {self.hidden}")

    def library(self, classes: int) -> Any:
        """Return the same settings as transformers' configuration."""
        raise NotImplementedError


class MaskClassifier(QueryModel):
    """See `QueryModel`: an encoder with features at several strides, and a decoder on them."""

    config: MaskClassifierSettings
    make_head: ClassVar[type[nn.Module]]
    """Decoder made of transformers' configuration and the features' channels: features at strides 4 to 32, finest
    first, to class and mask logits of each layer that answers."""

    def __init__(self, config: MaskClassifierSettings, input: ModelInput, classes: int) -> None:
        super().__init__(config, classes)
        self.encoder = (
            LibraryBackbone(config.encoder, input.channels)
            if config.encoder
            else build_backbone(config.backbone, input.channels, config.weights, config.norm, STRIDES)
        )
        self.head = type(self).make_head(config.library(classes), self.encoder.channels)

    def answers(self, images: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return class and mask logits of each layer that answers; the last one's are the model's answer."""
        found: list[tuple[Tensor, Tensor]] = self.head([f.float().contiguous() for f in self.encoder(images)])
        return found


def shaped(config: MaskClassifierSettings, backbone: Any, **settings: Any) -> Any:
    """Return the settings of a network with transformers' ``backbone`` and ``settings`` taken from a checkpoint."""
    return replace(config, weights="none", encoder=backbone_settings(backbone), **settings)


def encode(instances: Instances, config: QuerySettings) -> Targets:
    """Return targets of one image, see `encode_masks`; each class of stuff is one object."""
    return encode_masks(joined(instances, config.stuff))


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_query``, ``mask_point`` and ``mask_dice``, each summed over the layers; see `set_losses`. An
    image with more objects than ``queries`` is refused."""
    assert isinstance(module, QueryModel)
    config = module.config
    check_room(targets, config.queries)
    rule = replace(module.rule, none=config.none_weight, points=config.points)
    moved = on_device(targets, images.device)
    return set_losses(module.answers(images), moved, input_size(images), module.class_weights, rule)
