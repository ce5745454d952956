"""A trained model is a folder: ``model.safetensors`` and ``model.json``. Loading it runs no code from it.

The JSON names the architecture and its settings; the module is built from apiece's own code and only filled with
numbers. The JSON also holds the checksum of the tensors, so files of two different models are never taken for one.
Before memory is taken, the header of the tensor file is held against the module that the settings describe.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from apiece.errors import ApieceError, ConfigError, ModelFileError, Option
from apiece.models.contract import Architecture, ModelInput

JSON_NAME = "model.json"
TENSORS_NAME = "model.safetensors"

DEFAULT = "default"
"""Name of the model that comes with apiece."""

_SHIPPED = Path(__file__).parent / DEFAULT
_VERSION = 1
_KEYS = {
    "version", "architecture", "config", "input", "classes", "thresholds", "one_piece", "provenance", "metrics",
    "tensors",
}  # fmt: skip
_JSON_LIMIT = 16 * 2**20
_HEADER_LIMIT = 64 * 2**20
_AGAIN = "copy the folder afresh, or train again"
_DTYPES = {
    torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.float64: "F64", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """Hold what a model folder holds.

    Attributes
    ----------
    module : the network, on the CPU, in evaluation mode.
    architecture, name : how to encode, train and decode it, and the architecture's name.
    config, input : the architecture's settings, and what the network takes.
    classes : class names; labels index into them.
    thresholds : lowest score kept, one per class; None if none were chosen.
    one_piece : whether objects are in one piece, for each class; see `DecodeOptions`.
    provenance : where it comes from (data fingerprint, seed, versions, licences ...).
    metrics : what was measured when it was saved.
    """

    module: nn.Module
    architecture: Architecture
    name: str
    config: Any
    input: ModelInput
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] | None
    one_piece: tuple[bool, ...]
    provenance: Mapping[str, Any]
    metrics: Mapping[str, Any]


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
    classes = _checked_classes(classes)
    chosen = None if thresholds is None else _checked([float(t) for t in thresholds], classes)
    one_piece = [False] * len(classes) if one_piece is None else one_piece
    if len(one_piece) != len(classes):
        raise ConfigError(f"one_piece should be {len(classes)} truth values, one per class; got {len(one_piece)}")
    stored = {k: _stored(v, half) for k, v in module.state_dict().items()}
    tensors = safetensors.torch.save(stored)
    content = {
        "version": _VERSION, "architecture": architecture, "config": typed_json.dataclass_to(config),
        "input": typed_json.dataclass_to(input), "classes": list(classes),
        "thresholds": None if chosen is None else dict(zip(classes, chosen, strict=True)),
        "one_piece": [name for name, one in zip(classes, one_piece, strict=True) if one],
        "provenance": dict(provenance or {}), "metrics": dict(metrics or {}),
        "tensors": {"sha256": hashlib.sha256(tensors).hexdigest(), "bytes": len(tensors)},
    }  # fmt: skip
    text = _dumped(content)
    with _written(folder), atomic(folder / JSON_NAME) as json_path, atomic(folder / TENSORS_NAME) as tensors_path:
        tensors_path.write_bytes(tensors)
        json_path.write_text(text, encoding="utf-8")


def _dumped(content: Mapping[str, Any]) -> str:
    try:
        return typed_json.dump(content)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"provenance and metrics of a model are numbers, texts, lists and dicts: {error}") from error


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ModelFileError(path, f"cannot be written: {error}") from error


def save_thresholds(folder: Path | str, thresholds: Sequence[float], origin: Mapping[str, Any] | None = None) -> None:
    """Put other thresholds into a model folder; ``model.json`` is replaced in one step, the tensors stay.

    Parameters
    ----------
    thresholds : lowest score kept, one per class, 0 to 1.
    origin : JSON-able, what they were chosen by; kept in the provenance, under ``thresholds``.

    Raises
    ------
    ConfigError, ModelFileError
        if there is not one threshold from 0 to 1 per class, or ``model.json`` is missing, damaged or cannot be written.
    """
    if model_folder(folder) == _SHIPPED:
        raise ConfigError(
            "the model that comes with apiece stays as it is; give a threshold with " + Option("conf", ...) + ", or "
            "train a model of your own that begins with " + Option("weights", DEFAULT)
        )
    json_path = _inside(Path(folder), JSON_NAME)
    try:
        content = dict(typed_json.check_keys(typed_json.parse(_read(json_path, _JSON_LIMIT)), _KEYS, "the model"))
        classes = _checked_classes(content["classes"])
    except (StrictError, ApieceError) as error:
        raise ModelFileError(json_path, f"{error}; {_AGAIN}") from error
    chosen = _checked([float(t) for t in thresholds], classes)
    content["thresholds"] = dict(zip(classes, chosen, strict=True))
    if origin is not None:
        content["provenance"] = {**content["provenance"], "thresholds": dict(origin)}
    with _written(json_path), atomic(json_path) as temporary:
        temporary.write_text(_dumped(content), encoding="utf-8")


def model_folder(model: Path | str) -> Path:
    """Return the folder of a model that is named by its path, or ``"default"``: the model that comes with apiece.

    A folder of that name is written ``./default``.
    """
    return _SHIPPED if str(model) == DEFAULT else Path(model)


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
    json_path, tensors_path = _inside(folder, JSON_NAME), _inside(folder, TENSORS_NAME)
    try:
        content = typed_json.check_keys(typed_json.parse(_read(json_path, _JSON_LIMIT)), _KEYS, "the model")
        return _load(content, tensors_path)
    except ModelFileError:
        raise
    except (StrictError, ApieceError) as error:
        raise ModelFileError(json_path, f"{error}; {_AGAIN}") from error
    except OSError as error:
        raise ModelFileError(folder, f"cannot be read: {error}") from error


def _load(content: Mapping[str, Any], tensors_path: Path) -> LoadedModel:
    if content["version"] != _VERSION:
        other = str(content["version"])[:40]
        raise StrictError(f"version {other!r} is not {_VERSION}: another version of apiece wrote it")
    name = content["architecture"]
    if not isinstance(name, str):
        raise StrictError(f"architecture should be a name, is {type(name).__name__}")
    architecture = models.load(name)
    config = typed_json.dataclass_from(architecture.config, content["config"], "config")
    spec = typed_json.dataclass_from(ModelInput, content["input"], "input")
    if not isinstance(content["classes"], list):
        raise StrictError("classes should be a list of names")
    classes = _checked_classes(content["classes"])
    thresholds = content["thresholds"]
    if thresholds is not None:
        given = typed_json.check_keys(thresholds, set(classes), "thresholds")
        thresholds = _checked([given[c] for c in classes], classes)
    single = content["one_piece"]
    if not isinstance(single, list) or not all(name in classes for name in single):
        raise StrictError("one_piece should be a list of some of the classes")
    for key in ("provenance", "metrics"):
        if not isinstance(content[key], dict):
            raise StrictError(f"{key} should be an object")
    module = _filled(architecture, config, spec, classes, content["tensors"], tensors_path)
    one_piece = tuple(name in single for name in classes)
    about = content["provenance"], content["metrics"]
    return LoadedModel(module, architecture, name, config, spec, classes, thresholds, one_piece, *about)


def _filled(
    architecture: Architecture, config: Any, spec: ModelInput, classes: tuple[str, ...], stated: Any, path: Path
) -> nn.Module:
    """Return the module of these settings with the tensors of the file."""
    check = typed_json.check_keys(stated, {"sha256", "bytes"}, "tensors")
    if any(f.name == "weights" for f in dataclasses.fields(config)):
        # where training started from; the folder has all weights, and loading must not go and fetch others
        config = dataclasses.replace(config, weights="none")
    with torch.device("meta"):  # shapes without memory
        expected = _build(architecture, config, spec, classes, path).state_dict()
    _check_header(path, expected)
    data = path.read_bytes()
    if len(data) != check["bytes"] or hashlib.sha256(data).hexdigest() != check["sha256"]:
        raise ModelFileError(path, f"is not the file that {JSON_NAME} describes (checksum differs); {_AGAIN}")
    with torch.random.fork_rng(devices=[]):  # building draws random weights: the caller's generator stays as it is
        module = _build(architecture, config, spec, classes, path)
    try:
        module.load_state_dict(safetensors.torch.load(data), strict=True)
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise ModelFileError(path, f"cannot be loaded: {error}; {_AGAIN}") from error
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
            raise ModelFileError(path, f"is truncated or no safetensors file ({size} bytes); {_AGAIN}")
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
        raise ModelFileError(path, f"does not fit the network in {JSON_NAME}: {error}; {_AGAIN}") from error
    if size != needed:
        raise ModelFileError(path, f"is damaged: it has {size} bytes, its tensors need {needed}; {_AGAIN}")


def _inside(folder: Path, name: str) -> Path:
    path = folder / name
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise ModelFileError(path, f"is missing; a model is a folder with {JSON_NAME} and {TENSORS_NAME}") from error
    if real.parent != folder.resolve():
        raise ModelFileError(path, f"is a link that leads out of the folder, to {real}; put the file itself there")
    if not real.is_file():
        raise ModelFileError(path, "is not a file")
    return path


def _read(path: Path, limit: int) -> bytes:
    if path.stat().st_size > limit:
        raise ModelFileError(path, f"has {path.stat().st_size} bytes, more than a model's description needs; {_AGAIN}")
    return path.read_bytes()


def _checked_classes(classes: Sequence[Any]) -> tuple[str, ...]:
    if not classes or not all(isinstance(c, str) and c for c in classes) or len(set(classes)) < len(classes):
        raise ConfigError(f"classes should be different names, at least one; got {str(list(classes))[:200]}")
    return tuple(classes)


def _checked(thresholds: Sequence[Any], classes: Sequence[str]) -> tuple[float, ...]:
    good = [isinstance(t, int | float) and not isinstance(t, bool) and 0 <= t <= 1 for t in thresholds]
    if len(good) != len(classes) or not all(good):
        raise ConfigError(f"thresholds should be {len(classes)} numbers from 0 to 1, one per class; got {thresholds}")
    return tuple(float(t) for t in thresholds)
