"""What computes a network: torch, or the runtime that a model was exported for. One file each in ``_runtimes``."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import cv2
import numpy as np

from apiece import _plugins
from apiece._arrays import Float32
from apiece._extras import extras
from apiece.core.instances import Instances
from apiece.errors import ConfigError, ModelFileError, Option
from apiece.models import Card, ExportedModel, Frame, exported_model, named_architecture
from apiece.models.contract import ROOM, DecodeOptions

__all__ = ["MAIN", "Runtime", "modules_of", "one_thread", "pad_to", "runtime_of", "tried"]

_RUNTIMES = "apiece.predict._runtimes"
MAIN = "model"
"""Name of the graph that takes images, of those that an exported network is made of."""


class Runtime(Protocol):
    """Compute the network of one model, and decode its answers.

    Attributes
    ----------
    name : as `ExportedModel.graph` names it; ``"torch"`` for a model folder.
    device : where it computes; a `torch.device`, or its name.
    precision : what it computes in, such as ``"float32"``.
    """

    name: str
    device: Any
    precision: str

    def run(self, images: Float32, sizes: Sequence[tuple[int, int]]) -> Any:
        """Return raw outputs of images (B, C, H, W), of which each fills a (height, width)."""

    def decode(
        self, outputs: Any, frames: Sequence[Frame], classes: tuple[str, ...], options: DecodeOptions
    ) -> list[Instances]:
        """Return the instances of each image."""


def runtime_of(model: Card, device: Any = "auto") -> Runtime:
    """Return what computes a model's network, on a device.

    Raises
    ------
    ConfigError
        if the device cannot be used.
    ModelFileError
        if an exported graph needs a runtime that apiece does not know, or is none that it can compute.
    MissingExtraError
        if the runtime is not installed.
    """
    name = model.graph.runtime if isinstance(model, ExportedModel) else "pytorch"
    known = _plugins.names(_RUNTIMES)
    if name not in known:
        raise ModelFileError(model.name, f"its graph is for {name[:40]!r}; runtimes are {', '.join(known)}")
    with extras():
        opened: Runtime = importlib.import_module(f"{_RUNTIMES}.{name}").open_runtime(model, device)
    return opened


def modules_of(model: str) -> list[str]:
    """Return the modules that are imported when a model is opened, so that a process can have them ready."""
    found = exported_model(model)
    if found is not None:
        return [f"{_RUNTIMES}.{found.graph.runtime}"]
    name = named_architecture(model)  # None of published weights, which tell it when they are read
    architecture = [f"{ROOM.package}.{name}"] if name in _plugins.names(ROOM.package) else []
    return [f"{_RUNTIMES}.pytorch", f"{ROOM.package}._engine.published", *architecture]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let runtimes that are opened in the block compute on one thread: several add in another order, and round so."""
    torch, before = sys.modules.get("torch"), os.environ.get("OMP_NUM_THREADS")
    counts = cv2.getNumThreads(), torch.get_num_threads() if torch is not None else 1
    os.environ["OMP_NUM_THREADS"] = "1"
    cv2.setNumThreads(1)
    if torch is not None:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(counts[0])
        if torch is not None:
            torch.set_num_threads(counts[1])
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def tried(device: Any, known: Sequence[str], name: str) -> str:
    """Return the device of a runtime that has a few of its own; ``"auto"`` is the first."""
    if str(device) in ("auto", *known):
        return known[0] if str(device) == "auto" else str(device)
    raise ConfigError(
        Option("device", str(device)) + f" cannot be used by a model that was exported to {name}, here "
        f"it computes on {' or '.join(known)}"
    )


def pad_to(images: Float32, size: tuple[int, int] | None) -> Float32:
    """Return images (B, C, H, W) padded with zeros to the (height, width) that a graph takes; None: it takes any."""
    if size is None or images.shape[2:] == size:
        return np.ascontiguousarray(images)
    padded = np.zeros((*images.shape[:2], *size), np.float32)
    padded[:, :, : images.shape[2], : images.shape[3]] = images
    return padded
