"""The networks behind clicks, as graphs: torch is not needed, and not waited for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apiece._arrays import Array, Float32
from apiece._tensors import tensors_of
from apiece.models import ExportedModel, filled, open_graph, shipped_graph
from apiece.prompts.click.weights import SHIPPED, encoder_weights, head_weights

__all__ = ["LEVELS", "SIDE", "Networks"]

SIDE = 256
"""Pixels along a side of what the encoder looks at."""

LEVELS = tuple(f"level{k}" for k in range(5))
"""Features at strides 2 to 32, by the names that the graphs give them."""


class Networks:
    """Compute what the default model finds, what its encoder sees in a look, and what was meant by clicks.

    Attributes
    ----------
    model : the default model.
    """

    def __init__(self) -> None:
        self.model: ExportedModel = shipped_graph()
        tensors = encoder_weights()
        head = head_weights(SHIPPED, tensors_of(tensors)[0])
        (graph,) = self.model.files.values()
        self._everything = open_graph(graph)
        self._features = open_graph(filled(_graph("features"), tensors))
        self._head = open_graph(filled(_graph("head"), head))

    def everything(self, images: Float32) -> dict[str, Array]:
        """Return the default model's raw outputs of images (B, C, H, W)."""
        return self._everything({"images": images})

    def features(self, images: Float32) -> list[Float32]:
        """Return what the head looks at of an image (1, C, `SIDE`, `SIDE`)."""
        found = self._features({"images": images})
        return [found[name] for name in LEVELS]

    def logits(self, levels: Sequence[Float32], maps: Float32) -> Float32:
        """Return the logits (H, W) of the one object that maps (M, H, W) ask for."""
        asked = dict(zip(LEVELS, levels, strict=True)) | {"maps": maps[None]}
        return np.asarray(self._head(asked)["logits"])[0]


def _graph(name: str) -> bytes:
    return (Path(__file__).parent / f"{name}.onnx").read_bytes()
