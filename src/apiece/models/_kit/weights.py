"""Pretrained weights: read from a file, a folder or the Hugging Face hub, and put into a module without a gap.

Only numbers are read: safetensors and JSON, and ``.pth`` through torch's reader that runs no code. Nothing is fetched
but what was named, and what lies in the cache is taken from there.
"""

from __future__ import annotations

import dataclasses
import logging
import re
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
import safetensors.torch
import torch
import yaml
from huggingface_hub import constants, errors
from safetensors import SafetensorError
from torch import Tensor, nn

from apiece import _strict_json as typed_json
from apiece._strict_json import StrictError
from apiece.errors import ConfigError, ModelFileError
from apiece.models._engine.folder import JSON_NAME, load_model
from apiece.models.contract import Architecture, Checkpoint, ModelInput

log = logging.getLogger("apiece")

OWN = "apiece"
"""Key of `Checkpoint.settings` that holds architecture, config, input and provenance of a model of apiece's own."""
UNKNOWN_LICENCE = "unknown: check before use"

_CONFIG, _TENSORS, _INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
_PREPROCESS, _CARD = "preprocessor_config.json", "README.md"
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
)
_LARGEST = 8 * 2**30  # bytes of a .pth file, unpacked
_TEXT_LIMIT = 64 * 2**20
_WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "module")
_SPECS = (
    "'timm', 'timm:resnet18.a1_in1k', 'hf:org/name', 'hf:org/name@revision', a .safetensors or .pth file, or a folder "
    f"with {_CONFIG} and {_TENSORS}, or with {JSON_NAME}"
)


def timm_name(spec: str) -> str | None:
    """Return timm's own name of the weights that a spec asks for (``"resnet18.a1_in1k"``); ``""`` for just
    ``"timm"``, which leaves the choice to timm; None where the spec is none of timm's."""
    if spec == "timm":
        return ""
    for prefix in ("timm:", "hf:timm/"):
        if spec.startswith(prefix) and len(spec) > len(prefix):
            return spec.removeprefix(prefix).partition("@")[0]
    return None


def open_checkpoint(spec: str | Path, *, tokenizer: bool = False) -> Checkpoint:
    """Read the weights that ``--weights`` names.

    Parameters
    ----------
    spec : ``"timm:<model.tag>"``; ``"hf:org/name"`` or ``"hf:org/name@revision"``; a ``.safetensors`` file; a ``.pth``
        or ``.pt`` file of tensors; a folder as transformers writes it; a folder that apiece trained.
    tokenizer : fetch the files of a tokenizer, too, where there are any (they lie in `Checkpoint.folder`).

    Raises
    ------
    ConfigError
        if it is none of these.
    ModelFileError
        if files are absent, damaged or hold anything but tensors; says what to put where.
    """
    text, path = str(spec), Path(spec)
    name = timm_name(text)
    if name == "":
        raise ConfigError("weights 'timm' serve a backbone only; name a checkpoint, such as 'timm:resnet18.a1_in1k'")
    if name is not None:
        return _from_hub(f"timm/{name}", None, text)
    if text.startswith("hf:"):
        found = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", text)
        if not found:
            raise ConfigError(
                f"cannot read the weights {text!r}; write them as 'hf:org/name' or 'hf:org/name@revision'"
            )
        return _from_hub(found[1], found[2], text, _TOKENIZER if tokenizer else ())
    if path.is_dir():
        return _from_own(path) if (path / JSON_NAME).exists() else _from_folder(path)
    if path.is_file():
        return Checkpoint(_tensors(path), {}, text, _card_licence(path.parent / _CARD))
    raise ConfigError(f"there are no weights {text!r}: no such file or folder; weights are {_SPECS}")


# --- where they lie --------------------------------------------------------------------------------------------------


def _from_own(folder: Path) -> Checkpoint:
    model = load_model(folder)
    settings = {
        "architecture": model.name,
        "config": typed_json.dataclass_to(model.config),
        "input": typed_json.dataclass_to(model.input),
        "provenance": dict(model.provenance),
    }
    before = model.provenance.get("weights")
    licence = str(before.get("licence", "")) if isinstance(before, Mapping) else "your own"
    return Checkpoint(dict(model.module.state_dict()), {OWN: settings}, str(folder), licence)


