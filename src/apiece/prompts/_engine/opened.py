"""Which backend answers, and its opening: named, or told by the weights."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from apiece._extras import extras
from apiece.errors import ConfigError, Option
from apiece.prompts.contract import ROOM, Backend, Opening, Takes

if TYPE_CHECKING:
    from apiece.models import Checkpoint

__all__ = ["DEFAULT", "Opened", "open_backend"]

_log = logging.getLogger("apiece")

DEFAULT = "click"
"""What answers points, boxes and masks where no weights are named."""


@dataclass(frozen=True, eq=False)
class Opened:
    """Hold an open backend.

    Attributes
    ----------
    name : the backend's name.
    backend : its description.
    answers : what answers: a `Segmenter`, or what reads words.
    weights : a fingerprint of the weights, after the name of those that a person named; empty without weights.
    """

    name: str
    backend: Backend
    answers: Any
    weights: str = ""


def open_backend(name: str, weights: str, device: str, wanted: Iterable[Takes], option: str = "weights") -> Opened:
    """Open the backend of this name, or under ``"auto"`` one that the weights are for and that takes what is wanted.

    Parameters
    ----------
    wanted : what it will be asked with; under ``"auto"`` a backend that takes one of these is chosen.
    option : the option that named the weights, for messages.

    Raises
    ------
    ConfigError, UnknownNameError, ModelFileError
        If weights are missing, are for another backend, or cannot be read.
    """
    if name == "auto" and not weights:
        name = DEFAULT
        _log.info("%s answers, as no weights are named; %s", name, ROOM.load(name).summary)
    known = None if name == "auto" else ROOM.load(name)
    if known is not None and not known.files:
        if weights:
            raise ConfigError(f"{name} needs no weights; leave out " + Option(option, weights))
        with extras():
            return Opened(name, known, known.open(Opening(device=device)), known.own() if known.own else "")
    if not weights:
        assert known is not None
        raise ConfigError(f"{name} needs weights: {known.files}; name them with " + Option(option, ...))
    checkpoint = None if _has_onnx(weights) else _checkpoint(weights)
    kind = "onnx" if checkpoint is None else str(checkpoint.settings.get("model_type", ""))
    if known is None or kind not in known.model_types:
        name, known = _fitting(name, weights, kind, frozenset(wanted), option)
    opening = Opening(weights, checkpoint, device)
    with extras():
        opened = Opened(name, known, known.open(opening), _fingerprint(opening))
    licence = (checkpoint.licence if checkpoint else "") or known.licence
    _log.info("%s answers with the weights %s; licence: %s", name, weights, licence)
    return opened


def _fitting(name: str, weights: str, kind: str, wanted: frozenset[Takes], option: str) -> tuple[str, Backend]:
    """Return the backend for weights of this kind; under a name of its own it has to be that one."""
    fit = {n: b for n, b in ROOM.load_all().items() if kind in b.model_types}
    chosen = {n: b for n, b in fit.items() if b.takes & wanted}
    if name != "auto" or not chosen:
        unknown = f"hold a model of the kind {kind!r}" if kind else "have no config.json that says what they are"
        are = f"are for {' and '.join(sorted(fit))}" if fit else unknown
        asked = f", not for {name}" if name != "auto" else f", which takes no {' or '.join(sorted(wanted))}"
        kinds = sorted({k for b in ROOM.load_all().values() if b.takes & wanted for k in b.model_types})
        raise ConfigError(Option(option, weights) + f" {are}{asked}; weights of these kinds are: {', '.join(kinds)}")
    return next(iter(chosen.items()))


def _has_onnx(weights: str) -> bool:
    path = Path(weights)
    return path.suffix == ".onnx" or (path.is_dir() and any(path.glob("*.onnx")))


def _checkpoint(weights: str) -> Checkpoint:
    from apiece.models import open_checkpoint

    return open_checkpoint(weights, tokenizer=True)


def _fingerprint(opening: Opening) -> str:
    """Return what tells these weights from others: their name, and a digest of a few values of every tensor or file."""
    digest = hashlib.sha256()
    if opening.checkpoint is None:
        path = Path(opening.weights)
        for file in sorted(path.glob("*.onnx")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    else:
        for key, tensor in sorted(opening.checkpoint.tensors.items()):
            flat = tensor.detach().flatten()
            some = flat[:: max(len(flat) // 64, 1)].float().cpu().numpy()
            digest.update(f"{key} {tuple(tensor.shape)}".encode() + np.ascontiguousarray(some).tobytes())
    return f"{opening.weights} {digest.hexdigest()[:16]}"
