"""Encoders of timm, and the pretrained weights of them."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import timm
import torch
from timm.layers import GroupNorm, freeze_batch_norm_2d
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from apiece.errors import ConfigError, UnknownNameError
from apiece.models._kit.blocks import Encoder
from apiece.models._kit.weights import IMAGENET, open_checkpoint, timm_name
from apiece.models.contract import Checkpoint

_SEED = 0x5EED  # of the values that pretrained ones must have replaced


def backbone_checkpoint(name: str, weights: str) -> Checkpoint:
    """Return the pretrained weights of timm's model ``name``: the whole model's tensors, classifier included.

    Parameters
    ----------
    weights : ``"timm"`` (timm's choice), ``"timm:<model.tag>"``, ``"imagenet"``, or a local file of the model's state
        dict.

    Raises
    ------
    ConfigError
        if timm has none, or the weights are of another model.
    ModelFileError
        if the weights cannot be fetched or read; says what to put where.
    """
    known = get_pretrained_cfg(name)
    tagged = timm_name(weights)
    if tagged is None:
        return open_checkpoint(weights)
    if tagged == "":
        if known is None or not known.hf_hub_id:
            raise ConfigError(f"timm has no weights of the backbone {name!r}; use another one, or weights 'none'")
        tagged = str(known.hf_hub_id).removeprefix("timm/")
    elif tagged.partition(".")[0] != name.partition(".")[0]:
        raise ConfigError(
            f"weights {weights!r} are not of the backbone {name!r}; set backbone to {tagged!r} or leave it"
        )
    found = open_checkpoint(weights if weights == IMAGENET else f"timm:{tagged}")
    own = get_pretrained_cfg(tagged)
    return found if found.licence or own is None else dataclasses.replace(found, licence=own.license or "")


def is_backbone(checkpoint: Checkpoint, name: str) -> bool:
    """Return whether these are weights of timm's model ``name``, with or without its classifier."""
    if not timm.is_model(name):
        return False
    with torch.random.fork_rng(devices=[]):
        return timm.create_model(name, pretrained=False, num_classes=0).state_dict().keys() <= checkpoint.tensors.keys()


class TimmBackbone(Encoder):
    """The features of a timm model, finest first.

    Parameters
    ----------
    name : timm's name of a model that can give features.
    channels : input channels; timm adapts pretrained first layers.
    weights : ``"none"``, or what `backbone_checkpoint` takes.
    norm : ``"batch"`` leaves the model's own normalisation; ``"group"`` asks for group norm (ResNets); ``"frozen"``
        keeps batch norms as the weights have them.
    """

    def __init__(self, name: str, channels: int, weights: str = "none", norm: str = "batch") -> None:
        super().__init__()
        if not timm.is_model(name):
            raise UnknownNameError("backbone", name, ["unet", *timm.list_models()])
        options: dict[str, Any] = {"features_only": True, "in_chans": channels}
        if norm == "group":
            options["norm_layer"] = partial(GroupNorm, num_groups=8)
        try:
            if weights == "none":
                self.body = timm.create_model(name, pretrained=False, **options)
            elif norm == "group":
                raise ConfigError(f"weights {weights!r} were learned with batch norm; use norm 'batch'")
            else:
                self.body = _pretrained(name, weights, options)
        except (OSError, RuntimeError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"backbone {name!r} with norm {norm!r} and weights {weights!r} cannot be built: {error}"
            ) from error
        if norm == "frozen":
            self.body = freeze_batch_norm_2d(self.body)
        self.channels = tuple(int(c) for c in self.body.feature_info.channels())
        self.strides = tuple(int(s) for s in self.body.feature_info.reduction())
        known = get_pretrained_cfg(name)
        if known is not None and known.fixed_input_size:
            self._try_out(name, channels)

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features that timm's model gives."""
        found: list[Tensor] = self.body(images)
        return found

    def _try_out(self, name: str, channels: int) -> None:
        """Refuse a model that takes images of its training size only, as many transformers do."""
        height, width = 64, 96
        try:
            with torch.inference_mode():
                found = [f.shape[1:] for f in self.eval()(torch.zeros(1, channels, height, width))]
        except (AssertionError, IndexError, RuntimeError, TypeError, ValueError):
            found = []
        self.train()
        if found != [(c, height // s, width // s) for c, s in zip(self.channels, self.strides, strict=True)]:
            raise ConfigError(
                f"backbone {name!r} takes images of one size only, and here they may have any; choose another, such as "
                "'convnext_tiny' or 'resnet50'"
            )


def _pretrained(name: str, weights: str, options: dict[str, Any]) -> nn.Module:
    """Build the model with the weights in it.

    timm fits names and channels, yet would pass over what is missing. So no random value may remain where the same
    model without weights has one.
    """
    found = backbone_checkpoint(name, weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        before = timm.create_model(name, pretrained=False, **options).state_dict()
        torch.manual_seed(_SEED)
        overlay = {"state_dict": dict(found.tensors)}
        with _only_errors("timm.models._builder"):  # it warns of the classifier, which an encoder does not have
            body: nn.Module = timm.create_model(name, pretrained=True, pretrained_cfg_overlay=overlay, **options)
    left = [
        k
        for k, v in body.named_parameters()
        if torch.equal(v, before[k]) and bool((v != v.flatten()[0]).any())  # of one value alone is no random one
    ]
    if left:
        raise ConfigError(f"weights {weights!r} are not of the backbone {name!r}: they lack {', '.join(left[:6])}")
    return body


@contextmanager
def _only_errors(name: str) -> Iterator[None]:
    """Let a logger tell nothing but errors."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
