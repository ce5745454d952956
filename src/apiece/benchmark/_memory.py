"""Memory of this process, as the operating system counts it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

__all__ = ["Gauge"]

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")


class Gauge:
    """How far the resident memory of this process rises above what it was when the gauge was made, in MB (10^6 bytes).

    On Linux the high-water mark is the kernel's own and is set back first; elsewhere it is that of the process so far.
    """

    def __init__(self) -> None:
        # where that is not allowed the mark stays, which can only hide a rise below what imports took
        with contextlib.suppress(OSError):
            _RESET.write_text("5")
        self.base = _read("VmRSS")

    @property
    def peak(self) -> float | None:
        """The highest rise so far; None where the system does not tell."""
        now = _read("VmHWM")
        return None if now is None or self.base is None else max(0.0, now - self.base)


def _read(key: str) -> float | None:
    try:
        lines = _STATUS.read_text(encoding="ascii").splitlines()
    except OSError:
        return _rusage()
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(f"{key}:")), None)


def _rusage() -> float | None:
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
