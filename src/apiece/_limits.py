"""What a run may use: cores of this machine, and lengths of time as people write them."""

from __future__ import annotations

import math
import os
import re

from apiece.errors import ConfigError

_UNITS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"([0-9.]+)\s*(sec|s|min|m|h|d)")
_WHOLE = re.compile(rf"\s*(?:{_PART.pattern}\s*)+")


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def parse_time(text: str | float, *, zero: bool = False) -> float:
    """Return seconds from ``"30m"``, ``"1h30m"``, ``"90s"``, ``"15 min"``, ``"2d"`` or a number of seconds.

    Raises
    ------
    ConfigError
        If the text is none of these, or the time is not above 0; with ``zero``, if it is below 0.

    Examples
    --------
    >>> parse_time("1h30m")
    5400.0
    """
    lower = str(text).lower()
    try:
        parts = _PART.findall(lower) if _WHOLE.fullmatch(lower) else [(lower, "s")]
        seconds = math.fsum(float(number) * _UNITS[unit] for number, unit in parts)
        if not (math.isfinite(seconds) and (seconds > 0 or (zero and seconds == 0))):
            raise ValueError
    except ValueError:
        raise ConfigError(f"cannot read the time {text!r}; write it as '30m', '1h30m', '90s' or in seconds") from None
    return seconds
