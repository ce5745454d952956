"""A tiny data set and the settings of a training that takes seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from apiece.datasets.synthetic import SceneConfig, write_dataset


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten 64 px scenes of two classes to train on, three to validate on."""
    folder = tmp_path_factory.mktemp("tiny")
    config = SceneConfig(size=(64, 64), objects=(2, 4), classes=("washer", "pill"), radius=(8.0, 14.0))
    write_dataset(folder, train=10, val=3, config=config)
    return folder


@pytest.fixture
def tiny(tiny_data: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings: four steps of four crops with a network of a few thousand weights, on the CPU, in one process."""
    return {
        "data": tiny_data,
        "model": "embedding",
        "out": tmp_path / "run",
        "epochs": 1.6,
        "crop": 64,
        "batch": 4,
        "workers": 0,
        "device": "cpu",
        "precision": "32",
        "model_settings": {"widths": [8, 16]},
    }
