"""A trained model is a folder: ``model.safetensors`` and ``model.json``. Loading it runs no code from it.

The JSON names the architecture and its settings; the module is built from apiece's own code and only filled with
numbers. The JSON also holds the checksum of the tensors, so files of two different models are never taken for one.
Before memory is taken, the header of the tensor file is held against the module that the settings describe.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from apiece import _strict_json as typed_json
from apiece import models
from apiece._atomic import atomic
from apiece._strict_json import StrictError
from apiece.errors import ApieceError, ConfigError, ModelFileError
from apiece.models._engine.card import (
    AGAIN,
    JSON_NAME,
    TENSORS_NAME,
    Card,
    card_of,
    checked,
    checked_classes,
    content_of,
    described,
    dumped,
    inside,
    model_folder,
    read_json,
    written,
)
from apiece.models._kit.arrays import DecodeBatch
from apiece.models._kit.shapes import shapes_only
from apiece.models.contract import Architecture, ModelInput

_HEADER_LIMIT = 64 * 2**20
_DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


@dataclass(frozen=True, eq=False, kw_only=True)
class LoadedModel(Card):
    """Hold what a model folder holds, beyond `Card`.

    Attributes
    ----------
    module : the network, on the CPU, in evaluation mode.
    architecture : how to encode, train and decode it.
    """

    module: nn.Module
    architecture: Architecture

    @property
    def stride(self) -> int:
        """Sides of the network's input are multiples of this."""
        return self.architecture.stride

    @property
    def decode(self) -> DecodeBatch:
        """What turns raw outputs into instances."""
        return self.architecture.decode

    def fingerprint(self) -> str:
        """Return a hash of what decides the answers."""
        digest = hashlib.sha256(repr((self.name, self.config, self.input)).encode())
        for name, tensor in sorted(self.module.state_dict().items()):
            digest.update(name.encode() + tensor.detach().double().cpu().numpy().tobytes())
        return digest.hexdigest()


def save_model(
    folder: Path | str,
    module: nn.Module,
    *,
    architecture: str,
    config: Any,
    input: ModelInput,
    classes: Sequence[str],
    thresholds: Sequence[float] | None = None,
    one_piece: Sequence[bool] | None = None,
    provenance: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Any] | None = None,
    edges: tuple[float, float] | None = None,
    half: bool = False,
) -> None:
    """Write ``model.safetensors`` and ``model.json`` into ``folder`` (made if needed; other files in it stay).

    Each file is replaced in one step; if the machine dies between the two steps, `load_model` refuses the pair.

    Parameters
    ----------
    architecture, config : name of a module in `apiece.models`, and an instance of its config dataclass.
    thresholds : lowest score kept, one per class, 0 to 1.
    one_piece : whether objects are in one piece, for each class; None: of no class.
    provenance, metrics : JSON-able; NaN is written as null.
    edges : how many times the softness of a mask's edge an outline is off, see `DecodeOptions`; None: nobody knows.
    half : store the weights of layers as float16, in half the space; `load_model` computes in float32 all the same.

    Raises
    ------
    ConfigError, UnknownNameError, ModelFileError
        if the parts do not fit together, no architecture has this name, or the folder cannot be written.
    """
    folder = Path(folder)
    known = models.load(architecture)
    if not isinstance(config, known.config):
        raise ConfigError(f"{architecture} is configured by {known.config.__name__}, got {type(config).__name__}")
    classes = checked_classes(classes)
    chosen = None if thresholds is None else checked([float(t) for t in thresholds], classes)
    one_piece = [False] * len(classes) if one_piece is None else one_piece
    if len(one_piece) != len(classes):
        raise ConfigError(f"one_piece should be {len(classes)} truth values, one per class; got {len(one_piece)}")
    stored = {k: _stored(v, half) for k, v in module.state_dict().items()}
    tensors = safetensors.torch.save(stored)
    card = Card(
        name=architecture, config=config, input=input, classes=classes, thresholds=chosen, one_piece=tuple(one_piece),
        provenance=provenance or {}, metrics=metrics or {}, edges=edges,
    )  # fmt: skip
    digest = {"sha256": hashlib.sha256(tensors).hexdigest(), "bytes": len(tensors)}
    text = dumped(content_of(card, typed_json.dataclass_to(config), digest))
    with written(folder), atomic(folder / JSON_NAME) as json_path, atomic(folder / TENSORS_NAME) as tensors_path:
        tensors_path.write_bytes(tensors)
        json_path.write_text(text, encoding="utf-8")


