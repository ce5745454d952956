"""What training begins with: random weights, a pretrained encoder, another library's model or one of apiece's own."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from timm.models import get_pretrained_cfg
from torch import Tensor, nn

from apiece import _strict_json as typed_json
from apiece.errors import ConfigError, Message, Option
from apiece.models import (
    DEFAULT,
    OWN,
    UNKNOWN_LICENCE,
    backbone_checkpoint,
    dependent,
    fill,
    has_place,
    is_backbone,
    licence_of,
    open_checkpoint,
    timm_name,
)
from apiece.models.contract import ROOM, Architecture, Checkpoint, ModelInput
from apiece.training.config import NONE, TrainConfig

log = logging.getLogger("apiece")

_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class Start:
    """Hold what a network begins as.

    Attributes
    ----------
    config : the architecture's settings, of the shape that the weights have.
    tensors : of the whole network under its own names; empty where nothing or only the encoder is pretrained.
    normalise, mean, std : of the input, as the weights learned it; see `ModelInput`. Without mean, values stay.
    origin : ``source`` and ``licence`` of the weights, for the trained model's provenance; empty from scratch.
    """

    config: Any
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    normalise: str = "percentile"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    origin: Mapping[str, str] = field(default_factory=dict)

    def input(self, channels: int, imgsz: int | None) -> ModelInput:
        """Return what the network takes; with other channels than the weights', each gets the mean of theirs."""
        if not self.mean:
            return ModelInput(channels, self.normalise, (0.0,) * channels, (1.0,) * channels, imgsz)
        if channels == len(self.mean):
            return ModelInput(channels, self.normalise, self.mean, self.std, imgsz)
        mean, std = float(np.mean(self.mean)), float(np.mean(self.std))
        return ModelInput(channels, self.normalise, (mean,) * channels, (std,) * channels, imgsz)

    def build(self, architecture: Architecture, input: ModelInput, classes: int) -> nn.Module:
        """Build the network with the weights in it; tensors that depend on the classes and do not fit stay random."""
        module = architecture.build(self.config, input, classes)
        if self.tensors:
            names = dependent(architecture, self.config, input, classes)
            fill(module, self.tensors, self.origin["source"], names)
        return module


def room(most: int) -> int:
    """Return the slots for images of up to ``most`` objects, and some more: other images may hold more."""
    return 32 * math.ceil(1.25 * most / 32)


def begin(
    config: TrainConfig, architecture: Architecture, settings: Any, classes: int, most: int, dtype: np.dtype[Any]
) -> Start:
    """Open the weights that ``config`` names; by default those that ship with apiece, if they fit.

    Parameters
    ----------
    settings : the architecture's settings so far.
    classes : how many there are.
    most : most objects in one image.
    dtype : of the images' pixels. Weights learned from photos take 8-bit values over 255; deeper images, whose values
        seldom reach their type's largest, are scaled by percentiles to the same range first.

    Raises
    ------
    ConfigError, ModelFileError
        If the architecture cannot load such weights, settings contradict them, or they cannot be had or are damaged.
    """
    normalise = "range" if dtype == np.uint8 else "percentile"
    has_backbone = {"backbone", "weights"} <= {f.name for f in fields(settings)}
    spec = _shipped(config, architecture, settings, classes) if config.weights is None else config.weights
    if spec == NONE:
        plain = not has_backbone or settings.weights == NONE
        return Start(settings) if plain else _encoder(settings, normalise)
    name = timm_name(spec)
    if name is not None:
        if not has_backbone:
            raise ConfigError(f"{config.model} has no backbone of timm's; {_loads(config.model, architecture)}")
        if name and "backbone" not in config.model_settings:
            settings = replace(settings, backbone=name.partition(".")[0])
        return _encoder(replace(settings, weights=spec), normalise)
    found = open_checkpoint(spec)
    if OWN in found.settings:
        return _own(config, architecture, settings, most, found)
    if has_backbone and is_backbone(found, settings.backbone):
        return _encoder(replace(settings, weights=spec), normalise)
    kind = found.settings.get("model_type")
    if architecture.adopt is None or (kind and architecture.published and architecture.published.model_type != kind):
        raise ConfigError(
            f"{spec}: these weights are not for {config.model}; " + _instead(kind) + _loads(config.model, architecture)
        )
    adopted, tensors = architecture.adopt(found, settings)
    adopted = _without_gaps(adopted)
    adopted = _agreed(config, architecture, settings, adopted, most)
    mean, std = (
        tuple(found.preprocess.get(k) or v) for k, v in zip(("image_mean", "image_std"), _IMAGENET, strict=True)
    )
    if found.preprocess.get("do_normalize") is False:
        mean, std = (0.0,) * 3, (1.0,) * 3
    return Start(adopted, tensors, normalise, mean, std, _origin(found, licence_of(found, architecture)))


