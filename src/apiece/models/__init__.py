"""Architectures, one a file, and model folders: what a network is, and how it is saved, loaded and begun from weights.

What needs torch is imported on first use: `names` does not, `load` and `describe` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy
from apiece.models.contract import ROOM, Architecture, Checkpoint, DecodeOptions, Frame, ModelInput, Published, Targets

if TYPE_CHECKING:
    from apiece.models._engine.folder import (
        DEFAULT,
        LoadedModel,
        load_model,
        model_folder,
        save_model,
        save_thresholds,
    )
    from apiece.models._engine.published import open_model, published_model, save_published
    from apiece.models._kit.backbone import backbone_checkpoint, is_backbone
    from apiece.models._kit.fill import dependent, fill
    from apiece.models._kit.transformers_parts import checkpoint_model
    from apiece.models._kit.weights import OWN, UNKNOWN_LICENCE, licence_of, open_checkpoint, timm_name

__all__ = [
    "DEFAULT",
    "OWN",
    "UNKNOWN_LICENCE",
    "Architecture",
    "Checkpoint",
    "DecodeOptions",
    "Frame",
    "LoadedModel",
    "ModelInput",
    "Published",
    "Targets",
    "backbone_checkpoint",
    "checkpoint_model",
    "dependent",
    "describe",
    "fill",
    "is_backbone",
    "licence_of",
    "load",
    "load_model",
    "model_folder",
    "names",
    "open_checkpoint",
    "open_model",
    "published_model",
    "save_model",
    "save_published",
    "save_thresholds",
    "timm_name",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.models._engine.folder": "DEFAULT LoadedModel load_model model_folder save_model save_thresholds",
            "apiece.models._engine.published": "open_model published_model save_published",
            "apiece.models._kit.backbone": "backbone_checkpoint is_backbone",
            "apiece.models._kit.transformers_parts": "checkpoint_model",
            "apiece.models._kit.fill": "dependent fill",
            "apiece.models._kit.weights": "OWN UNKNOWN_LICENCE licence_of open_checkpoint timm_name",
        },
    )
