"""Model folders and settings files that the first version wrote still load and give the same instances.

The texts are that version's own (commit f31b982). The weights are not shipped: a formula gives their values.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

import apiece
from apiece import _strict_json as typed_json
from apiece import models
from apiece.models import load_model
from apiece.training import TrainConfig

MODEL_JSON = """{
  "version": 1,
  "architecture": "embedding",
  "config": {
    "backbone": "unet", "widths": [8, 16], "weights": "none", "norm": "batch", "dropout": 0.0, "window": 2304,
    "class_weights": []
  },
  "input": {"channels": 1, "normalise": "percentile", "mean": [0.0], "std": [1.0], "imgsz": null},
  "classes": ["washer", "pill"],
  "thresholds": {"washer": 0.58, "pill": 0.517},
  "one_piece": ["pill"],
  "provenance": {
    "data": "data", "data_fingerprint": "31f76dd5998a3971", "seed": 0, "step": 16, "seconds": 2.3,
    "versions": {"apiece": "0.1.0", "torch": "2.15.0", "python": "3.11.7"},
    "settings": {"model": "embedding", "weights": null, "epochs": 4, "model_settings": {"widths": [8, 16]}}
  },
  "metrics": {"mask_ap": 0.25, "mask_ap_medium": -1.0},
  "tensors": {"sha256": "SHA256", "bytes": BYTES}
}
"""
# what that version found with this folder in `picture`
LABELS, AREAS, SCORES = [0, 0, 0, 0, 1, 1], [59, 48, 109, 111, 2, 51], [0.636, 0.632, 0.614, 0.604, 0.531, 0.523]
CONVOLUTIONS = {
    "encoder.stem.0": (8, 1, 5), "encoder.levels.0.first.0": (8, 8, 3), "encoder.levels.0.second.0": (8, 8, 3),
    "encoder.levels.1.first.0": (16, 8, 3), "encoder.levels.1.second.0": (16, 16, 3),
    "encoder.levels.1.shortcut": (16, 8, 1), "decoder.merge.0.0": (8, 24, 3), "decoder.refine.0": (8, 8, 3),
    "head": (28, 8, 1),
}  # fmt: skip
CONFIG_YAML = """data: parts/data
model: swift
weights: null
out: runs/swift
epochs: 4
max_time: null
imgsz: null
crop: 96
batch: 4
accumulate: 1
lr: 0.002
warmup: 100
weight_decay: 0.02
dropout: null
ema: 0.998
precision: '32'
balance: none
clip: 5.0
patience: null
seed: 0
workers: 0
device: cpu
skip_bad: false
cache: 2.0
augment: 1.0
upright: null
one_piece: null
val_every: null
save_every: 120.0
resume: false
overwrite: false
model_settings:
  size: s