def _from_folder(folder: Path, source: str = "") -> Checkpoint:
    """Read a folder in transformers' layout: ``config.json`` and ``model.safetensors``, which may be in parts."""
    source = source or str(folder)
    if not (folder / _CONFIG).is_file():
        raise ModelFileError(folder, f"has neither {_CONFIG} nor {JSON_NAME}; weights are {_SPECS}")
    if (folder / _TENSORS).is_file():
        tensors = _tensors(folder / _TENSORS)
    elif (folder / _INDEX).is_file():
        tensors = {}
        for part in _parts(folder / _INDEX):
            tensors |= _tensors(folder / part)
    else:
        raise ModelFileError(
            folder, f"has no {_TENSORS}; weights in another format are not read: save them with safe_serialization"
        )
    preprocess = _json(folder / _PREPROCESS) if (folder / _PREPROCESS).is_file() else {}
    return Checkpoint(tensors, _json(folder / _CONFIG), source, _card_licence(folder / _CARD), preprocess, folder)


def _from_hub(repository: str, revision: str | None, source: str, also: Sequence[str] = ()) -> Checkpoint:
    """Read a repository's files from the Hugging Face cache, else from the hub; optional ones only if online."""
    _, online = _fetch(repository, _CONFIG, revision)
    if _cached(repository, _TENSORS, revision) is None and (index := _optional(repository, _INDEX, revision, online)):
        for part in _parts(index):
            _fetch(repository, part, revision)
    else:
        _fetch(repository, _TENSORS, revision)
    for name in (_PREPROCESS, _CARD, *also):
        _optional(repository, name, revision, online)
    config, _ = _fetch(repository, _CONFIG, revision)  # again: a newer revision of the rest may have come
    return _from_folder(config.parent, source)


def _cached(repository: str, name: str, revision: str | None) -> Path | None:
    found = huggingface_hub.try_to_load_from_cache(repository, name, constants.HF_HUB_CACHE, revision)
    return Path(found) if isinstance(found, str) else None


def _download(repository: str, name: str, revision: str | None) -> Path:
    return Path(huggingface_hub.hf_hub_download(repository, name, revision=revision, cache_dir=constants.HF_HUB_CACHE))


def _optional(repository: str, name: str, revision: str | None, online: bool) -> Path | None:
    found = _cached(repository, name, revision)
    if found is not None or not online:
        return found
    try:
        return _download(repository, name, revision)
    except (OSError, errors.EntryNotFoundError):
        return None


def _fetch(repository: str, name: str, revision: str | None) -> tuple[Path, bool]:
    """Return the file, and whether it was fetched rather than found in the cache."""
    found = _cached(repository, name, revision)
    if found is not None:
        return found, False
    where = f"{repository}@{revision}" if revision else repository
    try:
        log.info("weights: fetching %s of %s from the Hugging Face hub", name, where)
        return _download(repository, name, revision), True
    except (OSError, ValueError, errors.EntryNotFoundError) as error:
        cause = " ".join(str(error).split())[:200]
        raise ModelFileError(
            f"hf:{where}",
            f"{name} is not in the Hugging Face cache ({constants.HF_HUB_CACHE}) and cannot be fetched ({cause}). "
            f"Without network: on a machine that has it, run `hf download {repository}"
            f"{f' --revision {revision}' if revision else ''} {_CONFIG} {_TENSORS}` and either copy its cache folder "
            f"models--{repository.replace('/', '--')} into that folder here (HF_HOME says where it lies), or put the "
            f"two files into any folder and give that folder as weights",
        ) from error


# --- what is in a file -----------------------------------------------------------------------------------------------


