"""CSV whose fields are longer than Python's reader takes by default: outlines and run-lengths of large objects."""

from __future__ import annotations

import csv
import threading

_LONGEST = (1 << 31) - 1


class _LongFields:
    """Raise the process's limit with the first reader, and put it back after the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._before = csv.field_size_limit(_LONGEST)
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                csv.field_size_limit(self._before)


long_fields = _LongFields()
"""``with long_fields:`` fields may have any length."""
