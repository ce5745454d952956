"""What a name or a path that stands for a model says before torch is needed."""

from __future__ import annotations

from pathlib import Path

from apiece.errors import ModelFileError
from apiece.models._engine.card import JSON_NAME, TENSORS_NAME, model_folder, read_json
from apiece.models.contract import is_name

_WEIGHTS = (".safetensors", ".pth", ".pt")
"""Endings of published weights in one file."""


def named_architecture(model: Path | str) -> str | None:
    """Return the architecture that a model folder names, not checked; None where there is no folder."""
    folder = model_folder(model)
    content = read_json(folder) if (folder / JSON_NAME).is_file() else None
    return content.get("architecture") if isinstance(content, dict) else None


def check_model(spec: Path | str) -> None:
    """Check that a name or a path may be a model, before torch is needed.

    Raises
    ------
    ModelFileError
        if there is no such file or folder, or it holds no model; names a model in a folder of it.
    """
    path = model_folder(spec)
    if is_name(spec) or (":" in str(spec) and not path.exists()):
        return  # published weights, or a name that is none of them
    what = f"; a model is a folder with {JSON_NAME} and {TENSORS_NAME}"
    if not path.exists():
        raise ModelFileError(path, f"does not exist{what}")
    if path.is_file():
        if path.suffix not in _WEIGHTS:
            raise ModelFileError(path, f"is a file without weights{what}")
    elif not any((path / name).exists() for name in (JSON_NAME, "config.json")):
        near = sorted(found.parent for found in path.glob(f"*/{JSON_NAME}"))
        raise ModelFileError(path, f"holds no {JSON_NAME}" + (f"; did you mean {near[0]}?" if near else what))
