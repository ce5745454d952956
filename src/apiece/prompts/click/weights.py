"""The head's weights as a file: float16 safetensors, whose header says which encoder they belong to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from apiece._arrays import Array
from apiece._tensors import tensors_of
from apiece.errors import ModelFileError
from apiece.models import model_folder

__all__ = ["KEY", "SHIPPED", "encoder_fingerprint", "encoder_weights", "fingerprint", "head_weights"]

SHIPPED = Path(__file__).parent / "head.safetensors"
"""The weights that come with apiece."""

KEY = "apiece_click"
"""Where the file's metadata say what it is: version, encoder, provenance."""

_VERSION = 1


def encoder_weights() -> bytes:
    """Return the file of the default model's tensors."""
    return (model_folder("default") / "model.safetensors").read_bytes()


def encoder_fingerprint(tensors: Mapping[str, Array]) -> str:
    """Return a digest of a model's encoder and pyramid, which the head's features come from."""
    digest = hashlib.sha256()
    for name, values in sorted(tensors.items()):
        if name.startswith(("encoder.", "neck.")):
            exact = values.astype(np.float32) if values.dtype.kind == "f" else values
            digest.update(name.encode() + exact.tobytes())
    return digest.hexdigest()


def fingerprint() -> str:
    """Return what tells these weights, and the default model's, from others: an embedding depends on both."""
    return hashlib.sha256(SHIPPED.read_bytes() + encoder_weights()).hexdigest()[:16]


def head_weights(path: Path, encoder: Mapping[str, Array]) -> bytes:
    """Return the file of a head that belongs to an encoder.

    Raises
    ------
    ModelFileError
        If the file is missing or damaged, or was trained with another encoder.
    """
    try:
        data = path.read_bytes()
        about = json.loads(tensors_of(data)[1][KEY])
        if about["version"] != _VERSION:
            raise ValueError(f"version {about['version']!r} is not {_VERSION}")
        belongs = about["encoder"]
    except (OSError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(path, f"holds no weights for clicks ({reason}); install apiece afresh") from error
    if belongs != encoder_fingerprint(encoder):
        raise ModelFileError(
            path,
            "belongs to another encoder than the default model here has, whose features mislead it; install apiece "
            "afresh, or train again with recipes/click_weights",
        )
    return data
