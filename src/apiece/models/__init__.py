"""Architectures, one a file, and model folders: what a network is, and how it is saved, loaded and begun from weights.

What needs torch is imported on first use: `names` does not, `load` and `describe` do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apiece._lazy import lazy
from apiece.models.contract import ROOM, Architecture, Checkpoint, DecodeOptions, Frame, ModelInput, Published, Targets

if TYPE_CHECKING:
    from apiece.models._decode import decoder_names
    from apiece.models._engine.card import (
        DEFAULT,
        Card,
        ExportedModel,
        Graph,
        exported_model,
        model_folder,
        save_exported,
        save_thresholds,
        shipped_graph,
    )
    from apiece.models._engine.filled import filled
    from apiece.models._engine.folder import LoadedModel, load_model, save_model
    from apiece.models._engine.graphs import OnnxGraph, OpenCvGraph, OpenGraph, open_graph, threads
    from apiece.models._engine.named import check_model, named_architecture
    from apiece.models._engine.published import open_model, published_model, save_published
    from apiece.models._kit.arrays import as_array, images_of
    from apiece.models._kit.click_head import ClickHead, click_features
    from apiece.models._kit.fill import dependent, fill, has_place
    from apiece.models._kit.shapes import shapes_only
    from apiece.models._kit.timm_backbone import backbone_checkpoint, is_backbone
    from apiece.models._kit.transformers_parts import checkpoint_model
    from apiece.models._kit.weights import OWN, UNKNOWN_LICENCE, licence_of, open_checkpoint, timm_name

__all__ = [
    "DEFAULT",
    "OWN",
    "UNKNOWN_LICENCE",
    "Architecture",
    "Card",
    "Checkpoint",
    "ClickHead",
    "DecodeOptions",
    "ExportedModel",
    "Frame",
    "Graph",
    "LoadedModel",
    "ModelInput",
    "OnnxGraph",
    "OpenCvGraph",
    "OpenGraph",
    "Published",
    "Targets",
    "as_array",
    "backbone_checkpoint",
    "check_model",
    "checkpoint_model",
    "click_features",
    "decoder_names",
    "dependent",
    "describe",
    "exported_model",
    "fill",
    "filled",
    "has_place",
    "images_of",
    "is_backbone",
    "licence_of",
    "load",
    "load_model",
    "model_folder",
    "named_architecture",
    "names",
    "open_checkpoint",
    "open_graph",
    "open_model",
    "published_model",
    "save_exported",
    "save_model",
    "save_published",
    "save_thresholds",
    "shapes_only",
    "shipped_graph",
    "threads",
    "timm_name",
]

names, load, describe = ROOM.names, ROOM.load, ROOM.describe

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "apiece.models._decode": "decoder_names",
            "apiece.models._engine.card": "DEFAULT Card ExportedModel Graph exported_model model_folder save_exported "
            "save_thresholds shipped_graph",
            "apiece.models._engine.filled": "filled",
            "apiece.models._engine.folder": "LoadedModel load_model save_model",
            "apiece.models._engine.graphs": "OnnxGraph OpenCvGraph OpenGraph open_graph threads",
            "apiece.models._engine.named": "check_model named_architecture",
            "apiece.models._engine.published": "open_model published_model save_published",
            "apiece.models._kit.arrays": "as_array images_of",
            "apiece.models._kit.shapes": "shapes_only",
            "apiece.models._kit.timm_backbone": "backbone_checkpoint is_backbone",
            "apiece.models._kit.transformers_parts": "checkpoint_model",
            "apiece.models._kit.click_head": "ClickHead click_features",
            "apiece.models._kit.fill": "dependent fill has_place",
            "apiece.models._kit.weights": "OWN UNKNOWN_LICENCE licence_of open_checkpoint timm_name",
        },
    )