def _tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return safetensors.torch.load_file(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelFileError(path, f"is no whole safetensors file ({error}); fetch or copy it afresh") from error
    if path.suffix in (".pth", ".pt"):
        return _state_dict(path)
    raise ModelFileError(path, f"weights are .safetensors, .pth or .pt files, not {path.suffix or 'without an ending'}")


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
    while isinstance(content, dict) and (inner := next((k for k in _WRAPPERS if _is_dict(content.get(k))), "")):
        content = content[inner]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelFileError(path, "holds no plain dictionary of tensors; save its state_dict alone")
    names = [str(name) for name in content]
    prefix = "module." if all(name.startswith("module.") for name in names) else ""  # of a model trained in parallel
    return {name.removeprefix(prefix): v.detach() for name, v in zip(names, content.values(), strict=True)}


def _is_dict(value: object) -> bool:
    return isinstance(value, dict)


def _parts(index: Path) -> list[str]:
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


def _card_licence(card: Path) -> str:
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


def licence_of(checkpoint: Checkpoint, architecture: Architecture) -> str:
    """Return what the weights may be used for: as they say, else as ``architecture`` knows, else unknown."""
    plain = checkpoint.source.partition("@")[0]
    known = {w.name: w.licence for w in architecture.weights}
    here = known.get(plain) or known.get(Path(plain).name)
    if checkpoint.licence == "other":  # a card that does not say which
        return here or f"other, {UNKNOWN_LICENCE.partition(': ')[2]}"
    return checkpoint.licence or here or UNKNOWN_LICENCE


# --- into the module -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dependent:
    """Names of the tensors whose shape depends on something that differs between data sets."""

    classes: frozenset[str] = frozenset()  # on the number of classes
    channels: frozenset[str] = frozenset()  # on the input's channels
    slots: frozenset[str] = frozenset()  # on `Architecture.slots`, how many objects an image may hold


def dependent(architecture: Architecture, config: Any, input: ModelInput, classes: int) -> Dependent:
    """Find the names of `Dependent` by building the network a few times, without memory."""
    plain = {f.name: f.default for f in dataclasses.fields(config) if f.name in ("weights", "class_weights")}
    config = dataclasses.replace(config, **plain)

    def shapes(channels: int, count: int, config: Any = config) -> dict[str, torch.Size]:
        spec = ModelInput(channels, mean=(0.0,) * channels, std=(1.0,) * channels)
        with torch.device("meta"):
            return {k: v.shape for k, v in architecture.build(config, spec, count).state_dict().items()}

    here = shapes(input.channels, classes)
    others = [shapes(input.channels, classes + 1), shapes(input.channels % 12 + 1, classes)]
    if architecture.slots:
        more = {architecture.slots: getattr(config, architecture.slots) + 1}
        others.append(shapes(input.channels, classes, dataclasses.replace(config, **more)))
    return Dependent(*(frozenset(k for k in here if here[k] != other.get(k)) for other in others))


def fill(
    module: nn.Module, tensors: Mapping[str, Tensor], source: str, varying: Dependent = Dependent()
) -> tuple[str, ...]:
    """Put ``tensors`` into ``module``, each into the one of its name; return (and log) the names that stayed random.

    Parameters
    ----------
    source : where they come from, for messages.
    varying : what may differ. A tensor that depends on the classes stays random where its shape differs. The channels
        of one that depends on the input's are summed for a single channel, else repeated and scaled so that their sum
        stays. Of one that depends on the slots, as many rows as both have are taken.

    Raises
    ------
    ModelFileError
        naming tensors that are missing, unknown or of another shape.
    """
    own = module.state_dict()
    wrong: list[str] = []
    for what, names in (("lacks", own.keys() - tensors.keys()), ("has unknown", tensors.keys() - own.keys())):
        if names:
            wrong.append(f"{what} {_some(names)}")
    chosen, left, misfits = {}, [], []
    for name in own.keys() & tensors.keys():
        given = _fitted(name, tensors[name], own[name], varying)
        if given.shape == own[name].shape:
            chosen[name] = given
        elif name in varying.classes:
            left.append(name)
        else:
            misfits.append(f"{name} (is {list(given.shape)}, should be {list(own[name].shape)})")
    if misfits:
        wrong.append(f"has other shapes of {_some(misfits)}")
    if wrong:
        raise ModelFileError(
            source,
            f"does not fit this model: it {'; it '.join(wrong)}. Use weights made for it, or change its settings",
        )
    module.load_state_dict(chosen, strict=False)
    if left:
        log.info("weights: made for other classes, so these begin with random values: %s", ", ".join(sorted(left)))
    return tuple(sorted(left))


def _fitted(name: str, given: Tensor, own: Tensor, varying: Dependent) -> Tensor:
    if given.ndim != own.ndim:
        return given
    if name in varying.channels and given.ndim > 1 and given.shape[1] != own.shape[1]:
        return _fit_channels(given, own.shape[1])
    if name in varying.slots and given.shape[0] != own.shape[0] and given.shape[1:] == own.shape[1:]:
        rows = min(len(given), len(own))
        return torch.cat([given[:rows].to(own), own[rows:]])
    return given


def _fit_channels(weight: Tensor, channels: int) -> Tensor:
    """Return a first layer (out, in, ...) for another number of input channels."""
    if channels == 1:
        return weight.sum(1, keepdim=True)
    before = weight.shape[1]
    return weight[:, torch.arange(channels) % before] * (before / channels)


def _some(names: Collection[str], most: int = 6) -> str:
    shown = sorted(names)[:most]
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(shown) + more