"""
_BACKBONE = '"backbone": "resnet10t", "weights": "none", "norm": "batch"'
_QUERIES = (
    '"encoder": {}, "queries": 100, "width": 64, "mask_width": 64, "hidden": 128, "heads": 4, "layers": 3, '
    '"feedforward": 512, "points": 512, "none_weight": 0.1'
)
_BOXES = (
    '"width": 96, "hidden": 512, "mask_layers": 3, "anchors": [[8.0, 14.0], [24.0, 40.0], [64.0, 104.0], '
    '[168.0, 280.0]], "aspects": [0.5, 1.0, 2.0], "scale": 64.0, "pool_samples": 1, "proposals": 2000, '
    '"samples": 128, "conf": 0.05, "iou": 0.6'
)
DEFAULTS = {
    "detr_mask": f'{_BACKBONE}, "stride": 16, "width": 128, "heads": 8, "encoder_layers": 2, "decoder_layers": 3, '
    '"feedforward": 512, "queries": 100',
    "embedding": '"backbone": "unet", "widths": [32, 64, 128, 192, 192], "weights": "none", "norm": "batch", '
    '"window": 2304',
    "mask2former": f'{_BACKBONE}, {_QUERIES}, "pixel_layers": 2, "pixel_feedforward": 256',
    "mask_rcnn": f"{_BACKBONE}, {_BOXES}",
    "maskformer": f'{_BACKBONE}, {_QUERIES}, "activation": "relu"',
    "panoptic_fpn": f'{_BACKBONE}, {_BOXES}, "stuff": [], "semantic_width": 64, "semantic_weight": 0.5, '
    '"remain": 0.5, "smallest": 4096',
    "rf_detr": '"patch": 8, "windows": 2, "grid": 32, "width": 192, "depth": 6, "heads": 3, "taps": [2, 4, 6], '
    '"hidden": 128, "blocks": 3, "layers": 3, "self_heads": 4, "cross_heads": 8, "points": 4, "feedforward": 512, '
    '"mask_feedforward": 512, "queries": 100, "groups": 2',
    "semantic": f'{_BACKBONE}, "head": "unet", "smallest": 16',
    "solov2": f'{_BACKBONE}, "width": 96, "depth": 2, "mask_width": 64, "features": 32, "cell": 4, "cells": 3, '
    '"samples": 324, "outside": 32, "candidates": 2000',
    "swift": '"size": "m", "backbone": "plain", "weights": "none", "norm": "batch", "mask_stride": 2, '
    '"prototypes": 32, "learn": 3, "window": 784',
    "yolact": f'{_BACKBONE}, "width": 96, "prototypes": 32, "anchors": [[8.0, 12.0], [16.0, 24.0], [32.0, 48.0], '
    '[64.0, 96.0], [128.0, 192.0], [256.0, 400.0]], "aspects": [0.5, 1.0, 2.0], "background": 0.4, '
    '"foreground": 0.5, "learn": 4, "window": 784',
}


def tensors() -> dict[str, Tensor]:
    """The tensors of that folder: convolutions of waves, and norms behind all but two of them."""
    found: dict[str, Tensor] = {}
    for k, (name, (outputs, inputs, side)) in enumerate(CONVOLUTIONS.items()):
        wave = np.sin(0.7 * np.arange(outputs * inputs * side * side) + k).reshape(outputs, inputs, side, side)
        found[f"{name}.weight"] = torch.from_numpy(wave.astype(np.float32) / np.float32((inputs * side * side) ** 0.5))
        if name.endswith("0"):
            norm = f"{name[:-1]}1"
            found |= {f"{norm}.{kind}": torch.ones(outputs) for kind in ("weight", "running_var")}
            found |= {f"{norm}.{kind}": torch.zeros(outputs) for kind in ("bias", "running_mean")}
            found[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return {**found, "head.bias": torch.linspace(-1, 1, 28)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder, as the first version wrote it."""
    data = safetensors.torch.save(tensors())
    (tmp_path / "model.safetensors").write_bytes(data)
    text = MODEL_JSON.replace("SHA256", hashlib.sha256(data).hexdigest()).replace("BYTES", str(len(data)))
    (tmp_path / "model.json").write_text(text, encoding="utf-8")
    return tmp_path


def picture() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Three discs on a dark ground."""
    y, x = np.mgrid[:48, :64]
    discs = [(x - a) ** 2 + (y - b) ** 2 < r * r for a, b, r in ((14, 16, 9), (40, 12, 7), (44, 34, 11))]
    return np.where(np.any(discs, axis=0), 200, 30).astype(np.uint8)


def test_a_model_folder_gives_the_same_instances(folder: Path) -> None:
    found = apiece.load(folder, "cpu").predict(picture())
    assert found.classes == ("washer", "pill")
    assert found.labels.tolist() == LABELS
    assert found.masks.area == pytest.approx(AREAS, abs=2)
    assert found.scores == pytest.approx(SCORES, abs=2e-3)


def test_a_model_folder_keeps_what_it_says(folder: Path) -> None:
    model = load_model(folder)
    assert (model.name, model.classes, model.thresholds) == ("embedding", ("washer", "pill"), (0.58, 0.517))
    assert model.one_piece == (False, True)
    assert model.provenance["settings"]["model_settings"] == {"widths": [8, 16]}
    assert model.metrics == {"mask_ap": 0.25, "mask_ap_medium": -1.0}
    assert all(torch.equal(value, tensors()[name]) for name, value in model.module.state_dict().items())


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_settings_of_every_architecture_are_those_of_the_first_version(name: str) -> None:
    config = models.load(name).config
    text = f'{{{DEFAULTS[name]}, "dropout": 0.0, "class_weights": []}}'
    assert typed_json.dataclass_from(config, json.loads(text), "config") == config()


def test_a_settings_file_still_loads(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG_YAML, encoding="utf-8")
    config = TrainConfig.from_yaml(path)
    assert (config.data, config.folder) == (Path("parts/data"), Path("runs/swift"))
    assert (config.epochs, config.crop, config.batch, config.lr, config.precision) == (4, 96, 4, 0.002, "32")
    assert config.model_settings == {"size": "s"}
    lines = config.to_yaml().splitlines()
    assert [line for line in CONFIG_YAML.splitlines() if line not in lines] == []
