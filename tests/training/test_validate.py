"""Validation on images that are too large, and of more objects than COCO counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apiece import ImageRef, Instances, Masks, formats, models
from apiece.datasets.dataset import open_data
from apiece.errors import TrainingError
from apiece.images import write_image
from apiece.models.contract import ModelInput
from apiece.training._validate import Validator


class Full(nn.Module):
    """Says that there is no memory, or another thing."""

    def __init__(self, said: str) -> None:
        super().__init__()
        self.said = said

    def forward(self, images: Tensor) -> Tensor:
        raise RuntimeError(self.said)


def test_memory_that_runs_out_names_the_image(tiny_data: Path) -> None:
    architecture = models.load("embedding")
    data = open_data(tiny_data)["val"]
    validate = Validator(data, architecture, ModelInput(), (False, False), torch.device("cpu"), 0.0)
    for said in ("CUDA out of memory. Tried to allocate", "DefaultCPUAllocator: can't allocate memory"):
        with pytest.raises(TrainingError, match=rf"{data.refs[0].name} of 64 x 64 pixels.*imgsz"):
            validate(Full(said))
    with pytest.raises(RuntimeError, match="shapes"):
        validate(Full("shapes differ"))


def test_all_objects_of_an_image_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.stack(np.meshgrid(np.arange(0, 80, 5), np.arange(0, 50, 5)), -1).reshape(-1, 2)  # 160 objects
    truth = Instances(Masks.from_boxes(np.concatenate([corners, corners + 3], 1), (64, 96)))
    write_image(tmp_path / "a.png", np.zeros((64, 96, 3), np.uint8))
    formats.write([(ImageRef(tmp_path / "a.png", "a.png", (64, 96)), truth)], tmp_path / "val.json")
    (data,) = open_data(tmp_path / "val.json").values()
    validate = Validator(data, models.load("embedding"), ModelInput(), (False,), torch.device("cpu"), 0.0)
    scored = truth.replace(scores=np.linspace(0.9, 0.1, len(truth)))
    monkeypatch.setattr(validate, "_predicted", lambda module, image: scored)
    found = validate(nn.Identity())
    assert found is not None
    assert found.mask_ap == pytest.approx(1)
    assert found.thresholds[0] <= 0.1  # all are right
    assert found.numbers["mask_ar100"] == pytest.approx(100 / 160)
