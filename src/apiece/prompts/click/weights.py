"""The head's weights as a file: float16 safetensors, whose header says which encoder they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from apiece._atomic import atomic
from apiece.errors import ModelFileError
from apiece.models import ClickHead, model_folder

__all__ = ["SHIPPED", "encoder_fingerprint", "fill_head", "fingerprint", "load_head", "save_head"]

SHIPPED = Path(__file__).parent / "head.safetensors"
"""The weights that come with apiece."""

_KEY = "apiece_click"
_VERSION = 1
_AGAIN = "install apiece afresh, or train again with recipes/click_weights/train.py"


def encoder_fingerprint(swift: nn.Module) -> str:
    """Return a digest of the weights of the model's encoder and pyramid, which the head's features come from."""
    digest = hashlib.sha256()
    for name, tensor in sorted(swift.state_dict().items()):
        if name.startswith(("encoder.", "neck.")):
            digest.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def fingerprint() -> str:
    """Return what tells these weights, and the default model's, from others: an embedding depends on both."""
    digest = hashlib.sha256(SHIPPED.read_bytes())
    for file in sorted(model_folder("default").glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def save_head(path: Path, head: nn.Module, swift: nn.Module, provenance: Mapping[str, Any]) -> None:
    """Write a head as float16, with the fingerprint of the encoder that it was trained with; whole, or not at all."""
    tensors = {
        name: tensor.detach().cpu().contiguous().to(torch.float16 if tensor.ndim > 1 else tensor.dtype)
        for name, tensor in head.state_dict().items()
    }
    about = {"version": _VERSION, "encoder": encoder_fingerprint(swift), "provenance": dict(provenance)}
    with atomic(path) as draft:
        save_file(tensors, draft, {_KEY: json.dumps(about)})


def load_head(path: Path, swift: nn.Module) -> ClickHead:
    """Return a head that belongs to the encoder of a model, ready to answer.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or was trained with another encoder.
    """
    head = ClickHead()
    belongs = fill_head(head, path)
    if belongs != encoder_fingerprint(swift):
        raise ModelFileError(
            path,
            f"belongs to another encoder than the default model here has, whose features mislead it; {_AGAIN}",
        )
    return head.eval().requires_grad_(False)


def fill_head(head: ClickHead, path: Path) -> str:
    """Put the weights of a file into a head; return the fingerprint of the encoder that they were trained with."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118  # it is no mapping
        if about["version"] != _VERSION:
            raise ValueError(f"version {about['version']!r} is not {_VERSION}")
        head.load_state_dict(tensors, strict=True)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(path, f"holds no weights for clicks ({reason}); {_AGAIN}") from error
    return str(about["encoder"])
