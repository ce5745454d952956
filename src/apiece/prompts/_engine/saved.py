"""Embeddings as files: what was computed once for a folder of images is not computed again.

A file is NumPy's .npz, without pickles: the arrays, and which backend, weights and image they are of. Its name is made
of the same three, so that a renamed photo is found again, and a photo that has changed is embedded anew.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from apiece._atomic import atomic
from apiece.core.image import Image
from apiece.errors import ModelFileError
from apiece.prompts._engine.opened import Opened
from apiece.prompts.contract import Embedding

__all__ = ["load_embedding", "save_embedding"]

_KEY = "apiece_embedding"


def _header(image: Image, opened: Opened) -> dict[str, Any]:
    pixels = np.ascontiguousarray(image.pixels)
    digest = hashlib.sha256(f"{pixels.shape} {pixels.dtype} {image.alpha}".encode())
    digest.update(pixels.data)
    return {"version": 1, "backend": opened.name, "weights": opened.weights, "image": digest.hexdigest()}


def _path(folder: Path, header: Mapping[str, Any]) -> Path:
    """Return the name for an image and what embedded it: another image, or other weights, have another."""
    by = hashlib.sha256(f"{header['version']} {header['backend']} {header['weights']}".encode())
    return folder / f"{header['image'][:16]}-{header['backend']}-{by.hexdigest()[:8]}.npz"


def save_embedding(folder: Path, embedding: Embedding, image: Image, opened: Opened) -> Path:
    """Write the embedding of an image into ``folder`` and return its path; the file is whole, or not there."""
    header = _header(image, opened)
    path = _path(folder, header)
    arrays: dict[str, Any] = {**embedding.arrays, _KEY: np.array(json.dumps(header))}
    with atomic(path) as draft, draft.open("wb") as file:
        np.savez(file, **arrays)
    return path


def load_embedding(folder: Path, image: Image, opened: Opened) -> Embedding | None:
    """Return the embedding of this image by this backend and these weights; None where ``folder`` has none.

    Raises
    ------
    ModelFileError
        If the file is damaged, or holds another embedding.
    """
    header = _header(image, opened)
    path = _path(folder, header)
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        found = json.loads(str(arrays.pop(_KEY)))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFileError(path, f"is no whole embedding ({error}); delete it") from error
    if found != header:
        raise ModelFileError(path, "is the embedding of something else; delete it")
    return Embedding(image.size, arrays)
