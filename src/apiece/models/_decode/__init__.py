"""From raw outputs to instances, in NumPy: one file for each architecture, of its name, which defines `decode`.

The architecture itself uses the same function, so an exported model cannot answer otherwise. Nothing here imports
torch. An architecture without a file here decodes in torch, and cannot be exported. A file may also define `stages`:
what is done between the graphs of a network that is made of several, see `two_stages`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

from apiece import _plugins
from apiece.errors import UnknownNameError
from apiece.models._kit.arrays import DecodeBatch

Stages: TypeAlias = Callable[..., dict[str, Any]]
"""``(compute, images, sizes, settings, number of classes)`` to raw outputs, see `two_stages`."""


def decoder_names() -> tuple[str, ...]:
    """Return the architectures whose outputs are decoded without torch, sorted."""
    return _plugins.names(__name__)


def decoder(name: str) -> DecodeBatch:
    """Return the decoder of the outputs of an architecture.

    Raises
    ------
    UnknownNameError
        if there is none of this name.
    """
    if name not in decoder_names():
        raise UnknownNameError("decoder", name, decoder_names())
    decode: DecodeBatch = importlib.import_module(f"{__name__}.{name}").decode
    return decode


def stages_of(name: str) -> Stages | None:
    """Return what is done between the graphs of an architecture with a `decoder`; None where it has one graph."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), "stages", None)
