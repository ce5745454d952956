"""Parts of transformers (Apache-2.0): its backbones as encoders here, and its checkpoints under its present names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, TypeVar, cast

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoBackbone, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging

from apiece.errors import ConfigError, ModelFileError, UnknownNameError
from apiece.models._kit.blocks import STRIDES, Encoder
from apiece.models.contract import Checkpoint

_Config = TypeVar("_Config", bound=PretrainedConfig)
_Model = TypeVar("_Model", bound=PreTrainedModel)

ENCODERS = ("resnet", "swin", "maskformer-swin")
"""Kinds of the library's backbones that can be encoders."""
# what follows from the rest, or is set here
_DERIVED = {"hidden_size", "model_type", "num_layers", "out_features", "out_indices", "stage_names"}
# what makes the library fetch code, or numbers of another kind: a network's description has no say in that
_ACTING = {
    "_attn_implementation", "_experts_implementation", "attn_implementation", "auto_map", "experts_implementation",
    "quantization_config",
}  # fmt: skip
_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def check_encoder(settings: Mapping[str, Any]) -> None:
    """Refuse settings of a backbone that is not one of `ENCODERS`, and any that it does not have."""
    if not settings:
        return
    kind = settings.get("model_type")
    if kind not in ENCODERS:
        raise ConfigError(f"encoder needs a model_type out of {', '.join(ENCODERS)}; got {kind!r}")
    known = _own_names(CONFIG_MAPPING[kind])
    for name in settings:
        if name not in known | _DERIVED:
            raise UnknownNameError(f"setting of the encoder {kind!r}", name, known)


def _own_names(kind: type[PretrainedConfig]) -> set[str]:
    """Return the settings that a configuration has beyond those of any of the library's: they describe its network."""
    every = {f.name for f in fields(PretrainedConfig)}
    return {f.name for f in fields(kind) if f.name not in every and not f.name.startswith("_")}


def backbone_settings(config: PretrainedConfig) -> dict[str, Any]:
    """Return what describes a backbone's network, as JSON values."""
    own = _own_names(type(config))
    kept = {k: v for k, v in config.to_diff_dict().items() if k in own}
    return dict(json.loads(json.dumps({**kept, "model_type": config.model_type})))


class LibraryBackbone(Encoder):
    """A backbone of transformers: images to features of four stages at strides 4 to 32, finest first.

    ``settings`` are as in its ``config.json``, with ``model_type`` out of `ENCODERS`.
    """

    def __init__(self, settings: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        check_encoder(settings)
        known = {k: v for k, v in settings.items() if k not in _DERIVED}
        try:
            config = CONFIG_MAPPING[settings["model_type"]](
                **{**known, "num_channels": channels, "out_features": _STAGES}
            )
            self.body = AutoBackbone.from_config(config)
        except Exception as error:  # of any type: the library hardly looks at what it is given
            raise ConfigError(f"encoder: transformers cannot build this backbone: {_told(error)}") from error
        self.channels = tuple(int(c) for c in self.body.channels)
        self.strides = STRIDES

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the features of the four stages."""
        return list(self.body(images).feature_maps)


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Draw weights as the papers' own code does: Xavier for linear layers, He for convolutions, biases 0, embeddings
    of unit variance; the norms stay.

    The library draws nearly all weights with a deviation of 0.02, from which a small network hardly begins to learn, as
    its queries are all alike.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
        elif isinstance(part, nn.Conv2d):
            nn.init.kaiming_uniform_(part.weight, a=1)
        elif isinstance(part, nn.Embedding):
            nn.init.normal_(part.weight)
        else:
            continue
        bias = getattr(part, "bias", None)
        if isinstance(bias, Tensor):
            nn.init.zeros_(bias)


def library_config(kind: type[_Config], checkpoint: Checkpoint, **changes: Any) -> _Config:
    """Return what a checkpoint's ``config.json`` describes, as the library's configuration of this ``kind``.

    A checkpoint of another kind is refused.
    """
    found = checkpoint.settings.get("model_type")
    if found != kind.model_type:
        raise ConfigError(
            f"{checkpoint.source}: needs to be a checkpoint of model_type {kind.model_type!r}, got {found!r}"
        )
    with _blamed_on(checkpoint):
        return cast("_Config", kind.from_dict({**_description(checkpoint.settings), **changes}))


def check_fixed(checkpoint: Checkpoint, found: object, wanted: Mapping[str, Any]) -> None:
    """Refuse a checkpoint in whose configuration ``found`` a setting differs that has no counterpart here."""
    for name, value in wanted.items():
        own = getattr(found, name, None)
        if (list(own) if isinstance(own, tuple) else own) != value:
            raise ConfigError(f"{checkpoint.source}: {name} is {own!r}; only {value!r} is supported")


def renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors with the first prefix in ``names`` that fits replaced; tensors with none are left out."""
    found = {}
    for name, tensor in tensors.items():
        theirs = next((prefix for prefix in names if name.startswith(prefix)), None)
        if theirs is not None:
            found[names[theirs] + name.removeprefix(theirs)] = tensor
    return found


def _description(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings, and those inside them, without those that make the library act."""
    kept = {k: v for k, v in settings.items() if k not in _ACTING}
    return {k: _description(v) if isinstance(v, Mapping) else v for k, v in kept.items()}


@contextmanager
def _blamed_on(checkpoint: Checkpoint) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # of any type, as above
        raise ModelFileError(
            checkpoint.source, f"its config.json describes no network: {_told(error)}; fetch it afresh"
        ) from error


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def library_tensors(kind: type[PreTrainedModel], config: PretrainedConfig, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint under the installed library's names; see `library_model`."""
    return dict(library_model(kind, config, checkpoint).state_dict())


def checkpoint_model(kind: type[_Model], config: type[PretrainedConfig], checkpoint: Checkpoint) -> _Model:
    """Return the library's model that a checkpoint's ``config.json`` describes, with its tensors.

    ``kind`` and ``config`` are the library's classes of the model and its configuration; see `library_model`.
    """
    return library_model(kind, library_config(config, checkpoint), checkpoint)


def library_model(kind: type[_Model], config: PretrainedConfig, checkpoint: Checkpoint) -> _Model:
    """Return the library's model with the tensors of a checkpoint; older names of tensors are understood.

    ``kind`` is the library's model that the checkpoint was made with, ``config`` its configuration. Tensors that are
    missing or of another shape are a `ModelFileError` that names them.
    """
    with torch.random.fork_rng(devices=[]), _quiet(), _blamed_on(checkpoint):
        model, found = kind.from_pretrained(
            None,
            config=config,
            state_dict=dict(checkpoint.tensors),
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    # a backbone inside a model names the weights that it has and never uses, but only the whole model is asked
    idle = [p for m in model.modules() for p in getattr(m, "_keys_to_ignore_on_load_missing", None) or ()]
    missing = {name for name in found["missing_keys"] if not any(re.search(p, name) for p in idle)}
    wrong = sorted([*missing, *(str(k[0]) for k in found["mismatched_keys"])])
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        raise ModelFileError(
            checkpoint.source,
            f"does not hold what its config.json says: {', '.join(wrong[:5])}{more} missing or of another shape "
            f"(read by transformers {transformers.__version__}); fetch it afresh",
        )
    return cast("_Model", model)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the library's progress bar and warnings: what is wrong is raised."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
