"""A model folder of the smallest kind, and an architecture whose answers are known beforehand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apiece import _plugins
from apiece.core.instances import Instances
from apiece.core.masks import Masks
from apiece.models._engine.folder import save_model
from apiece.models.contract import Architecture, DecodeOptions, Frame, ModelInput
from apiece.predict import Model, load


@dataclasses.dataclass(frozen=True)
class Settings:
    """None."""


class Blobs(nn.Module):
    """Passes the image on; counts what it was given, so that tests can see batches."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.shapes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        return images * self.scale


def decode(
    outputs: Tensor, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
) -> list[Instances]:
    """Every distinct value of the image is an instance: class by its parity, score by its rank. 1 covers all of it."""
    found = []
    for values, frame in zip(outputs.numpy(), frames, strict=True):
        height, width = frame.input_size
        label_map = np.rint(values[0, :height, :width] * 255).astype(np.int64)
        masks = Masks.from_label_map(label_map)
        if (label_map == 1).any():
            masks = Masks.concatenate([masks, Masks.from_boxes(np.array([[0.0, 0, width, height]]), frame.size)])
        labels = np.arange(len(masks)) % len(classes)
        scores = np.maximum(0.9 - 0.1 * np.arange(len(masks)), 0)
        keep = (scores >= options.threshold(labels)).nonzero()[0]
        found.append(Instances(masks[keep], labels[keep], classes, scores[keep]))
    return found


def _unused(*_: Any) -> Any:
    raise AssertionError("not called in prediction")


def _build(*_: Any) -> Blobs:
    return Blobs()


ARCHITECTURE = Architecture("a test", "bottom-up", Settings, _build, _unused, _unused, decode, stride=8)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder of the architecture above."""
    monkeypatch.setitem(
        _plugins.foreign("apiece.models"), "blobs", EntryPoint("blobs", f"{__name__}:ARCHITECTURE", "apiece.models")
    )
    path = tmp_path_factory.mktemp("model")
    spec = ModelInput(1, "range", mean=(0,), std=(1,))
    save_model(path, Blobs(), architecture="blobs", config=Settings(), input=spec, classes=("bolt", "nut"),
               thresholds=(0.75, 0.1))  # fmt: skip
    return path


@pytest.fixture
def model(folder: Path) -> Model:
    """That model, loaded."""
    return load(folder, "cpu")


@pytest.fixture
def picture() -> np.ndarray:
    """A 12 x 20 image with three blobs: values 50, 100 and 150."""
    pixels = np.zeros((12, 20), np.uint8)
    pixels[1:4, 2:6] = 50
    pixels[5:9, 8:12] = 100
    pixels[10:12, 15:20] = 150
    return pixels
