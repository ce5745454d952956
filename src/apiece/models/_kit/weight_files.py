"""Files of weights, read without trust: safetensors, ``.pth`` of tensors alone, folders as transformers writes them.

Only numbers are read: safetensors and JSON, and ``.pth`` through torch's reader that runs no code.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from safetensors import SafetensorError
from torch import Tensor

from apiece import _strict_json as typed_json
from apiece._strict_json import StrictError
from apiece.errors import ModelFileError
from apiece.models.contract import Checkpoint

CONFIG, TENSORS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
PREPROCESS, CARD = "preprocessor_config.json", "README.md"
_LARGEST = 8 * 2**30  # bytes of a .pth file, unpacked
_TEXT_LIMIT = 64 * 2**20
_WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "module")


def read_folder(folder: Path, source: str = "") -> Checkpoint:
    """Read a folder in transformers' layout: ``config.json`` and ``model.safetensors``, which may be in parts."""
    source = source or str(folder)
    if (folder / TENSORS).is_file():
        tensors = read_tensors(folder / TENSORS)
    elif (folder / INDEX).is_file():
        tensors = {}
        for part in parts_of(folder / INDEX):
            tensors |= read_tensors(folder / part)
    else:
        raise ModelFileError(
            folder, f"has no {TENSORS}; weights in another format are not read: save them with safe_serialization"
        )
    preprocess = _json(folder / PREPROCESS) if (folder / PREPROCESS).is_file() else {}
    return Checkpoint(tensors, _json(folder / CONFIG), source, card_licence(folder / CARD), preprocess, folder)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a ``.safetensors`` file, or a ``.pth`` or ``.pt`` file that holds nothing but tensors."""
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelFileError(path, f"is no whole safetensors file ({error}); fetch or copy it afresh") from error
    if path.suffix in (".pth", ".pt"):
        return _state_dict(path)
    kind = path.suffix or "without an ending"
    said = (
        f"holds no weights: these are .safetensors, .pth or .pt files, not {kind}; a model is a folder with model.json"
    )
    raise ModelFileError(path, said)


def _state_dict(path: Path) -> dict[str, Tensor]:
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:  # what its directory claims, before anything is unpacked
            size = max(size, sum(entry.file_size for entry in archive.infolist()))
    if size > _LARGEST:
        raise ModelFileError(path, f"holds {size:,} bytes, more than the {_LARGEST:,} that are read; use .safetensors")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged or hostile file provokes, it is the file's fault
        reason = " ".join(str(error).split())[:160]
        raise ModelFileError(
            path, f"is not read, as it is damaged or holds more than tensors ({reason}); save its state_dict alone"
        ) from error
    while isinstance(content, dict) and (inner := next((k for k in _WRAPPERS if isinstance(content.get(k), dict)), "")):
        content = content[inner]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelFileError(path, "holds no plain dictionary of tensors; save its state_dict alone")
    names = [str(name) for name in content]
    prefix = "module." if all(name.startswith("module.") for name in names) else ""  # of a model trained in parallel
    return {name.removeprefix(prefix): v.detach() for name, v in zip(names, content.values(), strict=True)}


def parts_of(index: Path) -> list[str]:
    """Return the names of the files that an index spreads the tensors over; none may lead out of its folder."""
    names = _json(index).get("weight_map")
    if not isinstance(names, dict) or not names:
        raise ModelFileError(index, "has no weight_map; fetch or copy it afresh")
    parts = sorted({str(name) for name in names.values()})
    for part in parts:
        if not re.fullmatch(r"[\w-][\w.-]*\.safetensors", part):
            raise ModelFileError(index, f"names {part[:60]!r}, which is no .safetensors file beside it")
    return parts


def _json(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > _TEXT_LIMIT:
            raise StrictError("is too large")
        content = typed_json.parse(path.read_bytes())
        if not isinstance(content, dict):
            raise StrictError("is no object")
        return content
    except (StrictError, OSError) as error:
        reason = error if isinstance(error, StrictError) else f"cannot be read: {error}"
        raise ModelFileError(path, f"{reason}; fetch or copy it afresh") from error


def card_licence(card: Path) -> str:
    """Return the ``license`` in the front matter of a model card; empty where there is none."""
    if not card.is_file() or card.stat().st_size > _TEXT_LIMIT:
        return ""
    found = re.match(r"\ufeff?---\s*\n(.*?)\n---", card.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    try:
        matter = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return ""
    if not isinstance(matter, dict) or not matter.get("license"):
        return ""
    licence = matter["license"]
    shown = ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence)
    return str(matter.get("license_name", shown)) if shown == "other" else shown
