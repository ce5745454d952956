"""What decoding SOLO and SOLOv2 has in common."""

from __future__ import annotations

import logging

import numpy as np

from apiece._arrays import Float
from apiece.models.contract import DecodeOptions

_LOG = logging.getLogger("apiece")


def tell_left_out(scores: Float, left_out: float, options: DecodeOptions, name: str) -> None:
    """Warn where cells were left out that score as much as is asked for."""
    lowest = float(np.min(options.conf))
    if left_out > 0 and left_out >= lowest:
        _LOG.warning(
            "the %d best cells of an image do not hold all that score %.3f or more: some objects may be missing; raise "
            "candidates in the settings of %s", len(scores), lowest, name,
        )  # fmt: skip
