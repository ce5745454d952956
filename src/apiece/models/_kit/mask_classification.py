"""What Mask2Former and MaskFormer share: an encoder, and queries that each answer with a class and a mask.

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
from apiece.models._kit.network import Network, input_size, on_device, per_image
from apiece.models._kit.queries import check_room, chosen_classes, decode_queries
from apiece.models._kit.set_loss import SetLoss, set_losses
from apiece.models._kit.settings import BackboneSettings
from apiece.models._kit.transformers_parts import LibraryBackbone, backbone_settings, check_encoder
from apiece.models.contract import DecodeOptions, Frame, ModelInput, Targets

LICENCE = "CC-BY-NC-4.0 (the authors' model zoo; the hub's card says other)"
"""Of the weights that the authors of both papers published."""


@dataclass(frozen=True)
class MaskClassifierSettings(BackboneSettings):
    """Set up both architectures, beyond `BackboneSettings`.

    Attributes
    ----------
    encoder : settings of a transformers backbone (``model_type`` "swin" or "resnet", and what its ``config.json`` may
        hold) that takes the place of ``backbone``; empty: ``backbone`` is used.
    queries : answers per image; it bounds how many objects can be found, and training needs one per object.
    width : channels of the pixel decoder, a multiple of 32.
    mask_width : channels of the map whose products with the queries are the masks.
    hidden : width of the transformer decoder, a multiple of 4.
    heads : attention heads; it divides ``hidden``.
    layers : layers of the transformer decoder.
    feedforward : width of their hidden layer.
    points : points at which a mask is compared with a true one.
    none_weight : weight of "no object" in the loss of the classes.
    """

    encoder: Mapping[str, Any] = field(default_factory=dict)
    queries: int = 100
    width: int = 64
    mask_width: int = 64
    hidden: int = 128
    heads: int = 4
    layers: int = 3
    feedforward: int = 512
    points: int = 512
    none_weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "encoder", dict(self.encoder))
        check_encoder(self.encoder)
        if self.encoder and self.weights != "none":
            raise ConfigError(f"weights must be 'none' where encoder takes the backbone's place, got {self.weights!r}")
        self._at_least(8, "mask_width", "hidden", "feedforward", "points")
        self._at_least(1, "queries", "heads", "layers")
        if self.width < 32 or self.width % 32:
            raise ConfigError(f"width must be a multiple of 32, got {self.width}")
        if self.hidden % self.heads or self.hidden % 4:
            raise ConfigError(f"hidden must be a multiple of heads ({self.heads}) and of 4, got {self.hidden}")
        if not self.none_weight > 0:
            raise ConfigError(f"none_weight must be above 0, got {self.none_weight}")

    def library(self, classes: int) -> Any:
        """Return the same settings as transformers' configuration."""
        raise NotImplementedError


class MaskClassifier(Network):
    """Map images ``(B, C, H, W)`` to logits of Q queries.

    ``classes`` (B, Q, classes + 1), "no object" last; ``masks`` (B, Q, H / 4, W / 4), over the whole input.
    """

    config: MaskClassifierSettings
    make_head: ClassVar[type[nn.Module]]
    """Decoder made of transformers' configuration and the features' channels: features at strides 4 to 32, finest
    first, to class and mask logits of each layer that answers."""
    rule: ClassVar[SetLoss]
    """Weights of the losses."""

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

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        logits, maps = self.answers(images)[-1]
        return {"classes": logits.float(), "masks": maps.float()}


def shaped(config: MaskClassifierSettings, backbone: Any, **settings: Any) -> Any:
    """Return the settings of a network with transformers' ``backbone`` and ``settings`` taken from a checkpoint."""
    return replace(config, weights="none", encoder=backbone_settings(backbone), **settings)


def loss(module: nn.Module, images: Tensor, targets: Sequence[Targets]) -> dict[str, Tensor]:
    """Return ``class_query``, ``mask_point`` and ``mask_dice``, each summed over the layers; see `set_losses`. An
    image with more objects than ``queries`` is refused."""
    assert isinstance(module, MaskClassifier)
    config = module.config
    check_room(targets, config.queries)
    rule = replace(module.rule, none=config.none_weight, points=config.points)
    moved = on_device(targets, images.device)
    return set_losses(module.answers(images), moved, input_size(images), module.class_weights, rule)


@per_image
def decode(out: dict[str, Tensor], frame: Frame, classes: tuple[str, ...], options: DecodeOptions) -> Instances:
    """Return masks that may overlap; a score is the class's probability times the mask's mean probability."""
    return decode_queries(chosen_classes(out["classes"]), out["masks"], frame, classes, options, cell=STRIDES[0])
