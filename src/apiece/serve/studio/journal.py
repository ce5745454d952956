"""`Journal`: every change of a set as a line of JSON, on the disk before the page is told that it is saved.

Lines are only ever added. A line that a crash cut short was never confirmed to anybody, and is cut off. The file is
locked while a studio has it open.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from apiece._atomic import hold
from apiece.errors import ConfigError, DataError, Option

__all__ = ["Journal"]


class Journal:
    """A file of entries, one a line.

    Parameters
    ----------
    path : the file; it and its folder are made.

    Attributes
    ----------
    entries : every entry, in order.

    Raises
    ------
    DataError
        If a line is no entry, or the file cannot be written.
    ConfigError
        If another studio has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise DataError(
                f"{path}: changes cannot be saved here: {error.strerror}; name another place with " + Option("out", ...)
            ) from error
        if not hold(self._file):
            where = "close that one, or name another place with " + Option("out", ...)
            raise ConfigError(f"{path} is open in another studio; " + where)
        self._file.seek(0)
        data = self._file.read()
        self._length = data.rfind(b"\n") + 1
        if self._length < len(data):
            os.ftruncate(self._file.fileno(), self._length)
        self.entries: list[dict[str, Any]] = []
        for number, line in enumerate(data[: self._length].splitlines(), 1):
            try:
                entry = json.loads(line)
            except ValueError:
                entry = None
            if not isinstance(entry, dict):
                raise DataError(f"{path}: line {number} is no entry of a journal; repair the line, or move the file")
            self.entries.append(entry)

    def add(self, entry: dict[str, Any]) -> None:
        """Write an entry; when this returns, it is on the disk. On an error nothing of it stays in the file."""
        line = json.dumps(entry, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), self._length)
            raise OSError(error.errno, f"the change is not saved: {error.strerror}", str(self.path)) from error
        self._length += len(line)
        self.entries.append(entry)

    def close(self) -> None:
        """Let another studio open the file."""
        self._file.close()