def load_model(folder: Path | str) -> LoadedModel:
    """Load a model folder, or ``"default"``, see `model_folder`; runs no code from it.

    Raises
    ------
    ModelFileError
        if the folder is missing, incomplete, damaged, inconsistent, of an unknown architecture or a newer version, or
        one of its files is a link that leads out of it; says what to do.
    """
    folder = model_folder(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise ModelFileError(folder, f"{what}; a model is a folder with {JSON_NAME} and {TENSORS_NAME}")
    inside(folder, JSON_NAME)
    content = read_json(folder)
    if isinstance(content, dict) and isinstance(graph := content.get("graph"), dict):
        reason = f"holds a graph for {str(graph.get('runtime'))[:20]}, without weights: use the folder it came from"
        raise ModelFileError(folder, reason)
    tensors_path = inside(folder, TENSORS_NAME)
    with described(folder):
        card = card_of(content)
        architecture = models.load(card.name)
        config = typed_json.dataclass_from(architecture.config, card.config, "config")
        module = _filled(architecture, config, card.input, card.classes, content["tensors"], tensors_path)
        return LoadedModel(**{**vars(card), "config": config}, module=module, architecture=architecture)


def _filled(
    architecture: Architecture, config: Any, spec: ModelInput, classes: tuple[str, ...], stated: Any, path: Path
) -> nn.Module:
    """Return the module of these settings with the tensors of the file."""
    check = typed_json.check_keys(stated, {"sha256", "bytes"}, "tensors")
    if any(f.name == "weights" for f in dataclasses.fields(config)):
        # where training started from; the folder has all weights, and loading must not go and fetch others
        config = dataclasses.replace(config, weights="none")
    with shapes_only():
        expected = _build(architecture, config, spec, classes, path).state_dict()
    _check_header(path, expected)
    data = path.read_bytes()
    if len(data) != check["bytes"] or hashlib.sha256(data).hexdigest() != check["sha256"]:
        raise ModelFileError(path, f"is not the file that {JSON_NAME} describes (checksum differs); {AGAIN}")
    with torch.random.fork_rng(devices=[]):  # building draws random weights: the caller's generator stays as it is
        module = _build(architecture, config, spec, classes, path)
    try:
        module.load_state_dict(safetensors.torch.load(data), strict=True)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ModelFileError(path, f"cannot be loaded: {error}; {AGAIN}") from error
    return module.eval()


def _stored(tensor: Tensor, half: bool) -> Tensor:
    """Return a tensor as it is written; norms and biases, which are small and may hold large values, stay exact."""
    exact = not half or tensor.dtype != torch.float32 or tensor.ndim < 2
    return tensor.detach().cpu().to(tensor.dtype if exact else torch.float16).contiguous().clone()


def _build(
    architecture: Architecture, config: Any, spec: ModelInput, classes: tuple[str, ...], path: Path
) -> nn.Module:
    try:
        return architecture.build(config, spec, len(classes))
    except ApieceError:
        raise
    except (RuntimeError, ValueError, TypeError, OverflowError, MemoryError, ArithmeticError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelFileError(path.parent / JSON_NAME, f"describes a network that cannot be built: {reason}") from error


def _check_header(path: Path, expected: Mapping[str, Tensor]) -> None:
    """Compare names, types, shapes and the file's length with the module, reading nothing but the header."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, _HEADER_LIMIT):
            raise ModelFileError(path, f"is truncated or no safetensors file ({size} bytes); {AGAIN}")
        header = file.read(length)
    try:
        entries = typed_json.parse(header)
        if not isinstance(entries, dict):
            raise StrictError("its header is no object")
        entries.pop("__metadata__", None)
        typed_json.check_keys(entries, set(expected), "the set of tensors")
        needed = 8 + length
        for name, tensor in expected.items():
            entry = typed_json.check_keys(entries[name], {"dtype", "shape", "data_offsets"}, f"tensor {name!r}")
            halved = tensor.dtype == torch.float32 and entry["dtype"] == _DTYPES[torch.float16]
            if entry["shape"] != list(tensor.shape) or not (halved or entry["dtype"] == _DTYPES[tensor.dtype]):
                raise StrictError(
                    f"tensor {name!r} should be {_DTYPES[tensor.dtype]} {list(tensor.shape)}, "
                    f"is {str(entry['dtype'])[:20]} {str(entry['shape'])[:60]}"
                )
            needed += tensor.numel() * (2 if halved else tensor.element_size())
    except StrictError as error:
        raise ModelFileError(path, f"does not fit the network in {JSON_NAME}: {error}; {AGAIN}") from error
    if size != needed:
        raise ModelFileError(path, f"is damaged: it has {size} bytes, its tensors need {needed}; {AGAIN}")
