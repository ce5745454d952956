"""Parts of transformers (Apache-2.0): its backbones as encoders here, and its checkpoints under its present names."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoBackbone, PretrainedConfig, PreTrainedModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.utils import logging

from apiece.errors import ConfigError, ModelFileError
from apiece.models._base import Checkpoint
from apiece.models._layers.backbone import build_backbone

__all__ = [
    "ENCODERS",
    "STRIDES",
    "LibraryBackbone",
    "backbone_settings",
    "check_encoder",
    "four_stages",
    "initialise",
    "library_tensors",
]

ENCODERS = ("resnet", "swin", "maskformer-swin")
"""Kinds of the library's backbones that can be encoders."""
STRIDES = (4, 8, 16, 32)
"""Of the features that the models here take."""
# what the library writes that says nothing of the shape
_IDLE = {"architectures", "dtype", "id2label", "label2id", "torch_dtype", "transformers_version", "_name_or_path"}
_STAGES = ["stage1", "stage2", "stage3", "stage4"]


def check_encoder(settings: Mapping[str, Any]) -> None:
    """Refuse settings of a backbone that is not one of `ENCODERS`.

    Raises
    ------
    ConfigError
    """
    if settings and settings.get("model_type") not in ENCODERS:
        kinds = ", ".join(ENCODERS)
        raise ConfigError(f"encoder needs a model_type out of {kinds}; got {settings.get('model_type')!r}")


def backbone_settings(config: PretrainedConfig) -> dict[str, Any]:
    """What of a backbone's configuration is not the library's default, as JSON values."""
    kept = {k: v for k, v in config.to_diff_dict().items() if k not in _IDLE}
    return dict(json.loads(json.dumps({**kept, "model_type": config.model_type})))


class LibraryBackbone(nn.Module):
    """A backbone of transformers: images to features of four stages at strides 4 to 32, finest first.

    Parameters
    ----------
    settings : as in its ``config.json``, with ``model_type`` out of `ENCODERS`.
    channels : input channels.

    Raises
    ------
    ConfigError
        if the library cannot build it.
    """

    def __init__(self, settings: Mapping[str, Any], channels: int) -> None:
        super().__init__()
        check_encoder(settings)
        known = {k: v for k, v in settings.items() if k not in ("model_type", "out_indices", "stage_names")}
        try:
            config = CONFIG_MAPPING[settings["model_type"]](
                **{**known, "num_channels": channels, "out_features": _STAGES}
            )
            self.body = AutoBackbone.from_config(config)
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"encoder: transformers cannot build this backbone: {error}") from error
        self.channels = tuple(int(c) for c in self.body.channels)
        self.strides = STRIDES

    def forward(self, images: Tensor) -> list[Tensor]:
        return list(self.body(images).feature_maps)


def four_stages(
    encoder: Mapping[str, Any], backbone: str, channels: int, weights: str, norm: str
) -> tuple[nn.Module, list[int], list[int]]:
    """The encoder of a model that may have one of the library's: of ``encoder`` if it says anything, else `backbone`'s.

    Returns
    -------
    the encoder; which of its features lie at strides 4, 8, 16 and 32; and their channels.

    Raises
    ------
    ConfigError
        if it has not all of them.
    """
    built = LibraryBackbone(encoder, channels) if encoder else build_backbone(backbone, channels, weights, norm=norm)
    levels = [i for i, s in enumerate(built.strides) if s in STRIDES]
    if len(levels) != len(STRIDES):
        raise ConfigError(f"features at strides 4 to 32 are needed; backbone {backbone!r} has {built.strides}")
    return built, levels, [built.channels[i] for i in levels]


@torch.no_grad()
def initialise(module: nn.Module) -> None:
    """Weights as the papers' own code draws them: Xavier for linear layers, He for convolutions, biases 0, embeddings
    of unit variance; the norms stay. The library draws nearly all of them with a deviation of 0.02, from which a small
    network hardly begins to learn, as queries are all alike."""
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


def library_tensors(kind: type[PreTrainedModel], config: PretrainedConfig, checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The tensors of a checkpoint under the names that the installed library gives them; older names are understood.

    Parameters
    ----------
    kind : the library's model that the checkpoint was made with, and ``config`` its configuration.

    Raises
    ------
    ModelFileError
        naming what is missing or of another shape.
    """
    with torch.random.fork_rng(devices=[]), _quiet():
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
    return dict(model.state_dict())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the library's progress bar and warnings: what is wrong is raised."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