def _shipped(config: TrainConfig, architecture: Architecture, settings: Any, classes: int) -> str:
    """Return the name of the weights that ship with apiece if they are this architecture's and of its shape."""
    if DEFAULT not in (each.name for each in architecture.weights) or settings.weights != NONE:
        return NONE
    found = open_checkpoint(DEFAULT)
    if not has_place(architecture, _as_asked(config, architecture, settings, found), classes, found.tensors):
        log.info("weights: random; those that ship with apiece are of another shape")
        return NONE
    log.info("weights: those that ship with apiece (random ones with " + Option("weights", NONE) + ")")
    return DEFAULT


def _encoder(settings: Any, normalise: str) -> Start:
    """Open pretrained weights for the encoder alone, which `build_backbone` puts there."""
    found = backbone_checkpoint(settings.backbone, settings.weights)
    known = get_pretrained_cfg(timm_name(settings.weights) or settings.backbone)
    mean, std = (known.mean, known.std) if known else _IMAGENET
    return Start(settings, {}, normalise, tuple(mean), tuple(std), _origin(found, found.licence or UNKNOWN_LICENCE))


def _own(config: TrainConfig, architecture: Architecture, settings: Any, most: int, found: Checkpoint) -> Start:
    """Go on from a model that apiece trained: its shape, today's settings where they were given."""
    own = found.settings[OWN]
    if own["architecture"] != config.model:
        raise ConfigError(
            f"{found.source} holds a model of {own['architecture']!r}, not of {config.model!r}; use "
            + Option("model", own["architecture"])
        )
    adopted = _agreed(config, architecture, settings, _as_asked(config, architecture, settings, found), most)
    spec = typed_json.dataclass_from(ModelInput, own["input"], "input")
    return Start(adopted, found.tensors, spec.normalise, spec.mean, spec.std, _origin(found, found.licence))


def _as_asked(config: TrainConfig, architecture: Architecture, settings: Any, found: Checkpoint) -> Any:
    """Return the settings of a model that apiece trained, with those that were given today."""
    before = typed_json.dataclass_from(architecture.config, found.settings[OWN]["config"], "config")
    today = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name in ("weights", "class_weights")}
    today |= {"stuff": settings.stuff} if config.stuff else {}
    today |= {"dropout": settings.dropout} if config.dropout is not None else {}
    return replace(_without_gaps(before), **{**today, **{k: getattr(settings, k) for k in config.model_settings}})


def _without_gaps(settings: Any) -> Any:
    """Return the settings of published weights without outputs to spare, for classes of one's own."""
    return replace(settings, unnamed=0) if hasattr(settings, "unnamed") else settings


def _agreed(config: TrainConfig, architecture: Architecture, asked: Any, adopted: Any, most: int) -> Any:
    """Return the weights' settings, with slots for all objects; refuse a setting that contradicts them."""
    slots = architecture.slots
    for name in set(config.model_settings) - {slots}:
        if getattr(adopted, name) != getattr(asked, name):
            raise ConfigError(
                f"{config.weights}: {name} is {getattr(adopted, name)!r} in these weights, and "
                f"{getattr(asked, name)!r} was asked for; leave it out of " + Option("model_settings", flag="--set")
            )
    if not slots:
        return adopted
    given = getattr(adopted, slots)
    wanted = getattr(asked, slots) if slots in config.model_settings else given if given >= most else room(most)
    if wanted != given:
        log.info("weights: %s is %d in the file and %d here; more begin with random values", slots, given, wanted)
    return replace(adopted, **{slots: wanted})


def _origin(found: Checkpoint, licence: str) -> dict[str, str]:
    log.info("weights: %s; licence: %s", found.source, licence)
    local = Path(found.source)
    return {"source": local.name if local.exists() else found.source, "licence": licence}


def _instead(kind: object) -> Message | str:
    """Return the option that names the architecture for checkpoints of this ``model_type``."""
    fits = [n for n, a in ROOM.load_all().items() if kind and a.published and a.published.model_type == kind]
    return "use " + Option("model", fits[0]) + "; " if fits else ""


def _loads(name: str, architecture: Architecture) -> str:
    """Say what the architecture can load."""
    known = [w.name for w in architecture.weights]
    if "backbone" in {f.name for f in fields(architecture.config)}:
        known += [] if "timm" in known else ["timm"]
    return f"it can begin from {', '.join([*known, f'a model folder of a {name} that apiece trained'])}"
