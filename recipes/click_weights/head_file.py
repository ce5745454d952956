"""Reads and writes the file of a head while it is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from apiece._atomic import atomic
from apiece.models import ClickHead
from apiece.prompts.click.weights import KEY, encoder_fingerprint


def save_head(path: Path, head: nn.Module, swift: nn.Module, provenance: Mapping[str, Any]) -> None:
    """Write a head as float16, with the fingerprint of the encoder that it was trained with; whole, or not at all."""
    tensors = {
        name: tensor.detach().cpu().contiguous().to(torch.float16 if tensor.ndim > 1 else tensor.dtype)
        for name, tensor in head.state_dict().items()
    }
    encoder = encoder_fingerprint({name: tensor.cpu().numpy() for name, tensor in swift.state_dict().items()})
    about = {"version": 1, "encoder": encoder, "provenance": dict(provenance)}
    with atomic(path) as draft:
        save_file(tensors, draft, {KEY: json.dumps(about)})


def fill_head(head: ClickHead, path: Path) -> None:
    """Put the weights of a file into a head."""
    head.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()}, strict=True)
