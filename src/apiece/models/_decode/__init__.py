"""From raw outputs to instances, in NumPy: one file for each architecture, of its name, which defines `decode`.

The architecture itself uses the same function, so an exported model cannot answer otherwise. Nothing here imports
torch. An architecture without a file here decodes in torch, and cannot be exported.
"""

from __future__ import annotations

import importlib

from apiece import _plugins
from apiece.errors import UnknownNameError
from apiece.models._kit.arrays import DecodeBatch


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
