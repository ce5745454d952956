"""Memory of this process, and the work of others beside it, as the operating system counts them."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_STAT = Path("/proc/stat")


class Memory:
    """The rise of this process's resident memory since the gauge was made, in MB (10^6 bytes).

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


def whole_peak() -> float | None:
    """Return the most memory that this process has held, in MB; None where the system does not tell."""
    return _read("VmHWM")


class Others:
    """Count how many cores other programs keep busy, on average, since this was made: they make times too long."""

    def __init__(self) -> None:
        self._begin = time.monotonic(), _busy(), time.process_time()

    @property
    def cores(self) -> float | None:
        """Busy cores but for this process; None where the system does not tell."""
        began, busy, own = self._begin
        now, seconds = _busy(), time.monotonic() - began
        if now is None or busy is None or seconds <= 0:
            return None
        return max(0.0, (now - busy - (time.process_time() - own)) / seconds)


def _busy() -> float | None:
    """Return seconds that all cores together have worked since the machine was started."""
    try:
        fields = _STAT.read_text(encoding="ascii").splitlines()[0].split()
    except OSError:
        return None
    # cpu user nice system idle iowait irq softirq ...; guests are counted in user and nice
    user, nice, system, _, _, irq, softirq = map(int, fields[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


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
