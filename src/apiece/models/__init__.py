"""Architectures, one a file, and model folders: what a network is, and how it is saved, loaded and begun from weights.

Names are imported on first use: listing the architectures needs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece import _plugins
from apiece._lazy import lazy

if TYPE_CHECKING:
    from apiece.models._engine.folder import LoadedModel, load_model, save_model, save_thresholds
    from apiece.models._kit.backbone import backbone_checkpoint, is_backbone
    from apiece.models._kit.weights import (
        OWN,
        UNKNOWN_LICENCE,
        dependent,
        fill,
        licence_of,
        open_checkpoint,
        timm_name,
    )
    from apiece.models.contract import Architecture, Checkpoint, DecodeOptions, Frame, ModelInput, Targets

__all__ = [
    "OWN",
    "UNKNOWN_LICENCE",
    "Architecture",
    "Checkpoint",
    "DecodeOptions",
    "Frame",
    "LoadedModel",
    "ModelInput",
    "Targets",
    "backbone_checkpoint",
    "dependent",
    "fill",
    "is_backbone",
    "licence_of",
    "load",
    "load_model",
    "names",
    "open_checkpoint",
    "save_model",
    "save_thresholds",
    "timm_name",
]


def names() -> tuple[str, ...]:
    """Return the names of all architectures."""
    return _plugins.names(__name__)


def load(name: str) -> Architecture:
    """Return the architecture of this name.

    Raises
    ------
    UnknownNameError
        naming the nearest right one.
    """
    found: Architecture = _plugins.load(__name__, name).ARCHITECTURE
    return found


if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(
                ("LoadedModel", "load_model", "save_model", "save_thresholds"), "apiece.models._engine.folder"
            ),
            **dict.fromkeys(("backbone_checkpoint", "is_backbone"), "apiece.models._kit.backbone"),
            **dict.fromkeys(
                ("OWN", "UNKNOWN_LICENCE", "dependent", "fill", "licence_of", "open_checkpoint", "timm_name"),
                "apiece.models._kit.weights",
            ),
            **dict.fromkeys(
                ("Architecture", "Checkpoint", "DecodeOptions", "Frame", "ModelInput", "Targets"),
                "apiece.models.contract",
            ),
        },
    )
