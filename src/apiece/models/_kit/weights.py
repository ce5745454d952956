"""Pretrained weights by name: ``library:name``, a name of its own, a file or a folder.

Nothing is fetched but what was named, and what lies in a library's cache is taken from there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from apiece import _strict_json as typed_json
from apiece.errors import ConfigError, ModelFileError, UnknownNameError
from apiece.models._engine.card import DEFAULT, JSON_NAME
from apiece.models._engine.folder import load_model
from apiece.models._kit import imagenet, torchvision_weights
from apiece.models._kit.hub import TOKENIZER, read_repository
from apiece.models._kit.weight_files import CARD, CONFIG, TENSORS, card_licence, read_folder, read_tensors
from apiece.models.contract import LIBRARIES, NAMES, Architecture, Checkpoint, is_name

OWN = "apiece"
"""Key of `Checkpoint.settings` that holds architecture, config, input and provenance of a model of apiece's own."""
UNKNOWN_LICENCE = "unknown: check before use"
_, IMAGENET, _TIMM = NAMES

SPELLINGS = (
    f"{DEFAULT!r}, {IMAGENET!r}, 'torchvision:maskrcnn_resnet50_fpn_v2', 'hf:org/name' or 'hf:org/name@revision', "
    f"'timm' or 'timm:resnet18.a1_in1k', a .safetensors or .pth file, or a folder with {CONFIG} and {TENSORS}, or with "
    f"{JSON_NAME}"
)


def timm_name(spec: str) -> str | None:
    """Return timm's own name of the weights that a spec asks for (``"resnet18.a1_in1k"``); ``""`` for just
    ``"timm"``, which leaves the choice to timm; None where the spec names no encoder."""
    if spec in (_TIMM, IMAGENET):
        return "" if spec == _TIMM else imagenet.ENCODER
    for prefix in ("timm:", "hf:timm/"):
        if spec.startswith(prefix) and len(spec) > len(prefix):
            return spec.removeprefix(prefix).partition("@")[0]
    return None


def open_checkpoint(spec: str | Path, *, tokenizer: bool = False) -> Checkpoint:
    """Read the weights that ``--weights`` names.

    Parameters
    ----------
    spec : ``"default"`` or ``"imagenet"``; ``"torchvision:<model>"``; ``"timm:<model.tag>"``; ``"hf:org/name"`` or
        ``"hf:org/name@revision"``; a ``.safetensors`` file; a ``.pth`` or ``.pt`` file of tensors; a folder as
        transformers writes it; a folder that apiece trained.
    tokenizer : fetch the files of a tokenizer, too, where there are any (they lie in `Checkpoint.folder`).

    Raises
    ------
    ConfigError, UnknownNameError
        if it is none of these.
    ModelFileError
        if files are absent, damaged or hold anything but tensors; says what to put where.
    """
    text, path = str(spec), Path(spec)
    if text == DEFAULT:
        return _from_own(Path(DEFAULT), DEFAULT)
    if text == IMAGENET:
        return imagenet.read()
    if is_name(text) and text != _TIMM:
        library, _, name = text.partition(":")
        return _from_library(library, name, text, TOKENIZER if tokenizer else ())
    if path.is_dir():
        if (path / JSON_NAME).exists():
            return _from_own(path, str(path))
        if (path / CONFIG).is_file():
            return read_folder(path)
    if path.is_file():
        found = Checkpoint(read_tensors(path), {}, text, card_licence(path.parent / CARD))
        return torchvision_weights.described(found)
    if text == _TIMM:
        raise ConfigError("weights 'timm' serve a backbone only; name a checkpoint, such as 'timm:resnet18.a1_in1k'")
    raise missing(text)


def missing(text: str) -> ConfigError | ModelFileError | UnknownNameError:
    """Return the error that says why ``text`` names no weights."""
    library, colon, _ = text.partition(":")
    if colon and re.fullmatch(r"[A-Za-z_-]{2,}", library):  # one letter would be a drive
        return UnknownNameError("library of weights", library, LIBRARIES)
    if Path(text).is_dir():
        wrong = f"has neither {CONFIG} nor {JSON_NAME}: no model, or one that was copied in part"
        return ModelFileError(text, f"{wrong}; weights are {SPELLINGS}")
    return ConfigError(f"there are no weights {text!r}: no such file or folder; weights are {SPELLINGS}")


def _from_library(library: str, name: str, text: str, also: Sequence[str]) -> Checkpoint:
    if library == "torchvision":
        return torchvision_weights.read(name)
    if library == "timm":
        if not name:
            raise ConfigError(f"cannot read the weights {text!r}; weights are {SPELLINGS}")
        return read_repository(f"timm/{name}", None, text)
    found = re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)
    if not found:
        raise ConfigError(f"cannot read the weights {text!r}; write them as 'hf:org/name' or 'hf:org/name@revision'")
    return read_repository(found[1], found[2], text, also)


def _from_own(folder: Path, source: str) -> Checkpoint:
    model = load_model(folder)
    settings = {
        "architecture": model.name,
        "config": typed_json.dataclass_to(model.config),
        "input": typed_json.dataclass_to(model.input),
        "provenance": dict(model.provenance),
    }
    before = model.provenance.get("weights")
    licence = str(before.get("licence", "")) if isinstance(before, Mapping) else "your own"
    return Checkpoint(dict(model.module.state_dict()), {OWN: settings}, source, licence)


def licence_of(checkpoint: Checkpoint, architecture: Architecture) -> str:
    """Return what the weights may be used for: as they say, else as ``architecture`` knows, else unknown."""
    plain = checkpoint.source.partition("@")[0]
    known = {w.name.lower(): w.licence for w in architecture.weights}
    here = known.get(plain.lower()) or known.get(Path(plain).name.lower())
    if checkpoint.licence == "other":  # a card that does not say which
        return here or f"other, {UNKNOWN_LICENCE.partition(': ')[2]}"
    return checkpoint.licence or here or UNKNOWN_LICENCE
