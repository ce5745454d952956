"""`reused`: memory that is freed is used again, in place of given back and asked for anew."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4  # of mallopt(3)
_AFTERWARDS = {_MMAP_MAX: 65_536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
"""As glibc begins with, and what it comes to where large arrays are freed."""


@contextmanager
def reused() -> Iterator[None]:
    """Keep what is freed inside of this context; all of it is given back at the end.

    glibc gives blocks of more than 32 MB back at once, whatever `apiece._arrays.keep_freed_memory` does for smaller
    ones. Each step of a training on a CPU then gets its pages anew, emptied by the system: a tenth of its time. torch
    asks for aligned blocks, which glibc does not always find in a freed block of their size: memory grows at first. In
    threads other than the first, and with other C libraries, nothing changes.
    """
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt"):
        yield
        return
    try:
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, -1)
        yield
    finally:
        for setting, value in _AFTERWARDS.items():
            library.mallopt(setting, value)
        library.malloc_trim(0)
