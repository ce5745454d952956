"""Validation on images that are too large."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from apiece import models
from apiece.datasets.dataset import open_data
from apiece.errors import TrainingError
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
